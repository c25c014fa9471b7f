"""What is believed of the answers of servos, and what an arm is never sent to because of one packet."""

from collections.abc import Iterator

import numpy as np
import pytest
from servo_toys import (
    HOME,
    TICK_NS,
    Answer,
    ServoBench,
    as_is,
    homed,
    observe_for_a_while,
    tick,
    toy_robot,
)

from robot_orl.deploy.dynamixel.registers import XL330_M288
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.virtual.packets import ErrorNumber, status_packet

STATE = XL330_M288.registers["present_current"].address
HEALTH = XL330_M288.registers["bus_watchdog"].address


@pytest.fixture
def robot(bench: ServoBench) -> Iterator[DynamixelRobot]:
    yield from homed(bench)


def saying(name: str, raw: int, start: int = STATE) -> Answer:
    """An answer with another value in a register, and a right checksum. start: of what was asked for."""

    def change(data: bytes) -> tuple[bytes, int]:
        register = XL330_M288.registers[name]
        body = bytearray(data[9:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd"))
        at = register.address - start
        body[at : at + register.size] = register.encode(raw)
        return status_packet(data[4], data[8], bytes(body)), 0

    return change


def alerted(data: bytes) -> tuple[bytes, int]:
    return status_packet(data[4], data[8] | 0x80, data[9:-2]), 0


def refused(data: bytes) -> tuple[bytes, int]:
    return status_packet(data[4], ErrorNumber.RESULT_FAIL), 0


def test_an_alert_of_a_servo_that_has_no_error_is_a_broken_packet(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.faults.next_answers.extend([as_is, alerted, as_is])
    assert robot.observe().t_ns == bench.clock.now_ns()
    assert robot.counts["implausible"] == 1


def test_a_speed_that_no_joint_has_is_a_bad_answer(robot: DynamixelRobot, bench: ServoBench) -> None:
    bench.faults.next_answers.append(saying("present_velocity", 700))  # 16.8 rad/s
    robot.observe()
    assert (robot.counts["implausible"], robot.counts["asked_again"]) == (1, 1)
    assert robot.telemetry().velocities == pytest.approx([0, 0, 0], abs=0.1)


def test_a_stopped_arm_holds_where_it_is_though_one_answer_says_otherwise(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    robot.observe()
    lie = bench.table("lift")["present_position"] + 120  # 0.18 rad: nothing that could not be
    bench.faults.next_answers.extend([as_is, saying("present_position", lie), as_is])
    robot.stop()
    assert bench.table("lift")["goal_position"] == bench.table("lift")["present_position"]
    assert robot.counts["implausible"] == 1


def test_torque_comes_on_with_goals_that_two_answers_bear_out(bench: ServoBench) -> None:
    robot = toy_robot(bench)
    robot.connect()
    arm = robot._arm
    assert arm is not None
    here = bench.table("pan")["present_position"]
    bench.faults.next_answers.extend([as_is, as_is, as_is, saying("present_position", here - 130)])
    arm.torque_on()
    assert bench.table("pan")["goal_position"] == here
    robot.close()


def test_an_arm_that_holds_far_from_its_goal_moves_on_from_where_it_is(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    robot._arm._bus.close()  # left holding, as by an emergency
    bench.blocked.add("lift")
    bench.servos[1].write(116, (2048 + 600).to_bytes(4, "little"))  # 0.92 rad, which it cannot reach
    again = toy_robot(bench)
    again.connect()
    assert again.telemetry().targets == pytest.approx(HOME, abs=0.01)
    again.close()


def test_a_watchdog_is_said_to_have_tripped_only_if_it_says_so_twice(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    tick(robot, bench)
    observe_for_a_while(robot, 2)  # of four, the next one reads the health
    bench.faults.next_answers.append(saying("bus_watchdog", -1, HEALTH))
    robot.observe()
    bench.clock.time_ns += TICK_NS
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_a_refusal_that_a_broken_packet_looks_like_does_not_keep_an_arm_from_stopping(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    robot.observe()
    bench.blocked.add("pan")
    tick(robot, bench, np.array([1.0, 0.0, 0.0], np.float32))
    bench.faults.next_answers.extend([*[as_is] * 6, refused])  # two readings, then the first goal
    robot.stop()
    assert bench.table("pan")["goal_position"] == bench.table("pan")["present_position"]
