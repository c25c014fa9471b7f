"""What a virtual servo does with its registers, by the maker's manual."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_toys import MS, XL330_M288, XL430_W250, Line, make_servo, run

from robot_orl.deploy.dynamixel.registers import MODELS, Area, HardwareError, Model, OperatingMode
from robot_orl.deploy.virtual.motion import ACCELERATION_TICKS, VELOCITY_TICKS, Encoder, Profile, Shaft
from robot_orl.deploy.virtual.packets import ALERT, Instruction

OK, RESULT_FAIL, INSTRUCTION, RANGE, LENGTH, LIMIT, ACCESS = 0, 1, 2, 4, 5, 6, 7


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_writable_register_takes_its_factory_value_and_nothing_beyond_its_range(model: Model) -> None:
    for name, register in model.registers.items():
        line = Line(make_servo(1, model))
        before = line.read(1, name, model)
        if not register.writable:
            assert line.write(1, name, before, model) == ACCESS
        elif register.low is not None and register.high is not None:
            initial = {"id": 1, "baud_rate": 3}.get(name, register.initial)
            assert line.write(1, name, initial if initial is not None else before, model) == OK
            for beyond in (register.low - 1, register.high + 1):
                fits = 0 <= beyond + (1 << 8 * register.size - 1) * register.signed < 1 << 8 * register.size
                if fits and name != "goal_position":
                    assert line.write(1, name, beyond, model) == RANGE, (name, beyond)


def test_eeprom_is_frozen_while_the_torque_is_on() -> None:
    line = Line(make_servo(1))
    assert line.write(1, "torque_enable", 1) == OK
    assert line.write(1, "return_delay_time", 5) == ACCESS
    assert line.write(1, "position_p_gain", 5) == OK
    assert line.write(1, "torque_enable", 0) == OK
    assert line.write(1, "return_delay_time", 5) == OK


def test_goals_keep_within_the_limits_that_other_registers_set() -> None:
    line = Line(make_servo(1, own={"min_position_limit": 1000, "max_position_limit": 3000, "pwm_limit": 400}))
    assert [line.write(1, "goal_position", raw) for raw in (999, 1000, 3000, 3001)] == [LIMIT, OK, OK, LIMIT]
    assert [line.write(1, "goal_pwm", raw) for raw in (-401, -400, 400, 401)] == [LIMIT, OK, OK, LIMIT]
    line.write(1, "operating_mode", OperatingMode.EXTENDED_POSITION)
    assert [line.write(1, "goal_position", raw) for raw in (-1_048_575, 1_048_576)] == [OK, RANGE]


def test_half_a_register_and_what_is_no_register_are_refused() -> None:
    line = Line(make_servo(1))
    assert line.ask(1, Instruction.WRITE, b"\x74\x00\x00\x08") == [(1, LENGTH, b"")]
    assert line.ask(1, Instruction.WRITE, b"\x76\x00\x00\x08") == [(1, LENGTH, b"")]
    assert line.ask(1, Instruction.WRITE, b"\x78\x03\x00") == [(1, ACCESS, b"")]
    assert line.ask(1, Instruction.READ, b"\x0e\x00\x02\x00") == [(1, ACCESS, b"")]
    assert line.ask(1, Instruction.READ, b"\x90\x00\x40\x00") == [(1, ACCESS, b"")]
    assert line.ask(1, Instruction.READ, b"\x0d\x00\x03\x00") == [(1, OK, b"\x02\0\0")]  # and a gap


def test_a_write_of_several_registers_is_done_whole_or_not_at_all() -> None:
    line = Line(make_servo(1))
    head = b"\x6c\x00" + (10).to_bytes(4, "little") + (20).to_bytes(4, "little")  # registers 108 and 112
    assert line.ask(1, Instruction.WRITE, head + (5000).to_bytes(4, "little")) == [(1, LIMIT, b"")]
    assert line.read(1, "profile_velocity") == 0
    assert line.ask(1, Instruction.WRITE, head + (2500).to_bytes(4, "little")) == [(1, OK, b"")]
    assert (line.read(1, "profile_acceleration"), line.read(1, "profile_velocity")) == (10, 20)


def test_modes_are_those_of_the_model() -> None:
    for model, modes in ((XL430_W250, {1, 3, 4, 16}), (XL330_M288, {0, 1, 3, 4, 5, 16})):
        line = Line(make_servo(1, model))
        taken = {mode for mode in range(17) if line.write(1, "operating_mode", mode, model) == OK}
        assert taken == modes


def test_another_mode_resets_gains_and_profile() -> None:
    line = Line(make_servo(1))
    line.write(1, "position_p_gain", 100)
    line.write(1, "profile_velocity", 100)
    line.write(1, "operating_mode", OperatingMode.EXTENDED_POSITION)
    assert (line.read(1, "position_p_gain"), line.read(1, "profile_velocity")) == (400, 0)
    assert (line.read(1, "goal_pwm"), line.read(1, "goal_current")) == (885, 1750)


# --- Bus Watchdog: the example of the manual, section Bus Watchdog(98) -----------------------------------


def test_the_watchdog_stops_the_servo_and_refuses_goals_until_it_is_cleared() -> None:
    servo = make_servo(1)
    line = Line(servo)
    line.write(1, "operating_mode", OperatingMode.VELOCITY)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_velocity", 50)
    assert line.write(1, "bus_watchdog", 100) == OK  # 2 s
    servo.tick(Shaft(2048.0), 2000 * MS, 0.01)
    assert servo.table["bus_watchdog"] == 100
    servo.tick(Shaft(2048.0), 2001 * MS, 0.01)
    line.now_ns = 2001 * MS
    assert line.read(1, "bus_watchdog") == -1
    assert line.read(1, "goal_velocity") == 0
    assert line.write(1, "goal_velocity", 150) == RANGE
    assert line.write(1, "goal_position", 2048) == RANGE
    assert line.write(1, "bus_watchdog", 100) == RANGE  # only 0 clears it
    assert line.write(1, "bus_watchdog", 0) == OK
    assert line.write(1, "goal_velocity", 150) == OK


def test_any_instruction_to_a_servo_feeds_its_watchdog_and_without_torque_it_sleeps() -> None:
    servo = make_servo(1)
    line = Line(servo, make_servo(2))
    line.write(1, "bus_watchdog", 1)  # 20 ms
    run(servo, 0.1)
    assert servo.table["bus_watchdog"] == 1  # the torque is off
    line.now_ns = 100 * MS
    line.write(1, "torque_enable", 1)
    for at_ms in range(110, 200, 10):
        line.now_ns = at_ms * MS
        line.sync_read("present_position", [1, 2])
        servo.tick(Shaft(2048.0), line.now_ns, 0.01)
    assert servo.table["bus_watchdog"] == 1
    for at_ms in range(200, 230, 10):
        line.now_ns = at_ms * MS
        line.ask(2, Instruction.PING)  # another's
        servo.tick(Shaft(2048.0), line.now_ns, 0.01)
    assert servo.table["bus_watchdog"] == -1


def test_a_tripped_watchdog_holds_where_the_arm_is() -> None:
    servo = make_servo(1)
    line = Line(servo)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_position", 3000)
    servo.trip_watchdog()
    drive = servo.tick(Shaft(2500.0), MS, 0.001)
    assert servo.table["goal_position"] == 2048  # where it was when it tripped
    assert drive.target == 2048
    assert drive.torque_limit > 0


# --- hardware errors -------------------------------------------------------------------------------------


def test_an_error_of_the_shutdown_mask_takes_the_torque_until_a_reboot() -> None:
    servo = make_servo(1)
    line = Line(servo)
    line.write(1, "torque_enable", 1)
    servo.fail(HardwareError.ELECTRICAL_SHOCK)
    assert servo.tick(Shaft(2048.0), MS, 0.001).torque_limit == 0
    assert line.ask(1, Instruction.PING)[0][1] == ALERT
    assert line.read(1, "hardware_error_status") == 0x10
    assert line.read(1, "torque_enable") == 0
    assert line.write(1, "torque_enable", 1) == ALERT | RESULT_FAIL
    assert line.ask(1, Instruction.REBOOT) == [(1, ALERT, b"")]
    assert line.ask(1, Instruction.PING) == []  # deaf while it boots
    line.now_ns += 300 * MS
    assert line.ask(1, Instruction.PING)[0][1] == OK
    assert line.write(1, "torque_enable", 1) == OK


def test_an_error_outside_of_the_mask_only_shows() -> None:
    servo = make_servo(1, own={"shutdown": 0})
    line = Line(servo)
    line.write(1, "torque_enable", 1)
    servo.fail(HardwareError.OVERLOAD)
    assert line.read(1, "torque_enable") == 1
    assert line.ask(1, Instruction.PING)[0][1] == ALERT


def test_a_motor_at_its_limit_is_overloaded_after_a_second_and_hot_within_a_minute() -> None:
    servo = make_servo(1, own={"shutdown": 0x04})  # only heat switches it off
    servo.write(64, b"\x01")
    stalled = Shaft(2048.0, torque=-XL330_M288.stall_torque)
    for _ in range(10):
        servo.tick(stalled, 0, 0.1)
    assert not servo.health.latched
    servo.tick(stalled, 0, 0.1)
    assert servo.health.latched == HardwareError.OVERLOAD
    assert servo.is_on
    for _ in range(60):
        servo.tick(stalled, 0, 1.0)
    assert servo.health.latched == HardwareError.OVERLOAD | HardwareError.OVERHEATING
    assert not servo.is_on
    assert servo.table["present_temperature"] > servo.table["temperature_limit"]
    servo.reboot(0)
    servo.tick(Shaft(2048.0), 0, 0.1)
    assert servo.health.latched == HardwareError.OVERHEATING  # it is still hot


def test_a_supply_outside_of_its_limits_is_an_error() -> None:
    servo = make_servo(1)
    servo.health.voltage = 3.4
    servo.tick(Shaft(2048.0), 0, 0.01)
    assert servo.health.latched == HardwareError.INPUT_VOLTAGE
    assert servo.table["present_input_voltage"] == 34


# --- counting --------------------------------------------------------------------------------------------


def test_positions_by_hand() -> None:
    """Shaft 2500: reversed it is 4096 - 2500 = 1596; the offset is added to either, its sign kept."""
    servo = make_servo(1, shaft=2500.0)
    line = Line(servo)
    assert line.read(1, "present_position") == 2500
    line.write(1, "homing_offset", -300)
    assert line.read(1, "present_position") == 2200
    line.write(1, "drive_mode", 1)
    assert line.read(1, "present_position") == 1296
    line.write(1, "homing_offset", 1024)
    assert line.read(1, "present_position") == 2620
    line.write(1, "homing_offset", 1025)  # too large for position mode, so ignored there
    assert line.read(1, "present_position") == 1596
    line.write(1, "operating_mode", OperatingMode.EXTENDED_POSITION)
    assert line.read(1, "present_position") == 2621


def test_turns_are_counted_until_a_start_forgets_them() -> None:
    servo = make_servo(1, shaft=-100.0)  # below the encoder's zero
    line = Line(servo)
    assert line.read(1, "present_position") == 3996
    servo.tick(Shaft(5000.0), 0, 0.01)
    assert line.read(1, "present_position") == 9096  # without torque every turn counts, whatever the mode
    line.write(1, "torque_enable", 1)  # position mode: back within one rotation
    servo.tick(Shaft(5000.0), 0, 0.01)
    assert line.read(1, "present_position") == 904
    line.write(1, "torque_enable", 0)
    line.write(1, "operating_mode", OperatingMode.EXTENDED_POSITION)
    servo.tick(Shaft(9200.0), 0, 0.01)
    assert line.read(1, "present_position") == 5104
    line.write(1, "torque_enable", 1)
    assert line.read(1, "present_position") == 5104
    assert line.ask(1, Instruction.CLEAR, b"\x01\x44\x58\x4c\x22") == [(1, OK, b"")]
    assert line.read(1, "present_position") == 1008
    assert line.ask(1, Instruction.CLEAR, b"\x02\x44\x58\x4c\x22") == [(1, RANGE, b"")]


def test_turns_are_not_forgotten_in_motion() -> None:
    servo = make_servo(1)
    servo.tick(Shaft(2048.0, velocity=2000.0), 0, 0.01)
    assert Line(servo).ask(1, Instruction.CLEAR, b"\x01\x44\x58\x4c\x22") == [(1, RESULT_FAIL, b"")]


@given(
    st.integers(-20_000, 20_000),
    st.booleans(),
    st.integers(-1_000_000, 1_000_000),
)
@settings(max_examples=60, deadline=None)
def test_goals_and_positions_are_counted_alike(shaft: int, reverse: bool, homing: int) -> None:
    encoder = Encoder(reverse, homing)
    encoder.reset(shaft)
    assert 0 <= encoder.present(shaft) - homing < 4096
    assert encoder.shaft(encoder.present(shaft)) == shaft


def test_what_is_measured_is_told_in_the_direction_of_the_drive_mode() -> None:
    """30 units of 0.229 rev/min are 0.7194 rad/s and cost 0.52 N m / (103 rev/min) * 0.7194 = 0.0347 N m."""
    for reverse, sign in ((0, 1), (1, -1)):
        servo = make_servo(1, own={"drive_mode": reverse})
        servo.tick(Shaft(2048.0, velocity=VELOCITY_TICKS * 30, torque=0.26), 0, 0.01)  # half of the torque
        line = Line(servo)
        assert line.read(1, "present_velocity") == sign * 30
        assert line.read(1, "present_pwm") == sign * 442
        assert line.read(1, "present_current") == sign * 637  # (0.26 - 0.0347) / 0.3537 A
        assert line.read(1, "moving") == 1


def test_a_motor_that_runs_freely_at_full_voltage_draws_nothing_and_is_not_overloaded() -> None:
    servo = make_servo(1, XL430_W250)
    full_speed = 61 / 60 * 4096
    for _ in range(50):
        servo.tick(Shaft(2048.0, velocity=full_speed, torque=1.5), 0, 0.1)
    assert servo.table["present_load"] == 0
    assert servo.table["present_pwm"] == 885
    assert not servo.health.latched


# --- goals -----------------------------------------------------------------------------------------------


def test_a_profile_moves_at_its_speed() -> None:
    """Velocity 100: 22.9 rev/min, 1563.3 ticks/s."""
    servo = make_servo(1)
    line = Line(servo)
    line.write(1, "profile_velocity", 100)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_position", 3048)
    assert run(servo, 0.5).target == pytest.approx(2048 + 781.7, abs=1)
    assert line.read(1, "moving") == 1
    assert line.read(1, "moving_status") == 0x12  # rectangular, ongoing
    assert run(servo, 0.5).target == 3048
    assert (line.read(1, "moving_status"), line.read(1, "velocity_trajectory")) == (0x01, 0)


def test_without_a_profile_the_goal_is_a_step() -> None:
    servo = make_servo(1)
    line = Line(servo)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_position", 3048)
    assert servo.tick(Shaft(2048.0), 0, 0.001).target == 3048


@given(
    st.floats(0, 4095),
    st.floats(0, 4095),
    st.integers(50, 500),
    st.integers(0, 200),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_every_profile_arrives_within_its_limits(
    start: float, goal: float, velocity: int, acceleration: int, is_time_based: bool, changes_mind: bool
) -> None:
    profile, dt = Profile(), 0.01
    profile.hold(start)
    profile.lead_to(goal, velocity, acceleration, is_time_based=is_time_based)
    last, steps = (profile.position, profile.velocity), 0
    while profile.is_ongoing:
        profile.step(dt)
        assert abs(profile.position - last[0]) <= profile._speed * dt + 0.5
        if profile._acceleration and profile.is_ongoing:
            assert abs(profile.velocity - last[1]) <= profile._acceleration * dt + 1e-6
        last, steps = (profile.position, profile.velocity), steps + 1
        if changes_mind and steps == 3 and not is_time_based:
            profile.lead_to(goal := start, velocity, acceleration, is_time_based=False)
        assert steps < 100_000
    assert (profile.position, profile.velocity) == (goal, 0.0)


def test_a_time_based_profile_takes_its_time() -> None:
    for acceleration in (0, 200):
        profile = Profile()
        profile.lead_to(1000.0, 1_000, acceleration, is_time_based=True)
        for _ in range(990):
            profile.step(0.001)
        assert profile.is_ongoing
        for _ in range(20):
            profile.step(0.001)
        assert not profile.is_ongoing


def test_a_trapezoid_by_hand() -> None:
    """Speed 100 and acceleration 10: 1563.3 ticks/s after 0.640 s and 500.6 ticks (t1 = 64 * 100 / 10 ms)."""
    profile = Profile()
    profile.lead_to(4000.0, 100, 10, is_time_based=False)
    assert profile.kind == Profile.TRAPEZOIDAL
    for _ in range(640):
        profile.step(0.001)
    assert profile.velocity == pytest.approx(100 * VELOCITY_TICKS, rel=0.005)
    assert profile.position == pytest.approx(0.5 * 10 * ACCELERATION_TICKS * 0.64**2, rel=0.01)
    profile.hold(0.0)
    profile.lead_to(400.0, 100, 10, is_time_based=False)
    assert profile.kind == Profile.TRIANGULAR


def test_when_the_torque_comes_on_the_servo_drives_to_its_old_goal() -> None:
    servo = make_servo(1)
    line = Line(servo)
    servo.tick(Shaft(2300.0), 0, 0.01)  # moved by hand
    line.write(1, "torque_enable", 1)
    assert servo.tick(Shaft(2300.0), 0, 0.01).target == 2048


def test_a_goal_switches_the_torque_on_where_the_drive_mode_says_so() -> None:
    for drive_mode, is_on in ((0, False), (8, True)):
        servo = make_servo(1, own={"drive_mode": drive_mode})
        assert Line(servo).write(1, "goal_position", 2100) == OK
        assert servo.is_on == is_on


def test_torques_by_hand() -> None:
    """XL330: 0.52 N m at 1.47 A. 735 mA are half of it, as is a PWM of 442.5."""
    servo = make_servo(1, own={"operating_mode": OperatingMode.CURRENT_BASED_POSITION})
    line = Line(servo)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_current", 735)
    assert servo.tick(Shaft(2048.0), 0, 0.01).torque_limit == pytest.approx(0.26)
    line.write(1, "goal_current", 1470)
    line.write(1, "goal_pwm", 177)
    assert servo.tick(Shaft(2048.0), 0, 0.01).torque_limit == pytest.approx(0.104)
    line.write(1, "torque_enable", 0)
    line.write(1, "operating_mode", OperatingMode.CURRENT)
    line.write(1, "drive_mode", 1)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_current", 735)
    drive = servo.tick(Shaft(2048.0), 0, 0.01)
    assert (drive.torque_limit, drive.torque) == (0.0, pytest.approx(-0.26))
    line.write(1, "torque_enable", 0)
    line.write(1, "operating_mode", OperatingMode.PWM)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_pwm", -885)
    assert servo.tick(Shaft(2048.0), 0, 0.01).torque == pytest.approx(0.52)


def test_the_stiffness_of_the_position_loop_by_hand() -> None:
    """P 800: full PWM at an error of 885 * 128 / 800 = 141.6 ticks = 0.2172 rad, so 1.5 / 0.2172 N m/rad."""
    servo = make_servo(1, XL430_W250)
    line = Line(servo)
    line.write(1, "position_p_gain", 800, XL430_W250)
    line.write(1, "torque_enable", 1, XL430_W250)
    assert servo.tick(Shaft(2048.0), 0, 0.01).stiffness == pytest.approx(6.906, abs=0.001)


def test_a_velocity_goal_turns_the_shaft_and_does_not_wind_up() -> None:
    servo = make_servo(1)
    line = Line(servo)
    line.write(1, "operating_mode", OperatingMode.VELOCITY)
    line.write(1, "torque_enable", 1)
    line.write(1, "goal_velocity", -100)
    assert run(servo, 1.0).target == pytest.approx(2048 - 1563.3, abs=20)
    blocked = make_servo(2, own={"operating_mode": OperatingMode.VELOCITY})
    blocked.write(64, b"\x01")
    blocked.write(104, (100).to_bytes(4, "little"))
    for _ in range(1000):
        drive = blocked.tick(Shaft(2048.0), 0, 0.01)
    assert drive.target == 2448


# --- resets ----------------------------------------------------------------------------------------------


def test_a_reboot_forgets_ram_and_keeps_eeprom() -> None:
    line = Line(make_servo(1))
    line.write(1, "temperature_limit", 60)
    line.write(1, "profile_velocity", 60)
    line.write(1, "torque_enable", 1)
    line.ask(1, Instruction.REBOOT)
    line.now_ns += 300 * MS
    names = ("temperature_limit", "profile_velocity", "torque_enable")
    assert [line.read(1, name) for name in names] == [60, 0, 0]


@pytest.mark.parametrize(("option", "id", "baud"), [(0xFF, 1, 1), (0x01, 5, 1), (0x02, 5, 3)])
def test_a_factory_reset_keeps_what_its_option_says(option: int, id: int, baud: int) -> None:
    servo = make_servo(5, own={"temperature_limit": 60})
    line = Line(servo)
    assert line.ask(5, Instruction.FACTORY_RESET, bytes((option,))) == [(5, OK, b"")]
    assert (servo.id, servo.table["baud_rate"], servo.table["temperature_limit"]) == (id, baud, 70)
    assert line.ask(servo.id, Instruction.FACTORY_RESET, b"\x07") == []  # deaf while it boots
    line.now_ns += 300 * MS
    assert line.ask(servo.id, Instruction.FACTORY_RESET, b"\x07") == [(servo.id, RANGE, b"")]


def test_values_of_eeprom_are_in_the_eeprom() -> None:
    servo = make_servo(1)
    own = {"id", "baud_rate", "return_delay_time", "firmware_version", "model_information"}
    for name, register in XL330_M288.registers.items():
        if register.area == Area.EEPROM and name not in own:
            assert servo.table[name] == register.initial
