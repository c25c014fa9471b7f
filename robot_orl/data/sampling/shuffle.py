"""A shuffle buffer as numbers only: which steps wait to be drawn, and in which slots their frames lie.

slots   | f0 | f1 | f2 | free | f7 | ...       each frame once, whether it is an s, an s' or both
steps     (f0, f1)  (f1, f2)  ...              a slot is free again when no waiting step needs it
"""

import numpy as np

from robot_orl.types import Array


class ShuffleBuffer:
    """slots: room for so many frames. Every step that is put in comes out once, in random order."""

    def __init__(self, slots: int) -> None:
        self._free = np.arange(slots)
        self._room = slots
        self._needed = np.zeros(slots, np.int64)  # how many waiting steps need the frame in a slot
        self._waiting = np.zeros((slots, 3), np.int64)  # step, slot of s, slot of s'
        self.steps = 0

    @property
    def room(self) -> int:
        """How many slots are free."""
        return self._room

    def reserve(self, frames: int) -> Array:
        """Slots (F,) for frames that are being read; `put` makes their steps available."""
        self._room -= frames
        return self._free[self._room : self._room + frames].copy()

    def put(self, step: Array, slot: Array, next_slot: Array) -> None:
        """(S,) each: steps whose frames are in their slots now; each reserved slot belongs to one."""
        self._waiting[self.steps : self.steps + len(step)] = np.stack([step, slot, next_slot], axis=1)
        self.steps += len(step)
        np.add.at(self._needed, slot, 1)
        np.add.at(self._needed, next_slot, 1)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Steps (count,), slots of s and of s', each waiting step as likely; read them before `reserve`."""
        picked = rng.choice(self.steps, count, replace=False)
        found = self._waiting[picked]
        self.steps -= count
        is_kept = np.ones(count, bool)
        is_kept[picked[picked >= self.steps] - self.steps] = False
        holes = picked[picked < self.steps]  # filled from the end
        self._waiting[holes] = self._waiting[self.steps : self.steps + count][is_kept]
        step, slot, next_slot = found.T.copy()
        used = np.concatenate([slot, next_slot])
        np.subtract.at(self._needed, used, 1)
        released = np.unique(used[self._needed[used] == 0])
        self._free[self._room : self._room + len(released)] = released
        self._room += len(released)
        return step, slot, next_slot
