"""How the servos of an arm are mounted, found out with a person's hands: direction, middle and range.

    1  the torque goes off                               the arm must be supported
    2  any pose; then each joint a little further on     which way its angle grows: drive_mode
       in its positive direction
    3  the middle pose                                   homing_offset: the servo shows 2048 there
    4  each joint through its whole range                lowest and highest tick

Nothing is written to a file here. What a servo is told it is asked for again.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.calibration import Calibration, JointCalibration, angles_of
from robot_orl.deploy.dynamixel.config import MODES, DynamixelConfig
from robot_orl.deploy.dynamixel.registers import CENTRE_TICK, TICKS_PER_TURN, XL330_M288
from robot_orl.deploy.dynamixel.setup import clear_errors, find_servos
from robot_orl.errors import RunError

_X = XL330_M288.registers  # all X servos have these at the same addresses
MOVED = 60  # ticks, 5 degrees: less is no answer to "move it a little further"
SMALLEST_RANGE = 200  # ticks, 18 degrees
NEAR = 12  # ticks, 1 degree: what hands move while a servo is told its offset


class Person(Protocol):
    """Whoever holds the arm."""

    def wait(self, text: str, live: Callable[[], Sequence[str]]) -> None:
        """Say what to do and return when it is done; until then show what `live` says, again and again."""


def calibrate(cfg: DynamixelConfig, bus: Bus, person: Person) -> Calibration:
    """Lead a person through it. The bus is open. Raises: RunError: a servo fails or does not take a value."""
    find_servos(bus, cfg.servos)
    clear_errors(bus, cfg.servos, cfg.reboot)
    wizard = _Wizard(cfg, bus, person)
    wizard.let_go()
    modes = wizard.find_directions()
    offsets = wizard.find_middle()
    ranges = wizard.find_ranges()
    joints = {
        joint: JointCalibration(servo, offsets[joint], modes[joint], *ranges[joint])
        for joint, servo in cfg.ids.items()
    }
    return Calibration(cfg.arm, joints)


class _Wizard:
    """The steps; each asks again where a joint gave no answer."""

    def __init__(self, cfg: DynamixelConfig, bus: Bus, person: Person) -> None:
        self.cfg, self.bus, self.person = cfg, bus, person
        self.ids = cfg.ids

    def let_go(self) -> None:
        self.person.wait(
            "Support the arm with both hands: when you press Enter its torque goes off.", lambda: []
        )
        self._write("torque_enable", dict.fromkeys(self.ids, 0))
        self._write("return_delay_time", dict.fromkeys(self.ids, 0))
        self._write("operating_mode", {joint: MODES[servo.mode] for joint, servo in self.cfg.servos.items()})
        self._write("drive_mode", dict.fromkeys(self.ids, 0))
        self._write("homing_offset", dict.fromkeys(self.ids, 0))

    def find_directions(self) -> dict[str, int]:
        """Drive mode by joint; set in the servos."""
        self.person.wait(
            "Hold the arm in a pose from which every joint can go on in both directions.", self._now
        )
        before = self._read()
        words = [f"{joint} {servo.positive}" for joint, servo in self.cfg.servos.items() if servo.positive]
        text = f"Move every joint on by some 20 degrees in its positive direction: {', '.join(words)}."
        while True:
            self.person.wait(text, lambda: self._rows(_moved(before, self._read())))
            moved = _moved(before, self._read())
            still = [joint for joint, ticks in moved.items() if abs(ticks) < MOVED]
            if not still:
                break
            text = f"Not moved far enough: {', '.join(still)}. Move them on, too."
        modes = {joint: int(ticks < 0) for joint, ticks in moved.items()}
        self._write("drive_mode", modes)
        return modes

    def find_middle(self) -> dict[str, int]:
        """Homing offsets by joint; set in the servos."""
        self.person.wait(f"Move the arm to its middle pose: {self.cfg.middle_pose}.", self._now)
        offsets = {joint: CENTRE_TICK - tick for joint, tick in self._read().items()}
        self._write("homing_offset", offsets)
        for joint, tick in self._read().items():
            if abs(tick - CENTRE_TICK) > NEAR:
                raise RunError(
                    f"{self.bus.who(self.ids[joint])} shows {tick} in the middle pose, not {CENTRE_TICK}: "
                    "hold the arm still while you press Enter, and run this again"
                )
        return offsets

    def find_ranges(self) -> dict[str, tuple[int, int]]:
        """Lowest and highest tick by joint."""
        low = dict.fromkeys(self.ids, CENTRE_TICK)
        high = dict(low)

        def watch() -> list[str]:
            for joint, tick in self._read().items():
                low[joint], high[joint] = min(low[joint], tick), max(high[joint], tick)
            return [
                f"{joint:<15} {angles_of(low[joint]):6.2f} .. {angles_of(high[joint]):6.2f} rad"
                for joint in self.ids
            ]

        text = "Move each joint slowly through its whole range, to both ends."
        while True:
            self.person.wait(text, watch)
            watch()
            spans = {joint: high[joint] - low[joint] for joint in self.ids}
            wound = [joint for joint, span in spans.items() if span > TICKS_PER_TURN]
            still = [joint for joint, span in spans.items() if span < SMALLEST_RANGE]
            if not wound + still:
                return {joint: (low[joint], high[joint]) for joint in self.ids}
            words = []
            if wound:  # which no calibration can tell: a servo forgets whole turns when its power goes
                low.update(dict.fromkeys(wound, CENTRE_TICK))
                high.update(dict.fromkeys(wound, CENTRE_TICK))
                names = ", ".join(wound)
                words.append(f"Turned by more than one turn: {names}. Keep them within one, to both ends.")
            if still:
                words.append(f"Hardly moved: {', '.join(still)}. Move them to both ends.")
            text = " ".join(words)

    def _read(self) -> dict[str, int]:
        """Present ticks by joint."""
        position = _X["present_position"]
        servos = list(self.ids.values())
        ask = partial(self.bus.sync_read, servos, position.address, position.size)
        blocks = self.bus.retrying(ask, attempts=5)
        return {joint: blocks[servo].raw(position) for joint, servo in self.ids.items()}

    def _write(self, name: str, raws: Mapping[str, int]) -> None:
        register = _X[name]
        for joint, raw in raws.items():
            self.bus.retrying(partial(self.bus.write, self.ids[joint], register, raw))
            if self.bus.retrying(partial(self.bus.read, self.ids[joint], register)) != raw:
                raise RunError(f"{self.bus.who(self.ids[joint])} did not take {name} {raw}")

    def _now(self) -> list[str]:
        return self._rows(self._read())

    def _rows(self, ticks: Mapping[str, int]) -> list[str]:
        return [f"{joint:<15} {tick:6d} ticks" for joint, tick in ticks.items()]


def _moved(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {joint: now[joint] - tick for joint, tick in before.items()}
