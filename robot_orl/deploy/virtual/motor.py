"""The moving half of a virtual servo: from goals and limits in its table to what is asked of the motor, and
from the shaft to the values that it reports."""

from typing import NamedTuple

from robot_orl.deploy.dynamixel.registers import RAD_PER_TICK, DriveMode, Model, OperatingMode
from robot_orl.deploy.virtual.motion import VELOCITY_TICKS, Encoder, Profile, Shaft
from robot_orl.deploy.virtual.table import ControlTable

FULL_PWM = 885
P_GAIN_SCALE = 128  # PWM per tick of error = register / 128
HOMING_LIMIT = 1_024  # in position mode; larger offsets are ignored there
VELOCITY_LEAD = 400.0  # ticks that a velocity goal may run ahead of a blocked shaft
IN_POSITION = 20  # ticks
POSITION_MODES = (
    OperatingMode.POSITION,
    OperatingMode.EXTENDED_POSITION,
    OperatingMode.CURRENT_BASED_POSITION,
)
CURRENT_MODES = (OperatingMode.CURRENT, OperatingMode.CURRENT_BASED_POSITION)
_POSITION_MODES, _CURRENT_MODES = frozenset(map(int, POSITION_MODES)), frozenset(map(int, CURRENT_MODES))
_CURRENT, _VELOCITY, _POSITION, _PWM = (
    int(OperatingMode[name]) for name in ("CURRENT", "VELOCITY", "POSITION", "PWM")
)


class Drive(NamedTuple):
    """What the servo's electronics ask of its motor.

    target: where to, ticks of the shaft.  torque_limit: the most it uses to get there [N m], 0: limp.
    torque: asked for directly, without a target [N m].  stiffness: of the position loop [N m/rad].
    """

    target: float
    torque_limit: float = 0.0
    torque: float = 0.0
    stiffness: float = 0.0


class Motor:
    """max_torque: at full PWM [N m]."""

    def __init__(self, model: Model, table: ControlTable, max_torque: float, shaft: Shaft) -> None:
        self.model = model
        self.max_torque = max_torque
        self.shaft = shaft
        self._table = table
        self._encoder = Encoder()
        self._profile = Profile()

    @property
    def mode(self) -> int:
        """An OperatingMode."""
        return self._table["operating_mode"]

    @property
    def drive_mode(self) -> int:
        """Bits of DriveMode."""
        return self._table["drive_mode"]

    @property
    def share(self) -> float:
        """Of the full torque, what the motor's current gives now; negative: clockwise."""
        speed = self.shaft.velocity * RAD_PER_TICK
        return (self.shaft.torque - self.model.back_emf * speed) / self.max_torque

    @property
    def _present(self) -> float:
        return self._encoder.present(self.shaft.position)

    def forget_turns(self) -> None:
        """Count from an absolute value within one rotation on."""
        self._encoder.reset(self.shaft.position)

    def orient(self) -> None:
        """Direction and offset in force; goal and trajectory go along with the new count."""
        homing = self._table["homing_offset"]
        is_ignored = self.mode == _POSITION and abs(homing) > HOMING_LIMIT
        self._encoder.reverse = bool(self.drive_mode & DriveMode.REVERSE)
        self._encoder.homing = 0 if is_ignored else homing
        self.hold()

    def hold(self) -> None:
        """Stand where the shaft is."""
        self._profile.hold(self._present)
        self._table["goal_position"] = round(self._present)

    def switch_on(self) -> None:
        if self.mode == _POSITION:
            self.forget_turns()
        self._profile.hold(self._present)
        if self.mode in _POSITION_MODES:
            self.pursue()

    def pursue(self) -> None:
        """A new profile from where the trajectory is to the goal."""
        table = self._table
        goal = float(table["goal_position"])
        if self.mode == _POSITION:
            goal = min(max(goal, table["min_position_limit"]), table["max_position_limit"])
        is_time_based = bool(self.drive_mode & DriveMode.TIME_BASED_PROFILE)
        velocity, acceleration = table["profile_velocity"], table["profile_acceleration"]
        self._profile.lead_to(goal, velocity, acceleration, is_time_based=is_time_based)

    def advance(self, dt: float) -> None:
        """The trajectory goes on by `dt` seconds; without torque it stays with the shaft."""
        present = self._present
        if not self._table["torque_enable"]:
            self._profile.hold(present)
        elif self.mode in _POSITION_MODES:
            self._profile.step(dt)
        elif self.mode == _VELOCITY:
            velocity = self._table["goal_velocity"] * VELOCITY_TICKS
            ahead = self._profile.position + velocity * dt
            self._profile.hold(min(max(ahead, present - VELOCITY_LEAD), present + VELOCITY_LEAD))
            self._profile.velocity = velocity
        else:
            self._profile.hold(present)

    def drive(self) -> Drive:
        table, sign, mode = self._table, self._encoder.sign, self.mode
        target = self._encoder.shaft(self._profile.position)
        if not table["torque_enable"]:
            return Drive(target)
        if mode == _PWM:
            return Drive(target, torque=sign * table["goal_pwm"] / FULL_PWM * self.max_torque)
        limit = abs(table["goal_pwm"]) / FULL_PWM * self.max_torque
        if mode in _CURRENT_MODES:
            wanted = table["goal_current"] * 1e-3 * self.model.torque_constant
            if mode == _CURRENT:
                return Drive(target, torque=sign * min(max(wanted, -limit), limit))
            limit = min(limit, abs(wanted))
        duty_per_tick = table["position_p_gain"] / P_GAIN_SCALE / FULL_PWM
        return Drive(target, limit, stiffness=duty_per_tick * self.max_torque / RAD_PER_TICK)

    def report(self) -> None:
        """Fill in the registers that tell of motion and load."""
        table, shaft, sign = self._table, self.shaft, self._encoder.sign
        velocity = round(sign * shaft.velocity / VELOCITY_TICKS)
        share = sign * self.share
        present = round(self._present)
        table["present_position"] = present
        table["present_velocity"] = velocity
        table["present_pwm"] = _clipped(FULL_PWM * sign * shaft.torque / self.max_torque, FULL_PWM)
        if "present_current" in table:
            amperes = share * self.max_torque / self.model.torque_constant
            table["present_current"] = _clipped(1e3 * amperes, 32_767)
        else:
            table["present_load"] = _clipped(1e3 * share, 1_000)
        table["position_trajectory"] = round(self._profile.position)
        table["velocity_trajectory"] = round(self._profile.velocity / VELOCITY_TICKS)
        is_ongoing = bool(table["torque_enable"]) and self._profile.is_ongoing
        table["moving"] = int(is_ongoing or abs(velocity) > table["moving_threshold"])
        is_in_position = abs(table["goal_position"] - present) <= IN_POSITION
        table["moving_status"] = (self._profile.kind | 0x02) * is_ongoing | is_in_position


def _clipped(value: float, limit: int) -> int:
    return min(max(round(value), -limit), limit)
