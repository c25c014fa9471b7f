"""What the joints of an arm of servos report, in angles, and which answers cannot be true."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from robot_orl.deploy.dynamixel.bus import BadPacket, Block, Bus
from robot_orl.deploy.dynamixel.calibration import angles_of
from robot_orl.deploy.dynamixel.config import ServoConfig
from robot_orl.deploy.dynamixel.registers import TICKS_PER_TURN, XL330_M288
from robot_orl.deploy.dynamixel.setup import HardwareFault, in_words, model_of
from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.types import Array

_X = XL330_M288.registers  # all X servos have them at the same addresses; XL430s the load for the current
STATE, HEALTH = _X["present_current"], _X["bus_watchdog"]  # where the two blocks begin that are read
END = _X["present_temperature"].end
FASTEST_RAD_S = 15.0  # no joint of these servos turns faster, pushed or not
JUMP_MARGIN_RAD = 0.2
AGREE_RAD = 0.1  # two readings, one right after the other


@dataclass(frozen=True, eq=False)
class JointState:
    """(J,) each. positions [rad].  velocities [rad/s].  currents [A], an estimate from the load where a
    servo measures none.  temperatures [degrees C].  t_ns: when it was asked for."""

    positions: Array
    velocities: Array
    currents: Array
    temperatures: Array
    t_ns: int


class Readings:
    """Asks all servos at once. turns: (J,) whole turns that each counts beside its range.

    excused: ids whose hardware error is known, so that it is no news.
    """

    def __init__(self, bus: Bus, servos: Mapping[str, ServoConfig], clock: Clock) -> None:
        self.turns = np.zeros(len(servos), np.int64)
        self.excused: set[int] = set()
        self._bus = bus
        self._servos = dict(servos)
        self._ids = [servo.id for servo in servos.values()]
        self._measures = [(servo.id, _measure_of(servo)) for servo in servos.values()]
        self._clock = clock

    def read(
        self, before: JointState | None, with_health: bool = False
    ) -> tuple[JointState, dict[int, Block]]:
        """The joints now, and the blocks that they answered with, by id.

        before: an earlier state, by which jumps are told; None: they may be anywhere.
        with_health: the blocks begin at the watchdog and hold the goals, too.
        Raises: BadPacket, PortLost: no good answer.  HardwareFault.
        """
        asked_ns = self._clock.now_ns()
        start = (HEALTH if with_health else STATE).address
        blocks = self._bus.sync_read(self._ids, start, END - start)
        self._check_alerts(blocks)
        columns = np.array([measure(blocks[servo]) for servo, measure in self._measures])
        ticks, velocities, currents, temperatures = columns.T
        state = JointState(self.angles(ticks), velocities, currents, temperatures, asked_ns)
        self._check_speeds(state)
        if before is not None:
            reach = FASTEST_RAD_S * (state.t_ns - before.t_ns) / NS_PER_S + JUMP_MARGIN_RAD
            self._check_jump(before, state, reach)
        return state, blocks

    def confirmed(self, before: JointState | None) -> JointState:
        """A reading that another one bears out: where an arm holds must not hang on a single packet.

        Raises: as `read`.
        """
        first, _ = self.read(before)
        second, _ = self.read(first)
        self._check_jump(first, second, AGREE_RAD)
        return second

    def angles(self, ticks: Array) -> Array:
        """(J,) as the servos count -> rad."""
        angles: Array = angles_of(ticks - TICKS_PER_TURN * self.turns)
        return angles

    # A checksum of 16 bits lets one broken packet in 65,536 through.

    def _check_jump(self, before: JointState, state: JointState, reach: float) -> None:
        jumps = np.abs(state.positions - before.positions)
        if (jumps > reach).any():
            raise self._implausible(jumps, f"a jump of {jumps.max():.2f} rad")

    def _check_speeds(self, state: JointState) -> None:
        speeds = np.abs(state.velocities)
        if (speeds > FASTEST_RAD_S).any():
            raise self._implausible(speeds, f"a speed of {speeds.max():.3g} rad/s")

    def _implausible(self, sizes: Array, what: str) -> BadPacket:
        self._bus.counts["implausible"] += 1
        joint = list(self._servos)[int(np.argmax(sizes))]
        return BadPacket(f"{joint} reports {what}, which no joint can make", "corrupt")

    def _check_alerts(self, blocks: Mapping[int, Block]) -> None:
        for servo in self._ids:
            if not blocks[servo].has_alert or servo in self.excused:
                continue
            status = self._bus.retrying(partial(self._bus.read, servo, _X["hardware_error_status"]))
            if status:
                told = f"{self._bus.who(servo)}: {in_words(status)}; then restart it with robot.reboot=true"
                raise HardwareFault(told)
            self._bus.counts["implausible"] += 1  # a bit of a broken packet


def _measure_of(servo: ServoConfig) -> Callable[[Block], tuple[float, float, float, float]]:
    """What tells from a block: position [ticks], velocity [rad/s], current [A], temperature [degrees C]."""
    model = model_of(servo)
    registers = model.registers
    has_current = "present_current" in registers
    current = registers["present_current" if has_current else "present_load"]
    amperes = current.scale * (1.0 if has_current else model.stall_current)
    position, velocity = registers["present_position"], registers["present_velocity"]
    temperature = registers["present_temperature"]

    def measure(block: Block) -> tuple[float, float, float, float]:
        return (
            block.raw(position),
            velocity.scale * block.raw(velocity),
            amperes * block.raw(current),
            block.raw(temperature),
        )

    return measure
