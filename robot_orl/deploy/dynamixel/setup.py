"""Who is on the bus, what is wrong with them, and their registers as the configuration says."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from robot_orl.deploy.dynamixel.bus import BadPacket, Block, Bus, model_name
from robot_orl.deploy.dynamixel.calibration import JointCalibration
from robot_orl.deploy.dynamixel.config import MODES, ServoConfig
from robot_orl.deploy.dynamixel.registers import (
    HARDWARE_ERROR_MEANING,
    MODELS,
    Area,
    HardwareError,
    Model,
    Register,
)
from robot_orl.errors import RunError

TABLE_BYTES = 147  # up to the temperature
REBOOT_S = 1.0  # within which a servo answers again
WHAT_TO_DO = {
    HardwareError.INPUT_VOLTAGE: "check the power supply and its plugs",
    HardwareError.OVERHEATING: "let it cool, and ask less of it",
    HardwareError.MOTOR_ENCODER: "the servo needs repair",
    HardwareError.ELECTRICAL_SHOCK: "check the supply and the servo's cable",
    HardwareError.OVERLOAD: "free the joint of what it pushes against",
}


class HardwareFault(RunError):
    """A servo reports a hardware error."""


def model_of(servo: ServoConfig) -> Model:
    return next(model for model in MODELS.values() if model.name == servo.model)


def in_words(status: int) -> str:
    """The bits of register hardware_error_status: what they mean and what to do."""
    known = [error for error in HARDWARE_ERROR_MEANING if status & error]
    said = [
        f"{str(error.name).lower().replace('_', ' ')}: {HARDWARE_ERROR_MEANING[error]}; {WHAT_TO_DO[error]}"
        for error in known
    ]
    if rest := status & ~sum(known):
        said.append(f"unknown hardware error 0x{rest:02x}")
    return "; ".join(said)


def find_servos(bus: Bus, servos: Mapping[str, ServoConfig]) -> None:
    """Raises: RunError: one is missing, says who was found; or is of another model."""
    missing = []
    for servo in servos.values():
        try:
            number = bus.retrying(partial(bus.ping, servo.id))
        except BadPacket:
            missing.append(servo)
            continue
        if number != model_of(servo).number:
            raise RunError(
                f"{bus.who(servo.id)} is an {model_name(number)}, its servo table says {servo.model}"
            )
    if missing:
        found = ", ".join(f"{servo} ({model_name(number)})" for servo, number in bus.scan().items())
        raise RunError(
            f"no answer from {', '.join(bus.who(servo.id) for servo in missing)}; "
            + (
                f"found ids: {found}"
                if found
                else "nobody answers: is the arm powered, is the baud rate right?"
            )
        )


def read_tables(bus: Bus, servos: Mapping[str, ServoConfig]) -> dict[str, Block]:
    """All registers of every servo, by joint."""
    ids = [servo.id for servo in servos.values()]
    blocks = bus.retrying(lambda: bus.sync_read(ids, 0, TABLE_BYTES))
    return {joint: blocks[servo.id] for joint, servo in servos.items()}


def clear_errors(
    bus: Bus, servos: Mapping[str, ServoConfig], reboot: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Restart servos with a hardware error if allowed. Raises: HardwareFault: it is not, or it came back."""
    failing = _errors(bus, servos)
    if not failing:
        return
    if reboot:
        for joint in failing:
            bus.retrying(partial(bus.reboot, servos[joint].id))
        sleep(REBOOT_S)
        failing = _errors(bus, servos)
    if failing:
        said = "; ".join(f"{bus.who(servos[joint].id)}: {in_words(raw)}" for joint, raw in failing.items())
        again = "it is back after a restart" if reboot else "then restart it with robot.reboot=true"
        raise HardwareFault(f"{said}; {again}")


def _errors(bus: Bus, servos: Mapping[str, ServoConfig]) -> dict[str, int]:
    tables = read_tables(bus, servos)
    raws = {
        joint: table.raw(model_of(servos[joint]).registers["hardware_error_status"])
        for joint, table in tables.items()
    }
    return {joint: raw for joint, raw in raws.items() if raw}


def wanted(servo: ServoConfig, joint: JointCalibration) -> dict[str, int]:
    """Raw values of the registers that we set, by name, in the order in which they must be written.

    The operating mode comes before gains, profile and goals: a servo resets those with it.
    """
    registers = model_of(servo).registers

    def raw(name: str, value: float) -> int:
        register = registers[name]
        assert register.low is not None
        assert register.high is not None
        return min(max(register.to_raw(value), register.low), register.high)

    pwm = round(servo.pwm_limit * (registers["pwm_limit"].high or 0))
    values = {
        "return_delay_time": 0,
        "drive_mode": joint.drive_mode,
        "operating_mode": MODES[servo.mode],
        "homing_offset": joint.homing_offset,
        "pwm_limit": pwm,
        "status_return_level": 2,
        "position_p_gain": servo.p_gain,
        "position_i_gain": servo.i_gain,
        "position_d_gain": servo.d_gain,
        "goal_pwm": pwm,
        "profile_acceleration": raw("profile_acceleration", servo.profile_acceleration_rad_s2),
        "profile_velocity": raw("profile_velocity", servo.profile_speed_rad_s),
    }
    if servo.current_limit_a:
        limit = raw("current_limit", servo.current_limit_a)
        values |= {"current_limit": limit, "goal_current": limit}
    if servo.mode == "position":
        values |= {"min_position_limit": max(joint.low, 0), "max_position_limit": min(joint.high, 4095)}
    return dict(sorted(values.items(), key=lambda item: registers[item[0]].area))


def set_up(
    bus: Bus, servos: Mapping[str, ServoConfig], joints: Mapping[str, JointCalibration], let_go: bool
) -> bool:
    """Write what differs and read it back. Returns: whether the torque is on.

    An arm that holds a pose keeps holding it, unless what differs cannot be written so.
    Raises: RunError: the torque would have to go off and may not; a servo did not take a value.
    """
    tables = read_tables(bus, servos)
    _write(bus, servos, {j: {_register(servos[j], "bus_watchdog"): 0} for j in servos}, tables)
    changes = _differing(servos, joints, tables)
    on = [joint for joint in servos if tables[joint].raw(_register(servos[joint], "torque_enable"))]
    held = {joint: [r.name for r in changes[joint] if r.area is Area.EEPROM] for joint in on}
    reasons = [f"{joint}: {', '.join(names)} must change" for joint, names in held.items() if names]
    if 0 < len(on) < len(servos):
        reasons.append(f"only {', '.join(on)} hold their pose")
    if reasons and not let_go:
        raise RunError(
            f"the arm must let go of the pose that it holds ({'; '.join(reasons)}); support it and add "
            "robot.let_go=true"
        )
    if reasons:
        _write(bus, servos, {joint: {_register(servos[joint], "torque_enable"): 0} for joint in on}, tables)
        on = []
    for area in (Area.EEPROM, Area.RAM):  # another operating mode resets gains, profile and goals
        chosen = {
            joint: {register: raw for register, raw in differences.items() if register.area is area}
            for joint, differences in _differing(servos, joints, tables).items()
        }
        _write(bus, servos, chosen, tables)
        tables = read_tables(bus, servos)
    for joint, differences in _differing(servos, joints, tables).items():
        for register, raw in differences.items():
            raise RunError(f"{bus.who(servos[joint].id)} did not take {register.name} {raw}")
    return bool(on)


def _register(servo: ServoConfig, name: str) -> Register:
    return model_of(servo).registers[name]


def _differing(
    servos: Mapping[str, ServoConfig],
    joints: Mapping[str, JointCalibration],
    tables: Mapping[str, Block],
) -> dict[str, dict[Register, int]]:
    """Per joint the registers that are not as wanted, and what they should be."""
    found: dict[str, dict[Register, int]] = {}
    for name, servo in servos.items():
        values = {_register(servo, register): raw for register, raw in wanted(servo, joints[name]).items()}
        found[name] = {register: raw for register, raw in values.items() if tables[name].raw(register) != raw}
    return found


def _write(
    bus: Bus,
    servos: Mapping[str, ServoConfig],
    values: Mapping[str, Mapping[Register, int]],
    tables: Mapping[str, Block],
) -> None:
    """Those values that `tables` does not show already."""
    for joint, registers in values.items():
        for register, raw in registers.items():
            if tables[joint].raw(register) != raw:
                bus.retrying(partial(bus.write, servos[joint].id, register, raw))
