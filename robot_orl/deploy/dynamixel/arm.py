"""An arm of servos in angles: what its joints report, and where they are sent. Knows no task.

What goes wrong on the bus, and what is done about it here:

    an answer is lost, late or broken     asked for once more; then it is the caller's `BadPacket`
    a reading jumps where no joint can    as a broken answer
    a packet with goals is lost           nothing: the next one follows; counted when the goals are read
    a servo has a hardware error          `HardwareFault` in words, from the alert bit of any answer
    a servo started anew, without torque  `TorqueLost`
    the servos' watchdog tripped          `WatchdogTripped`: they stopped by themselves
    the port is gone                      `PortLost`; each further call tries to open it again, and an arm
                                          that is found holding holds where it is
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from robot_orl.deploy.dynamixel.bus import BadPacket, Block, Bus
from robot_orl.deploy.dynamixel.calibration import Calibration, ticks_of
from robot_orl.deploy.dynamixel.config import DynamixelConfig
from robot_orl.deploy.dynamixel.port import BusPort, MakePort, PortLost
from robot_orl.deploy.dynamixel.readings import JointState, Readings
from robot_orl.deploy.dynamixel.registers import TICKS_PER_TURN, XL330_M288, Register
from robot_orl.deploy.dynamixel.setup import clear_errors, find_servos, read_tables, set_up
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.errors import RunError, UsageError
from robot_orl.types import Array

_X = XL330_M288.registers  # all X servos have them at the same addresses
COUNTS = ("good", "timeout", "corrupt", "drained", "asked_again", "implausible", "lost_goals", "reconnected")
WATCHDOG_UNIT_S = 0.02
TRIPPED = -1
OUTSIDE_RAD = 0.35  # so far beyond its range a joint means that the calibration is another arm's


class WatchdogTripped(RunError):
    """The servos heard nothing for too long and stopped by themselves."""


class TorqueLost(RunError):
    """A servo started anew: it holds nothing."""


class ServoArm:
    """The servos of a configuration. counts: what happened, by name. state: the latest; None before one."""

    def __init__(
        self,
        cfg: DynamixelConfig,
        port: str,
        calibration: Calibration,
        clock: Clock,
        make_port: MakePort = BusPort,
    ) -> None:
        self.cfg = cfg
        self.joints = tuple(cfg.servos)
        self.state: JointState | None = None
        self.is_torque_on = False
        self.reconnections = 0
        self._servos = dict(cfg.servos)
        self._ids = [servo.id for servo in cfg.servos.values()]
        self._calibration = calibration
        self._range = calibration.ranges()
        self._clock = clock
        names = {servo: joint for joint, servo in cfg.ids.items()}
        self._bus = Bus(port, cfg.baud, names, cfg.reply_s, make_port)
        self._readings = Readings(self._bus, cfg.servos, clock)
        self._armed = 0  # value of register bus_watchdog
        self._goals: dict[int, int] = {}  # by id, as last sent
        self._reads = 0
        self._temperature_limits: list[float] = []

    @property
    def counts(self) -> dict[str, int]:
        return {**dict.fromkeys(COUNTS, 0), **self._bus.counts, "reconnected": self.reconnections}

    @property
    def limp(self) -> list[bool]:
        """(J,) whether a joint has a hardware error, so that nothing may be expected of it."""
        return [servo in self._readings.excused for servo in self._ids]

    def connect(self) -> None:
        """Find the servos, set them up and read where they are. Nothing moves; what holds, holds on.

        Raises: UsageError: no such port.  RunError: in words, what is wrong.
        """
        self._bus.open()
        try:
            find_servos(self._bus, self._servos)
            clear_errors(self._bus, self._servos, self.cfg.reboot, self._sleep)
            self.is_torque_on = set_up(self._bus, self._servos, self._calibration.joints, self.cfg.let_go)
            self._begin()
        except BaseException:
            self._bus.close()
            raise

    def _begin(self) -> None:
        """After a connection: whole turns, goals, and that the arm is where it can be."""
        self._armed = 0
        tables = read_tables(self._bus, self._servos)
        raws = [table.raw(_X["present_position"]) for table in tables.values()]
        calibrated = self._calibration.joints.values()
        turns = [c.turns_of(raw) for c, raw in zip(calibrated, raws, strict=True)]
        self._readings.turns = np.array(turns, np.int64)
        self._goals = {servo: tables[j].raw(_X["goal_position"]) for j, servo in self.cfg.ids.items()}
        self._temperature_limits = [float(table.raw(_X["temperature_limit"])) for table in tables.values()]
        state = self._bus.retrying(lambda: self._readings.confirmed(None))
        beyond = np.maximum(self._range[:, 0] - state.positions, state.positions - self._range[:, 1])
        worst = int(np.argmax(beyond))
        if beyond[worst] > OUTSIDE_RAD:
            low, high = self._range[worst]
            raise RunError(
                f"{self.joints[worst]} is at {state.positions[worst]:.2f} rad, its calibration says "
                f"{low:.2f} .. {high:.2f}: is it this arm's? run `robot-orl calibrate`"
            )
        self.state = state
        self._believe_near_goals()

    def _believe_near_goals(self) -> None:
        """A joint that is far from its goal is held back, or the goal was misread: it goes on from itself."""
        assert self.state is not None
        is_far = np.abs(self.goals() - self.state.positions) > self.cfg.blocked_rad
        here = self._raws(self._in_range(self.state.positions))
        self._goals |= {servo: here[servo] for servo, far in zip(self._ids, is_far, strict=True) if far}

    def goals(self) -> Array:
        """(J,) rad: where the servos were last sent."""
        return self._readings.angles(np.array([self._goals[servo] for servo in self._ids]))

    def read(self) -> JointState:
        """Ask the joints how they are, and once more if the answer is bad; at times also how the servos are.

        Raises: BadPacket, PortLost: no answer.  HardwareFault, TorqueLost, WatchdogTripped.
        """
        self._reopen()
        self._reads += 1
        is_checkup = self._reads % self.cfg.health_every == 0
        try:
            self.state = self._read_state(is_checkup)
        except BadPacket:
            self._bus.counts["asked_again"] += 1
            self.state = self._read_state(is_checkup)
        return self.state

    def read_patiently(self) -> JointState:
        """Where no tick is to be kept: asked several times, with growing patience, until two answers agree.

        What the arm holds at, or drives from, is made of it. Raises: as `read`.
        """
        self._reopen()
        self.state = self._bus.retrying(lambda: self._readings.confirmed(self.state))
        return self.state

    def goto(self, targets: Array) -> Array:
        """Send every joint to its target, (J,) rad, within its calibrated range; returns what was sent.

        Raises: RunError: they are not finite, nothing was sent.  PortLost.
        """
        if not np.isfinite(targets).all():
            raise RunError(f"the targets are not finite: {np.asarray(targets).tolist()}")
        allowed = self._in_range(targets)
        self._reopen()
        self._goals = self._raws(allowed)
        self._bus.sync_write(_X["goal_position"], self._goals)
        return allowed

    def _in_range(self, angles: Array) -> Array:
        """(J,) rad -> the nearest that are within the calibrated range."""
        return np.clip(angles, self._range[:, 0], self._range[:, 1])

    def confirm_goals(self) -> None:
        """The last goals once more, each acknowledged: nothing comes after them that would mend a loss."""
        self._write_each(_X["goal_position"], self._goals)

    def torque_on(self) -> None:
        """Every joint holds where it is. Goals first: a servo drives to its goal when the torque comes on."""
        state = self.read_patiently()
        self._goals = self._raws(self._in_range(state.positions))  # a servo takes no goal out of its range
        self._write_each(_X["goal_position"], self._goals)
        self._write_each(_X["torque_enable"], dict.fromkeys(self._ids, 1))
        self.is_torque_on = True

    def torque_off(self) -> None:
        self._write_each(_X["torque_enable"], dict.fromkeys(self._ids, 0))
        self.is_torque_on = False

    def without_torque(self) -> list[str]:
        """Joints that hold nothing, as their servos say. Raises: BadPacket, PortLost: they do not say."""
        torque = _X["torque_enable"]
        blocks = self._bus.retrying(partial(self._bus.sync_read, self._ids, torque.address, torque.size))
        return [joint for joint, servo in self.cfg.ids.items() if not blocks[servo].raw(torque)]

    def declared_limits(self) -> Limits:
        """What the servos themselves say that they bear."""
        return Limits.neutral(max_temperature_c=self._temperature_limits)

    def set_up(self) -> None:
        """Every register as configured; the watchdog off: one that tripped refuses goals, forgets profiles.

        Raises: TorqueLost: a servo that held before holds no longer.  RunError: one did not take a value.
        """
        live = {
            joint: servo for joint, servo in self._servos.items() if servo.id not in self._readings.excused
        }
        is_on = set_up(self._bus, live, self._calibration.joints, let_go=False)
        self._armed = 0
        if self.is_torque_on and not is_on:
            raise TorqueLost("the servos started anew and hold nothing: check their power")

    def set_watchdog(self, is_armed: bool) -> None:
        """Armed: the servos stop by themselves where they hear nothing, and `read` sees to that.

        One packet that no servo answers: if it was lost, `read` notices and sends it again.
        """
        raw = max(1, round(self.cfg.watchdog_s / WATCHDOG_UNIT_S)) if is_armed and self.cfg.watchdog_s else 0
        if raw != self._armed:
            self._write_watchdog(raw)

    def _write_watchdog(self, raw: int) -> None:
        self._bus.sync_write(_X["bus_watchdog"], dict.fromkeys(self._ids, raw))
        self._armed = raw

    def excuse_failing(self) -> None:
        """Go on without the joints that have a hardware error now, so that the others can be laid down."""
        status = _X["hardware_error_status"]
        tables = read_tables(self._bus, self._servos)
        failing = {servo for joint, servo in self.cfg.ids.items() if tables[joint].raw(status)}
        self._readings.excused = failing

    def close(self) -> None:
        """Works from any state; the servos are left as they are."""
        self._bus.close()
        self.state = None

    # --- beneath --------------------------------------------------------------------------------------

    def _reopen(self) -> None:
        """After the port was lost. Raises: PortLost: it is not back.  TorqueLost."""
        if self._bus.is_open:
            return
        try:
            self._bus.open()
        except UsageError as error:  # wrong usage only where it never worked
            raise PortLost("the port is gone: cable, adapter or power") from error
        try:
            self.set_up()
            self._begin()
            if self.is_torque_on:
                assert self.state is not None
                self._goals = self._raws(self.state.positions)
                self._write_each(_X["goal_position"], self._goals)
        except BaseException:
            self._bus.close()
            raise
        self.reconnections += 1

    def _read_state(self, is_checkup: bool) -> JointState:
        state, blocks = self._readings.read(self.state, is_checkup)
        if is_checkup:
            self._check_up(blocks)
        return state

    def _check_up(self, blocks: Mapping[int, Block]) -> None:
        """What the servos' watchdogs and goals say."""
        for servo in self._ids:
            watchdog, goal = (blocks[servo].raw(_X[name]) for name in ("bus_watchdog", "goal_position"))
            self._bus.counts["lost_goals"] += goal != self._goals[servo]
            if servo in self._readings.excused or watchdog == self._armed:
                continue
            who = self._bus.who(servo)
            if watchdog == TRIPPED and self._bus.read(servo, _X["bus_watchdog"]) == TRIPPED:
                raise WatchdogTripped(
                    f"{who} heard nothing for {self.cfg.watchdog_s:g} s and stopped by itself"
                )
            if self.is_torque_on and not self._bus.read(servo, _X["torque_enable"]):
                raise TorqueLost(f"{who} started anew and holds nothing: check its power")
            self._write_watchdog(self._armed)  # the packet that set it was lost

    def _raws(self, angles: Array) -> dict[int, int]:
        """Goals by id."""
        ticks = ticks_of(angles) + TICKS_PER_TURN * self._readings.turns
        return dict(zip(self._ids, ticks.tolist(), strict=True))

    def _write_each(self, register: Register, raws: Mapping[int, int]) -> None:
        """One by one, each acknowledged."""
        for servo, raw in raws.items():
            self._bus.retrying(partial(self._bus.write, servo, register, raw))

    def _sleep(self, seconds: float) -> None:
        self._clock.sleep_until(self._clock.now_ns() + round(seconds * NS_PER_S))
