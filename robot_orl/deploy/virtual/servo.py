"""One virtual servo: instructions, torque, Bus Watchdog and hardware errors.

Time [ns] and the state of the shaft are arguments; nothing here knows of bytes on a line or of MuJoCo.
Where the manual leaves something open, the choice is the one that is harder on the computer:

- when the torque comes on, the servo drives to whatever its goal is, though a hand may have moved the arm or
  the goal may have been written while the torque was off;
- a servo that has shut itself down refuses `torque_enable` with Result Fail until it is rebooted;
- it is deaf for 0.3 s while it reboots;
- a tripped watchdog takes no new time before it was cleared with 0.

Stored without effect: led, startup_configuration, pwm_slope, the gains but for position_p_gain.
"""

from collections.abc import Mapping

from robot_orl.deploy.dynamixel.registers import (
    BAUD_RATES,
    MAX_ID,
    Area,
    DriveMode,
    HardwareError,
    Model,
    OperatingMode,
    Register,
)
from robot_orl.deploy.virtual.health import Health
from robot_orl.deploy.virtual.motion import Shaft
from robot_orl.deploy.virtual.motor import CURRENT_MODES, Drive, Motor
from robot_orl.deploy.virtual.packets import ALERT, ErrorNumber
from robot_orl.deploy.virtual.table import ControlTable, Refused

FIRMWARE = 46
BOOT_NS = 300_000_000
WATCHDOG_NS = 20_000_000  # unit of register 98
TRIPPED = -1
MULTI_TURN_LIMIT = 1_048_575  # of goal_position in the modes that count turns
CLEAR_TURNS = b"\x01\x44\x58\x4c\x22"
_GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")


class VirtualServo:
    """Answers instructions and drives a motor. health: public, for faults to be made there."""

    def __init__(
        self,
        model: Model,
        own: Mapping[str, int],
        shaft: Shaft,
        now_ns: int = 0,
        max_torque: float | None = None,
    ) -> None:
        """own: EEPROM values that differ from the factory's, such as the id.

        max_torque: what the motor gives at full PWM [N m]; None: the model's stall torque.
        """
        self.model = model
        self.table = ControlTable(model, {"firmware_version": FIRMWARE, **own})
        self.health = Health(model.nominal_voltage)
        self._motor = Motor(model, self.table, max_torque or model.stall_torque, shaft)
        self._registered: tuple[int, bytes] | None = None
        self._deaf_until_ns = now_ns
        self._now_ns = now_ns
        self.table.measure = self._measure
        self._power_on(now_ns)

    # --- what the line asks for -----------------------------------------------------------------------

    @property
    def id(self) -> int:
        return self.table["id"]

    @property
    def secondary_id(self) -> int | None:
        """None: switched off."""
        return self.table["secondary_id"] if self.table["secondary_id"] <= MAX_ID else None

    @property
    def baud_rate(self) -> int:
        return BAUD_RATES[self.table["baud_rate"]]

    @property
    def is_on(self) -> bool:
        return bool(self.table["torque_enable"])

    @property
    def is_shut_down(self) -> bool:
        return bool(self.health.latched & self.table["shutdown"])

    def hears(self, now_ns: int) -> bool:
        return now_ns >= self._deaf_until_ns

    def heard(self, now_ns: int) -> None:
        """An instruction reached it: what the Bus Watchdog waits for."""
        self._heard_ns = now_ns

    def status_error(self, number: ErrorNumber = ErrorNumber.NONE) -> int:
        """The error byte of its status packets."""
        return number | (ALERT if self.health.latched else 0)

    def read(self, address: int, length: int) -> bytes:
        """Raises: Refused: nothing is defined there."""
        return self.table.read(address, length)

    def write(self, address: int, data: bytes, *, ram_only: bool = False) -> None:
        """All of it or nothing. ram_only: asked by the secondary id. Raises: Refused."""
        parts = self.table.parts(address, data)
        for register, raw in parts:
            self._check(register, raw, ram_only)
        for register, raw in parts:
            self._apply(register.name, raw)

    def register_write(self, address: int, data: bytes) -> None:
        """To be done at `action`. Raises: Refused: it could not be done now."""
        for register, raw in self.table.parts(address, data):
            self._check(register, raw, ram_only=False)
        self._registered = (address, data)
        self.table["registered_instruction"] = 1

    def action(self) -> None:
        """Raises: Refused: nothing is registered, or it has become impossible."""
        if self._registered is None:
            raise Refused(ErrorNumber.INSTRUCTION)
        address, data = self._registered
        self._registered = None
        self.table["registered_instruction"] = 0
        self.write(address, data)

    def reboot(self, now_ns: int) -> None:
        self._power_on(now_ns)
        self._deaf_until_ns = now_ns + BOOT_NS

    def factory_reset(self, option: int, now_ns: int) -> None:
        """option: FF all, 01 all but the id, 02 all but id and baud rate. Raises: Refused: another one."""
        kept: Mapping[int, tuple[str, ...]] = {0xFF: (), 0x01: ("id",), 0x02: ("id", "baud_rate")}
        if option not in kept:
            raise Refused(ErrorNumber.DATA_RANGE)
        self.table.reset(Area.EEPROM, kept[option])
        self.table["firmware_version"] = FIRMWARE
        self.reboot(now_ns)

    def clear(self, parameters: bytes) -> None:
        """Forget whole turns. Raises: Refused: moving, or another clear than that."""
        if parameters != CLEAR_TURNS:
            raise Refused(ErrorNumber.DATA_RANGE)
        if self.table["moving"]:
            raise Refused(ErrorNumber.RESULT_FAIL)
        self._motor.forget_turns()
        self._motor.hold()
        self._motor.report()

    # --- what happens to it ---------------------------------------------------------------------------

    def fail(self, error: HardwareError) -> None:
        """A hardware error shows; those that the shutdown mask names switch the motor off."""
        self.health.latched |= error
        self.table["hardware_error_status"] = int(self.health.latched)
        if self.is_shut_down:
            self.table["torque_enable"] = 0

    def trip_watchdog(self) -> None:
        """Stop and hold; goals are refused until 0 is written to the watchdog."""
        self.table["bus_watchdog"] = TRIPPED
        self.table["profile_velocity"] = self.table["profile_acceleration"] = 0
        self.table["goal_velocity"] = 0
        if self._motor.mode == OperatingMode.PWM:
            self.table["goal_pwm"] = 0
        if self._motor.mode == OperatingMode.CURRENT:
            self.table["goal_current"] = 0
        self._motor.hold()

    def tick(self, shaft: Shaft, now_ns: int, dt: float) -> Drive:
        """`dt` seconds have passed and the horn is at `shaft`; what to do until the next tick."""
        self._motor.shaft = shaft
        armed = self.table["bus_watchdog"]
        if self.is_on and armed > 0 and now_ns - self._heard_ns > armed * WATCHDOG_NS:
            self.trip_watchdog()
        self._motor.advance(dt)
        if errors := self.health.watch(abs(self._motor.share), dt, self.table):
            self.fail(errors)
        self._now_ns = now_ns
        self.table.outdate()
        return self._motor.drive()

    def _measure(self) -> None:
        self._motor.report()
        self.table["present_input_voltage"] = round(10 * self.health.voltage)
        self.table["present_temperature"] = min(round(self.health.temperature), 255)
        self.table["realtime_tick"] = (self._now_ns - self._started_ns) // 1_000_000 % 32_768

    # --- registers ------------------------------------------------------------------------------------

    def _check(self, register: Register, raw: int, ram_only: bool) -> None:
        """Raises: Refused."""
        name = register.name
        if register.area == Area.EEPROM and (self.is_on or ram_only):
            raise Refused(ErrorNumber.ACCESS)
        is_tripped = self.table["bus_watchdog"] == TRIPPED
        if name in _GOALS and is_tripped:
            raise Refused(ErrorNumber.DATA_RANGE)
        if name == "torque_enable" and raw and self.is_shut_down:
            raise Refused(ErrorNumber.RESULT_FAIL)
        counts_turns = name == "goal_position" and self._motor.mode != OperatingMode.POSITION
        self.table.check(register, raw, bounded=not counts_turns)
        if (
            (counts_turns and abs(raw) > MULTI_TURN_LIMIT)
            or (name == "operating_mode" and raw not in self._modes())
            or (name == "drive_mode" and raw & ~sum(DriveMode))
            or (name == "protocol_type" and raw != 2)
            or (name == "bus_watchdog" and (raw < 0 or (raw and is_tripped)))
        ):
            raise Refused(ErrorNumber.DATA_RANGE)

    def _modes(self) -> set[int]:
        has_current = "goal_current" in self.table
        return {mode for mode in OperatingMode if has_current or mode not in CURRENT_MODES}

    def _apply(self, name: str, raw: int) -> None:
        was_on, changes = self.is_on, self.table[name] != raw
        self.table[name] = raw
        if name == "operating_mode" and changes:
            self._enter_mode()
        if name in ("drive_mode", "homing_offset", "operating_mode") and changes:
            self._motor.orient()
            self._motor.report()
        if name == "torque_enable" and raw and not was_on:
            self._motor.switch_on()
        if name in _GOALS and not was_on and self._switches_on_by_goal():
            self.table["torque_enable"] = 1
            self._motor.switch_on()
        elif name == "goal_position" and was_on:
            self._motor.pursue()

    def _switches_on_by_goal(self) -> bool:
        return bool(self._motor.drive_mode & DriveMode.TORQUE_ON_BY_GOAL_UPDATE) and not self.is_shut_down

    def _enter_mode(self) -> None:
        """Another operating mode resets gains, profile and goals."""
        for name, register in self.model.registers.items():
            if name.endswith("_gain") and register.initial is not None:
                self.table[name] = register.initial
        self.table["profile_velocity"] = self.table["profile_acceleration"] = 0
        self._reset_goals()
        if self._motor.mode == OperatingMode.POSITION:
            self._motor.forget_turns()

    def _reset_goals(self) -> None:
        self.table["goal_velocity"] = 0
        self.table["goal_pwm"] = self.table["pwm_limit"]
        if "goal_current" in self.table:
            self.table["goal_current"] = self.table["current_limit"]

    def _power_on(self, now_ns: int) -> None:
        self.table.reset(Area.RAM)
        self._registered = None
        self.health.restart()
        self._started_ns = self._heard_ns = now_ns
        self._reset_goals()
        self._motor.orient()
        self._motor.forget_turns()
        self._motor.hold()
        self._motor.report()
