"""Hands that are a device at this machine, with the terminal beside it: buttons and keys drive the session.

    gamepad, SpaceMouse, leader arm --Device--> DeviceHands <--Console-- the terminal's keys, and its picture

A device that is unplugged while an episode is recorded ends it as 'disconnect', and the session goes on once
it is plugged in again. Without it nothing is begun.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from data_collection.teleop.hands import Jog, Order, Status, Verb
from data_collection.teleop.places import Map
from data_collection.teleop.session import State
from data_collection.teleop.terminal.console import Console, Movers
from data_collection.teleop.terminal.legend import Keyboard, Piece, lines
from robot_orl.errors import UsageError
from robot_orl.types import Array

BEGINNING = (Verb.START, Verb.REDO)
BUTTON_VERBS = (
    Verb.START, Verb.STOP, Verb.SUCCESS, Verb.FAILURE, Verb.SAVE, Verb.DISCARD, Verb.REDO, Verb.UNDO,
    Verb.QUIT,
)  # fmt: skip


class Device(Protocol):
    """Every call returns at once.

    missing: why it is not there, and what to do, in one line; "" while it is.
    """

    @property
    def missing(self) -> str: ...

    def open(self) -> None:
        """One that is not plugged in may come later. Raises: UsageError: never, and why."""

    def jog(self) -> Jog | None:
        """What it says now; None: hands off, or not there."""

    def orders(self) -> Sequence[Order]:
        """Of its buttons, since the last call."""

    def legend(self) -> Sequence[Sequence[Piece]]:
        """What it does, as rows of the terminal."""

    def begin(self) -> None:
        """An episode begins: what was done before it does not count."""

    def close(self) -> None:
        """Works from any state, more than once."""


class DeviceHands:
    """operator, task: their names.  axes: of the map, see `places.ways`.  movers: keys that are the device's.

    alone: without the terminal, which is somebody else's; the device must be there from the beginning.
    """

    def __init__(
        self,
        operator: str,
        device: Device,
        task: str,
        axes: Array,
        alone: bool = False,
        movers: Movers | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operator, self._device, self._task, self._axes = operator, device, task, axes
        self._console = None if alone else Console(operator, movers, now_s)
        self._map = Map()
        self._state = ""

    def open(self) -> None:
        try:
            self._device.open()
            if self._console is not None:
                self._console.open()
            elif self._device.missing:
                raise UsageError(f"operator={self._operator}: {self._device.missing}")
        except BaseException:
            self._device.close()
            raise

    def close(self) -> None:
        self._device.close()
        if self._console is not None:
            self._console.close()

    def jog(self) -> Jog | None:
        return self._device.jog()

    def orders(self) -> Sequence[Order]:
        typed = [] if self._console is None else self._console.orders()
        given = [*typed, *self._device.orders()]
        return [order for order in given if not (self._device.missing and order.verb in BEGINNING)]

    def present(self) -> bool:
        return not self._device.missing and (self._console is None or self._console.is_there)

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        if status.state == State.RECORDING and self._state != State.RECORDING:
            self._device.begin()
        self._state = status.state
        if self._console is None:
            return
        if not status.step:
            self._map = Map()  # of the next episode
        missing, typing = self._device.missing, self._console.typing
        shown = replace(status, warning=missing) if missing else status
        possible = [verb for verb in allowed if not (missing and verb in BEGINNING)]

        def picture() -> list[list[Piece]]:
            keyboard = Keyboard((), False, typing, self._axes, self._map, self._device.legend())
            return lines(self._task, (), shown, possible, keyboard)

        self._console.show(picture)
