"""Memory that the control loop and the process with the pages share; neither ever waits for the other.

channel `status`   to the pages   what is to be shown, JSON
channel `moment`   to the pages   float32, see `viewer.scene.Scene.moment`
channel `hands`    to the loop    what the driver does, JSON; its time is when that was written
bytes   `scene`    to the pages   see `viewer.scene.Scene`; written once, before the process starts
"""

import mmap
from dataclasses import dataclass

from robot_orl.deploy.sensors.channel import Channel, size_of

STATUS_BYTES, HANDS_BYTES = 16_384, 4_096


@dataclass(frozen=True)
class Sizes:
    """Bytes of what depends on the task."""

    moment: int
    scene: int

    @property
    def total(self) -> int:
        return self._scene_at + self.scene

    @property
    def _scene_at(self) -> int:
        return size_of(STATUS_BYTES) + size_of(HANDS_BYTES) + size_of(self.moment)


class Shared:
    """One end of it, in the memory behind a file descriptor."""

    def __init__(self, descriptor: int, sizes: Sizes) -> None:
        self._memory = mmap.mmap(descriptor, sizes.total)
        self._sizes = sizes
        self.status = Channel(self._memory, 0, STATUS_BYTES)
        self.hands = Channel(self._memory, size_of(STATUS_BYTES), HANDS_BYTES)
        self.moment = Channel(self._memory, size_of(STATUS_BYTES) + size_of(HANDS_BYTES), sizes.moment)

    @property
    def scene(self) -> bytes:
        return self._memory[self._sizes._scene_at :]

    @scene.setter
    def scene(self, packed: bytes) -> None:
        self._memory[self._sizes._scene_at :] = packed
