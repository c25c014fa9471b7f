"""The control table of Dynamixel X servos as data: XL430-W250, XL330-M288 and -M077, Protocol 2.0.

    address   0 ........ 63 | 64 .................. 147
              EEPROM        | RAM
              kept without  | lost at power-off; goals, gains, limits of the moment
              power; frozen | and what the servo measures
              while torque  |
              is on         |

Numbers are little endian, negative ones in two's complement. The indirect registers (168 and up) are left
out.

Sources, the maker's e-manual: https://emanual.robotis.com/docs/en/dxl/x/xl430-w250/, .../xl330-m288/ and
.../xl330-m077/ (tables, and the sections on each address).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from types import MappingProxyType

TICKS_PER_TURN = 4096
CENTRE_TICK = 2048
BROADCAST_ID = 254
MAX_ID = 252
BAUD_RATES = MappingProxyType(
    {0: 9_600, 1: 57_600, 2: 115_200, 3: 1_000_000, 4: 2_000_000, 5: 3_000_000, 6: 4_000_000, 7: 4_500_000}
)  # bits per second by the value of register `baud_rate`

RAD_PER_TICK = 2 * math.pi / TICKS_PER_TURN
RPM = 2 * math.pi / 60  # [rad/s]


class Area(IntEnum):
    """Where a register lives."""

    EEPROM = 0
    RAM = 1


class OperatingMode(IntEnum):
    """Values of register `operating_mode`; the two current modes exist on the XL330 only."""

    CURRENT = 0
    VELOCITY = 1
    POSITION = 3
    EXTENDED_POSITION = 4
    CURRENT_BASED_POSITION = 5
    PWM = 16


class DriveMode(IntFlag):
    """Bits of register `drive_mode`."""

    REVERSE = 0x01
    TIME_BASED_PROFILE = 0x04
    TORQUE_ON_BY_GOAL_UPDATE = 0x08


class HardwareError(IntFlag):
    """Bits of registers `hardware_error_status` and `shutdown`."""

    INPUT_VOLTAGE = 0x01
    OVERHEATING = 0x04
    MOTOR_ENCODER = 0x08
    ELECTRICAL_SHOCK = 0x10
    OVERLOAD = 0x20


HARDWARE_ERROR_MEANING: Mapping[HardwareError, str] = MappingProxyType(
    {
        HardwareError.INPUT_VOLTAGE: "input voltage outside of its limits",
        HardwareError.OVERHEATING: "internal temperature above its limit",
        HardwareError.MOTOR_ENCODER: "the motor's encoder fails",
        HardwareError.ELECTRICAL_SHOCK: "electrical shock on the circuit, or too little power for the motor",
        HardwareError.OVERLOAD: "load above the maximum for too long",
    }
)


@dataclass(frozen=True)
class Register:
    """One item of the table.

    address, size: where and how many bytes (1, 2 or 4).  unit, scale: raw * scale is the value in `unit`;
    '1' has none.  low, high: range of raw values, None: not stated.  within: names of the registers that
    bound it besides, '-' in front: negated.  initial: the factory's raw value, None: measured or unstated.
    """

    name: str
    address: int
    size: int
    area: Area
    writable: bool
    signed: bool = False
    unit: str = "1"
    scale: float = 1.0
    initial: int | None = None
    low: int | None = None
    high: int | None = None
    within: tuple[str, str] | None = None

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def decode(self, data: bytes) -> int:
        """Raw value of `size` bytes."""
        return int.from_bytes(data, "little", signed=self.signed)

    def encode(self, raw: int) -> bytes:
        """`size` bytes. Raises: OverflowError: it does not fit."""
        return int(raw).to_bytes(self.size, "little", signed=self.signed)

    def from_raw(self, raw: int) -> float:
        """The value in `unit`."""
        return raw * self.scale

    def to_raw(self, value: float) -> int:
        """The nearest raw value of one in `unit`."""
        return round(value / self.scale)


@dataclass(frozen=True)
class Model:
    """A servo type: its number, its registers by name, and what its motor can do.

    stall_torque [N m], stall_current [A] and no_load_speed [rad/s] as specified for nominal_voltage [V].
    """

    name: str
    number: int
    registers: Mapping[str, Register]
    nominal_voltage: float
    stall_torque: float
    stall_current: float
    no_load_speed: float

    @property
    def torque_constant(self) -> float:
        """Torque per current at stall [N m/A], gears and their friction included."""
        return self.stall_torque / self.stall_current

    @property
    def back_emf(self) -> float:
        """Torque that the motor's own voltage costs it per speed [N m s/rad]."""
        return self.stall_torque / self.no_load_speed


def _eeprom(name: str, address: int, size: int, initial: int | None, low: int, high: int) -> Register:
    return Register(name, address, size, Area.EEPROM, True, low < 0, initial=initial, low=low, high=high)


def _ram(name: str, address: int, size: int, initial: int | None, low: int, high: int) -> Register:
    return Register(name, address, size, Area.RAM, True, low < 0, initial=initial, low=low, high=high)


def _measured(name: str, address: int, size: int, *, signed: bool = False) -> Register:
    return Register(name, address, size, Area.RAM, False, signed)


def _fixed(name: str, address: int, size: int, initial: int | None) -> Register:
    return Register(name, address, size, Area.EEPROM, False, initial=initial)


_INT32 = 2**31 - 1
# Registers of both models; initial values and ranges are the XL430's where the models differ.
_COMMON = (
    _fixed("model_number", 0, 2, 1060),
    _fixed("model_information", 2, 4, None),
    _fixed("firmware_version", 6, 1, None),
    _eeprom("id", 7, 1, 1, 0, MAX_ID),
    _eeprom("baud_rate", 8, 1, 1, 0, 7),
    _eeprom("return_delay_time", 9, 1, 250, 0, 254),
    _eeprom("drive_mode", 10, 1, 0, 0, 13),
    _eeprom("operating_mode", 11, 1, 3, 0, 16),
    _eeprom("secondary_id", 12, 1, 255, 0, 255),  # above 252: none
    _eeprom("protocol_type", 13, 1, 2, 1, 2),
    _eeprom("homing_offset", 20, 4, 0, -1_044_479, 1_044_479),
    _eeprom("moving_threshold", 24, 4, 10, 0, 1_023),
    _eeprom("temperature_limit", 31, 1, 72, 0, 100),
    _eeprom("max_voltage_limit", 32, 2, 140, 60, 140),
    _eeprom("min_voltage_limit", 34, 2, 60, 60, 140),
    _eeprom("pwm_limit", 36, 2, 885, 0, 885),
    _eeprom("velocity_limit", 44, 4, 265, 0, 1_023),
    _eeprom("max_position_limit", 48, 4, 4_095, 0, 4_095),
    _eeprom("min_position_limit", 52, 4, 0, 0, 4_095),
    _eeprom("startup_configuration", 60, 1, 0, 0, 3),
    _eeprom("shutdown", 63, 1, 52, 0, 63),
    _ram("torque_enable", 64, 1, 0, 0, 1),
    _ram("led", 65, 1, 0, 0, 1),
    _ram("status_return_level", 68, 1, 2, 0, 2),
    replace(_measured("registered_instruction", 69, 1), initial=0),
    replace(_measured("hardware_error_status", 70, 1), initial=0),
    _ram("velocity_i_gain", 76, 2, 1_000, 0, 16_383),
    _ram("velocity_p_gain", 78, 2, 100, 0, 16_383),
    _ram("position_d_gain", 80, 2, 4_000, 0, 16_383),
    _ram("position_i_gain", 82, 2, 0, 0, 16_383),
    _ram("position_p_gain", 84, 2, 640, 0, 16_383),
    _ram("feedforward_2nd_gain", 88, 2, 0, 0, 16_383),
    _ram("feedforward_1st_gain", 90, 2, 0, 0, 16_383),
    _ram("bus_watchdog", 98, 1, 0, -1, 127),  # 0: off; 1 .. 127: armed; reads -1 once it has tripped
    replace(_ram("goal_pwm", 100, 2, None, -885, 885), within=("-pwm_limit", "pwm_limit")),
    replace(_ram("goal_velocity", 104, 4, None, -1_023, 1_023), within=("-velocity_limit", "velocity_limit")),
    _ram("profile_acceleration", 108, 4, 0, 0, 32_767),
    _ram("profile_velocity", 112, 4, 0, 0, 32_767),
    replace(
        _ram("goal_position", 116, 4, None, -_INT32, _INT32),
        within=("min_position_limit", "max_position_limit"),
    ),
    _measured("realtime_tick", 120, 2),
    replace(_measured("moving", 122, 1), initial=0),
    replace(_measured("moving_status", 123, 1), initial=0),
    _measured("present_pwm", 124, 2, signed=True),
    _measured("present_velocity", 128, 4, signed=True),
    _measured("present_position", 132, 4, signed=True),
    _measured("velocity_trajectory", 136, 4, signed=True),
    _measured("position_trajectory", 140, 4, signed=True),
    _measured("present_input_voltage", 144, 2),
    _measured("present_temperature", 146, 1),
    _measured("backup_ready", 147, 1),
)
_XL430 = (*_COMMON, _measured("present_load", 126, 2, signed=True))
_XL330 = (
    *_COMMON,
    _eeprom("current_limit", 38, 2, 1_750, 0, 1_750),
    _eeprom("pwm_slope", 62, 1, 140, 1, 255),
    replace(_ram("goal_current", 102, 2, None, -1_750, 1_750), within=("-current_limit", "current_limit")),
    _measured("present_current", 126, 2, signed=True),
)

# Unit and scale of raw values; profiles as velocity-based ones (drive mode), gains as in the control loop.
_PWM, _VELOCITY, _POSITION = ("1", 0.00113), ("rad/s", 0.229 * RPM), ("rad", RAD_PER_TICK)
_UNITS: Mapping[str, tuple[str, float]] = {
    "return_delay_time": ("s", 2e-6),
    "homing_offset": _POSITION,
    "moving_threshold": _VELOCITY,
    "temperature_limit": ("degC", 1.0),
    "max_voltage_limit": ("V", 0.1),
    "min_voltage_limit": ("V", 0.1),
    "pwm_limit": _PWM,
    "current_limit": ("A", 1e-3),
    "velocity_limit": _VELOCITY,
    "max_position_limit": _POSITION,
    "min_position_limit": _POSITION,
    "pwm_slope": ("V/s", 1.977),
    "velocity_i_gain": ("1", 1 / 65_536),
    "velocity_p_gain": ("1", 1 / 128),
    "position_d_gain": ("1", 1 / 16),
    "position_i_gain": ("1", 1 / 65_536),
    "position_p_gain": ("1", 1 / 128),
    "feedforward_2nd_gain": ("1", 1 / 4),
    "feedforward_1st_gain": ("1", 1 / 4),
    "bus_watchdog": ("s", 0.02),
    "goal_pwm": _PWM,
    "goal_current": ("A", 1e-3),
    "goal_velocity": _VELOCITY,
    "profile_acceleration": ("rad/s^2", 214.577 * RPM / 60),
    "profile_velocity": _VELOCITY,
    "goal_position": _POSITION,
    "realtime_tick": ("s", 1e-3),
    "present_pwm": _PWM,
    "present_load": ("1", 1e-3),
    "present_current": ("A", 1e-3),
    "present_velocity": _VELOCITY,
    "present_position": _POSITION,
    "velocity_trajectory": _VELOCITY,
    "position_trajectory": _POSITION,
    "present_input_voltage": ("V", 0.1),
    "present_temperature": ("degC", 1.0),
}
# name: (initial, low, high) where the XL330 differs
_XL330_VALUES: Mapping[str, tuple[int | None, int | None, int | None]] = {
    "model_number": (1200, None, None),
    "baud_rate": (1, 0, 6),
    "protocol_type": (2, 2, 22),
    "temperature_limit": (70, 0, 100),
    "max_voltage_limit": (70, 31, 70),
    "min_voltage_limit": (35, 31, 70),
    "velocity_limit": (445, 0, 2_047),
    "shutdown": (53, 0, 63),
    "velocity_i_gain": (1_600, 0, 16_383),
    "velocity_p_gain": (180, 0, 16_383),
    "position_d_gain": (0, 0, 16_383),
    "position_p_gain": (400, 0, 16_383),
    "goal_velocity": (None, -2_047, 2_047),
}


def _table(
    registers: tuple[Register, ...], values: Mapping[str, tuple[int | None, int | None, int | None]]
) -> Mapping[str, Register]:
    """Registers by name, in the order of their addresses, with units and a model's own values."""
    table = {}
    for register in sorted(registers, key=lambda item: item.address):
        initial, low, high = values.get(register.name, (register.initial, register.low, register.high))
        unit, scale = _UNITS.get(register.name, ("1", 1.0))
        table[register.name] = replace(register, unit=unit, scale=scale, initial=initial, low=low, high=high)
    return MappingProxyType(table)


XL430_W250 = Model("XL430-W250", 1060, _table(_XL430, {}), 12.0, 1.5, 1.4, no_load_speed=61 * RPM)
XL330_M288 = Model(
    "XL330-M288", 1200, _table(_XL330, _XL330_VALUES), 5.0, 0.52, 1.47, no_load_speed=103 * RPM
)
_M077_VALUES = {**_XL330_VALUES, "model_number": (1190, None, None), "velocity_limit": (1_620, 0, 2_047)}
XL330_M077 = Model(  # of leader arms: so little gear that a hand turns it
    "XL330-M077", 1190, _table(_XL330, _M077_VALUES), 5.0, 0.215, 1.47, no_load_speed=383 * RPM
)
MODELS: Mapping[int, Model] = MappingProxyType(
    {model.number: model for model in (XL430_W250, XL330_M288, XL330_M077)}
)
