"""A game controller at this machine, through SDL: plugged in and out at any time, no window, no X.

SDL tells of every press, also of those between two ticks. It is asked within the loop, and answers at once.
"""

import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_collection.teleop.devices.pad_mapping import AXES, BUTTONS, DOWN, STICKS, PadMapping
from data_collection.teleop.hands import Jog, Order
from data_collection.teleop.terminal.legend import Piece, row
from robot_orl.errors import RunError, UsageError
from robot_orl.types import Array

FULL = 32767.0  # of an axis, as SDL counts
FINE = 0.2  # share of the speed
NOT_THERE = "no gamepad is there: plug one in, or switch it on"
UNREADABLE = "no gamepad may be read by this user; `sudo usermod -aG input $USER`, then log in again"
UNKNOWN = "SDL does not know '{}': put its line of gamecontrollerdb.txt into SDL_GAMECONTROLLERCONFIG"
# No window that had the focus, no Ctrl-C taken away from us, and the kernel's own drivers: those within SDL
# shake hands with a controller for a tenth of a second, in which no tick would come.
HINTS = {
    "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1",
    "SDL_NO_SIGNAL_HANDLERS": "1",
    **({"SDL_JOYSTICK_HIDAPI": "0"} if sys.platform.startswith("linux") else {}),
}


def load_sdl() -> Any:
    """Raises: UsageError: it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which of several SDLs it takes is no news here
            import sdl2
    except ImportError as error:
        raise UsageError("operator=gamepad needs SDL: pip install 'robot-orl[gamepad]'") from error
    return sdl2


class Gamepad:
    """A `Device`: the first controller that is there.

    dead_zone: share of a stick's way that still is rest.
    """

    def __init__(self, mapping: PadMapping, dead_zone: float) -> None:
        """Raises: UsageError: SDL is not installed."""
        self._sdl = load_sdl()
        self._mapping, self._dead_zone = mapping, dead_zone
        self._pads: dict[int, Any] = {}  # by SDL's number, in the order in which they came
        self._values: dict[str, float] = {}
        self._orders: list[Order] = []
        self._gripper = 0.0
        self._unknown = ""
        self._is_open = False

    @property
    def missing(self) -> str:
        if self._pads:
            return ""
        if self._unknown:
            return UNKNOWN.format(self._unknown)
        return UNREADABLE if _are_unreadable() else NOT_THERE

    def open(self) -> None:
        """Raises: RunError: SDL says no."""
        sdl = self._sdl
        for name, value in HINTS.items():
            sdl.SDL_SetHint(name.encode(), value.encode())
        if sdl.SDL_InitSubSystem(sdl.SDL_INIT_GAMECONTROLLER) != 0:
            raise RunError(f"operator=gamepad: SDL: {sdl.SDL_GetError().decode()}")
        self._is_open = True
        self._listen()

    def jog(self) -> Jog | None:
        self._listen()
        gripper, self._gripper = self._gripper, 0.0
        shares = self._mapping.shares(self._live())
        if self._values.get(self._mapping.fine, 0.0) > DOWN:
            shares = np.concatenate([finely(part, self._dead_zone) for part in (shares[:3], shares[3:])])
        return Jog(shares[:3], shares[3:], gripper) if gripper or shares.any() else None

    def orders(self) -> Sequence[Order]:
        self._listen()
        orders, self._orders = self._orders, []
        return orders

    def legend(self) -> Sequence[Sequence[Piece]]:
        held = {name for name, value in self._live().items() if value}
        rows = zip(("move", "turn", "fingers", "buttons"), self._mapping.legend(), strict=True)
        return [self._about(), *(row(label, keys, held) for label, keys in rows if keys)]

    def _about(self) -> list[Piece]:
        pad = next(iter(self._pads.values()), None)
        name = (self._sdl.SDL_GameControllerName(pad) or b"") if pad else b"-"
        return row("gamepad", [(name.decode(errors="replace"), "")])

    def begin(self) -> None:
        """Sticks count as they are."""

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        for pad in self._pads.values():
            self._sdl.SDL_GameControllerClose(pad)
        self._pads.clear()
        self._values.clear()
        self._sdl.SDL_QuitSubSystem(self._sdl.SDL_INIT_GAMECONTROLLER)

    def _live(self) -> dict[str, float]:
        """What is pushed; a stick that is nearly at rest is none, whichever way it drifts."""
        values = self._values
        live = {name: value for name, value in values.items() if abs(value) > self._dead_zone}
        for stick in STICKS:
            pushed = [values.get(name, 0.0) for name in stick]
            if math.hypot(*pushed) > self._dead_zone:
                live |= zip(stick, pushed, strict=True)
        return live

    def _listen(self) -> None:
        sdl, event = self._sdl, self._sdl.SDL_Event()
        buttons = (sdl.SDL_CONTROLLERBUTTONDOWN, sdl.SDL_CONTROLLERBUTTONUP)
        while self._is_open and sdl.SDL_PollEvent(event):
            if event.type == sdl.SDL_JOYDEVICEADDED:
                self._found(event.jdevice.which)
            elif event.type == sdl.SDL_JOYDEVICEREMOVED:
                self._unknown = ""
            elif event.type == sdl.SDL_CONTROLLERDEVICEREMOVED:
                self._lost(event.cdevice.which)
            elif event.type == sdl.SDL_CONTROLLERAXISMOTION and event.caxis.which == self._first:
                self._take(AXES[event.caxis.axis], max(-1.0, event.caxis.value / FULL))
            elif event.type in buttons and event.cbutton.which == self._first:
                self._take(BUTTONS[event.cbutton.button], float(event.cbutton.state))

    @property
    def _first(self) -> int | None:
        """The one that is heard."""
        return next(iter(self._pads), None)

    def _take(self, name: str, value: float) -> None:
        before = self._values.get(name, 0.0)
        self._values[name] = value
        if not abs(value) > DOWN >= abs(before):
            return
        if verb := self._mapping.orders.get(name):
            self._orders.append(Order(verb))
        self._gripper = self._mapping.fingers.get(name, self._gripper)

    def _found(self, index: int) -> None:
        sdl = self._sdl
        pad = sdl.SDL_GameControllerOpen(index) if sdl.SDL_IsGameController(index) else None
        if not pad:
            self._unknown = (sdl.SDL_JoystickNameForIndex(index) or b"").decode(errors="replace")
            return
        number = sdl.SDL_JoystickInstanceID(sdl.SDL_GameControllerGetJoystick(pad))
        self._pads[number] = pad

    def _lost(self, number: int) -> None:
        """SDL has told before that all of it is at rest."""
        if pad := self._pads.pop(number, None):
            self._sdl.SDL_GameControllerClose(pad)


def finely(share: Array, dead_zone: float) -> Array:
    """(3,) such that what `steering.live` leaves of it is FINE of what it would leave of `share`."""
    length = float(np.linalg.norm(share))
    if length <= dead_zone:
        return share
    return np.asarray(share * ((dead_zone + FINE * (min(length, 1.0) - dead_zone)) / length))


def _are_unreadable() -> bool:
    """Whether there are input devices, of which this user may read none."""
    try:
        names = [name for name in os.listdir("/dev/input") if name.startswith("event")]
    except OSError:
        return False
    return bool(names) and not any(os.access(f"/dev/input/{name}", os.R_OK) for name in names)
