"""A SpaceMouse at this machine, read as the HID device that it is: no driver of its maker, no X.

Reports of 3Dconnexion, their numbers little endian, 16 bits, two's complement:

    01  x y z                 older ones: where the cap is pushed, and in a report of its own
    02  rx ry rz              how it is turned
    01  x y z rx ry rz        newer ones: both at once
    03  bits                  the buttons that are down

x is to the right, y towards the person, z down; turns are right-handed about these. A cap that is not at rest
is reported every 8 to 16 ms. Source: what these devices send, as listed by spacenavd
(https://github.com/FreeSpacenav/spacenavd) and johnhw/pyspacenavigator.
"""

import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from data_collection.teleop.hands import Jog, Order, Verb
from data_collection.teleop.settings import AXES
from data_collection.teleop.terminal.legend import Piece, row
from robot_orl.errors import UsageError
from robot_orl.types import Array

THEIRS, LOGITECH = 0x256F, 0x046D  # vendors
OF_LOGITECH = frozenset(  # products; it sells other things, too
    (0xC603, 0xC605, 0xC606, 0xC621, 0xC623, 0xC625, 0xC626, 0xC627, 0xC628, 0xC629, 0xC62B)
)
MULTI_AXIS = (1, 8)  # usage page and usage; a receiver is a mouse and a keyboard, too
MOTION, TURN, BUTTONS = 1, 2, 3  # report ids
LONGEST = 64  # bytes of a report
MOST_REPORTS = 64  # that are read in one go: a device that floods the line does not stop the loop
STALE_S = 0.5  # a cap that has not been heard of for so long is no longer held: radio is lost, or its battery
LOOK_S = 1.0  # between two looks for one that is not there
FINGERS = {"open": 1.0, "close": -1.0}
NOT_THERE = "no SpaceMouse is there: plug it in, or switch it on"
RULE = 'SUBSYSTEM=="hidraw", ATTRS{{idVendor}}=="{:04x}", ATTRS{{idProduct}}=="{:04x}", MODE="0666"'
UNREADABLE = (
    "{} may not be read by this user; once: echo '{}' | sudo tee /etc/udev/rules.d/70-spacemouse.rules && "
    "sudo udevadm control --reload && sudo udevadm trigger"
)
# x y z rx ry rz of the cap -> forward, left, up, roll, pitch (positive tilts down), yaw
PLACES = (1, 0, 2, 4, 3, 5)  # all of them the other way round


def load_hid() -> Any:
    """The kernel's own way to it where there is one: the other takes the device from the kernel.

    Raises: UsageError: it is not installed.
    """
    try:
        if sys.platform.startswith("linux"):
            import hidraw as hid
        else:
            import hid
    except ImportError as error:
        raise UsageError("operator=spacemouse needs hidapi: pip install 'robot-orl[spacemouse]'") from error
    return hid


class SpaceMouse:
    """A `Device`: the first one that is there.

    buttons: what each does, by its number: 'open', 'close', an order, or ''.  full: what a report says where
    the cap is pushed all the way.  ways: of `settings.AXES`, those in which something can move.
    """

    def __init__(
        self,
        hid: Any,
        buttons: Sequence[str],
        full: float,
        dead_zone: float,
        ways: Collection[str],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.missing = NOT_THERE
        self._hid, self._does, self._full, self._dead_zone = hid, tuple(buttons), full, dead_zone
        self._ways, self._now_s = np.array([way in ways for way in AXES]), now_s
        self._device: Any = None
        self._name = "-"
        self._look_s = -np.inf
        self._forget()

    def _forget(self) -> None:
        self._cap = np.zeros(6)  # x y z rx ry rz, as reported
        self._heard_s = -np.inf
        self._down = 0  # bits
        self._gripper = 0.0
        self._orders: list[Order] = []

    def open(self) -> None:
        self._listen()

    def jog(self) -> Jog | None:
        self._listen()
        gripper, self._gripper = self._gripper, 0.0
        shares = self._shares()
        return Jog(shares[:3], shares[3:], gripper) if gripper or shares.any() else None

    def orders(self) -> Sequence[Order]:
        self._listen()
        orders, self._orders = self._orders, []
        return orders

    def legend(self) -> Sequence[Sequence[Piece]]:
        pushed = zip(AXES, self._shares(), strict=True)
        cap = [("push", "where the tool goes")]
        cap += [("turn", "as it turns")] if self._ways[3:].any() else []
        acting = ", ".join(f"{axis} {share:+.1f}" for axis, share in pushed if share)
        buttons = [(str(number), does) for number, does in enumerate(self._does, start=1) if does]
        return [
            row("mouse", [(self._name, "")]),
            row("move", [*cap, ("", acting)]),
            *([row("buttons", buttons)] if buttons else []),
        ]

    def begin(self) -> None:
        """The cap counts as it is."""

    def close(self) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None
        self.missing = NOT_THERE
        self._forget()

    def _shares(self) -> Array:
        """(6,) in [-1, 1] of `settings.AXES`; without what is nearly at rest, and where nothing can go."""
        if self._now_s() - self._heard_s > STALE_S:
            return np.zeros(6)
        shares = np.clip(0.0 - self._cap[list(PLACES)] / self._full, -1.0, 1.0) * self._ways
        for part in (slice(0, 3), slice(3, 6)):
            if np.linalg.norm(shares[part]) <= self._dead_zone:
                shares[part] = 0.0
        return np.asarray(shares)

    def _listen(self) -> None:
        if self._device is None and not self._find():
            return
        try:
            for _ in range(MOST_REPORTS):
                if not (report := self._device.read(LONGEST)):
                    return
                self._take(bytes(report))
        except (OSError, ValueError):  # it was unplugged
            self.close()

    def _take(self, report: bytes) -> None:
        kind, said = report[0], report[1:]
        if kind in (MOTION, TURN) and len(said) >= 6:
            numbers = np.frombuffer(said[: 12 if len(said) >= 12 else 6], "<i2")
            start = 3 if kind == TURN else 0
            self._cap[start : start + len(numbers)] = numbers[: 6 - start]
            self._heard_s = self._now_s()
        elif kind == BUTTONS:
            down = int.from_bytes(said, "little")
            new, self._down = down & ~self._down, down
            for number, does in enumerate(self._does):
                if new >> number & 1 and does:
                    self._press(does)

    def _press(self, does: str) -> None:
        if does in FINGERS:
            self._gripper = FINGERS[does]
        else:
            self._orders.append(Order(Verb(does)))

    def _find(self) -> bool:
        """Look for one, now and then; `missing` says what came of it."""
        now_s = self._now_s()
        if now_s < self._look_s:
            return False
        self._look_s = now_s + LOOK_S
        self.missing = NOT_THERE
        for found in filter(_is_one, [*self._hid.enumerate(THEIRS, 0), *self._hid.enumerate(LOGITECH, 0)]):
            device = self._hid.device()
            try:
                device.open_path(found["path"])
                device.set_nonblocking(1)
            except OSError:
                self.missing = _why_not(found)
                continue
            self._forget()
            self._device, self._name, self.missing = device, _name(found), ""
            return True
        return False


def _is_one(found: dict[str, Any]) -> bool:
    usage = found["usage_page"], found["usage"]
    is_theirs = found["vendor_id"] == THEIRS or found["product_id"] in OF_LOGITECH
    return is_theirs and usage in (MULTI_AXIS, (0, 0))  # (0, 0): the system does not say


def _name(found: dict[str, Any]) -> str:
    return found.get("product_string") or f"{found['vendor_id']:04x}:{found['product_id']:04x}"


def _why_not(found: dict[str, Any]) -> str:
    path = os.fsdecode(found["path"])
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        rule = RULE.format(found["vendor_id"], found["product_id"])
        return UNREADABLE.format(f"{path} ({_name(found)})", rule)
    return f"{path} ({_name(found)}) cannot be opened: does another program use it?"
