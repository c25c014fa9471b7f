"""How an arm of servos moves: homing, actions, parking, and within which limits."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock, write_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from servo_toys import (
    HOME,
    JOINTS,
    STEP,
    TICK_NS,
    ZERO,
    ServoBench,
    ToyJoints,
    homed,
    pass_time,
    tick,
    toy_robot,
)

import envs  # noqa: F401  registers the tasks
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.dynamixel.calibration import Calibration, JointCalibration
from robot_orl.deploy.dynamixel.moves import Blocked
from robot_orl.deploy.dynamixel.registers import XL330_M288, XL430_W250
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.virtual.mechanics import Mount
from robot_orl.errors import RunError, UsageError


@pytest.fixture
def robot(bench: ServoBench) -> Iterator[DynamixelRobot]:
    yield from homed(bench)


def test_homing_starts_where_the_arm_is_and_moves_no_joint_faster_than_allowed(bench: ServoBench) -> None:
    robot = toy_robot(bench, move_speed_rad_s=1.5)
    robot.connect()
    bench.clock.time_ns += TICK_NS * 50
    bench.angles[:] = 0.3, 0.4, 1.4  # a hand has moved it since, and an old goal stands in the registers
    robot.home(0)
    assert robot.telemetry().positions == pytest.approx(HOME, abs=0.01)
    assert bench.goals["lift"][0] == pytest.approx(0.4, abs=0.001)
    for joint in JOINTS:
        steps = np.abs(np.diff(bench.goals[joint]))
        assert steps.max() <= 1.5 / 50 + 0.0016  # a tick is 0.0015 rad
    robot.close()


def test_homing_and_parking_keep_to_the_speed_limit_of_each_joint(
    bench: ServoBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = toy_robot(bench, limits=Limits(max_speed_rad_s=[0.5, 4.0, 0.25]))
    robot.connect()
    arm = robot._arm
    assert arm is not None
    goto, sent = arm.goto, [robot.telemetry().positions]
    monkeypatch.setattr(arm, "goto", lambda targets: sent.append(targets) or goto(targets))
    robot.home(0)
    robot.park()
    robot.close()
    assert bench.angles == pytest.approx([0.3, -1.1, 0.2], abs=0.01)
    fastest = np.abs(np.diff(sent, axis=0)).max(0) * 50
    assert (fastest <= [0.501, 3.001, 0.251]).all()  # lift: move_speed_rad_s
    assert fastest[2] > 0.24  # which sets the pace


def test_a_joint_a_little_out_of_its_range_is_held_at_the_end_of_it(bench: ServoBench) -> None:
    robot = toy_robot(bench)
    highest = robot._range[2, 1]
    bench.angles[2] = highest + 0.05
    robot.connect()
    arm = robot._arm
    assert arm is not None
    arm.torque_on()
    assert arm.goals()[2] == pytest.approx(highest, abs=0.0016)  # a tick of its encoder
    assert bench.is_limp() == [False, False, False]
    robot.close()


def test_limits_that_a_bundle_tightened_bind_homing_and_parking_too(
    bench: ServoBench, tmp_path: Path
) -> None:
    robot = toy_robot(bench)
    weight, limits = np.zeros((robot.spec.observation_size, 3)), Limits.neutral(max_speed_rad_s=[0.5])
    bundle = Bundle.load(write_bundle(tmp_path / "bundle", robot.spec, limits, weight, np.zeros(3)))
    report = run(robot, bundle, duration_s=0.1, clock=bench.clock)
    assert report.parked
    fastest = [np.abs(np.diff(bench.goals[joint])).max() for joint in JOINTS]
    # Not 3 rad/s. A tick is 0.0015 rad, and a bench that has no processor for a while misses a goal.
    assert 0.4 / 50 < max(fastest) <= 2 * 0.5 / 50 + 0.0016


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            Limits(low_rad=[-1.0, -0.4, 0.0]),
            "the limits let lift be at -0.40 .. 1.20 rad, its home pose is -0.5",
        ),
        (Limits(high_rad=[0.2]), "the limits let gripper be at 0.00 .. 0.20 rad, its home pose is 0.40"),
        (
            Limits(low_rad=[-1.0, -0.9, 0.0]),
            "the limits let lift be at -0.90 .. 1.20 rad, its rest_pose is -1.1",
        ),
        (Limits(floor_m=0.3), "in its rest_pose the tool is at z 0.200 m, the limits allow 0.300 .. inf; "),
        (
            Limits(workspace_low_m=[-1, -1, 0], workspace_high_m=[0.2, 0, 1]),
            "in its rest_pose the tool is at x 0.300 m, the limits allow -1.000 .. 0.200; nothing moved",
        ),
    ],
)
def test_a_home_or_rest_pose_that_the_limits_forbid_is_refused_before_anything_moves(
    bench: ServoBench, limits: Limits, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        toy_robot(bench, limits=limits)
    assert str(caught.value).startswith(said)
    robot = toy_robot(bench)
    robot.connect()
    robot.limits = robot.limits.tightened_by(limits)  # as a bundle does
    with pytest.raises(UsageError) as caught:
        robot.home(0)
    assert str(caught.value).startswith(said)
    assert bench.is_limp() == [True, True, True]
    robot.close()


def test_an_arm_that_was_blocked_on_its_way_home_does_not_run_into_the_same_thing_to_lie_down(
    bench: ServoBench,
) -> None:
    bench.angles[0] = 1.4
    robot = toy_robot(bench)
    robot.connect()
    bench.blocked.add("pan")
    with pytest.raises(Blocked):
        robot.home(0)
    robot.stop()
    sent = {joint: len(goals) for joint, goals in bench.goals.items()}
    with pytest.raises(RunError, match=r"^toy holds its pose, torque on: .* \(pan is .* in its way\?\)$"):
        robot.park()
    assert {joint: len(goals) for joint, goals in bench.goals.items()} == sent
    bench.blocked.clear()
    robot.home(0)
    robot.park()
    robot.close()
    assert bench.is_limp() == [True, True, True]


def test_an_action_moves_the_targets_as_the_task_says(robot: DynamixelRobot, bench: ServoBench) -> None:
    robot.observe()
    executed = robot.send(np.array([1.0, -0.5, 3.0]))
    assert executed.tolist() == [1.0, -0.5, 1.0]
    assert robot.telemetry().targets == pytest.approx(HOME + STEP * np.array([1, -0.5, 1]), abs=0.002)
    pass_time(robot, bench)
    seen = robot.observe().obs
    assert seen["joints"] == pytest.approx(HOME + STEP * np.array([1, -0.5, 1]), abs=0.002)
    assert seen["lead"] == pytest.approx(np.zeros(3), abs=0.002)


def test_targets_that_a_supervisor_changed_are_told_as_the_action_that_they_were(
    robot: DynamixelRobot,
) -> None:
    robot.observe()
    before = robot.telemetry().targets
    planned = robot.plan(np.ones(3))
    assert np.array_equal(robot.telemetry().targets, before)  # a plan changes nothing
    assert robot.command(before + 0.5 * (planned - before)) == pytest.approx(0.5, abs=0.001)


def test_an_action_is_told_though_the_home_pose_is_at_the_end_of_a_joints_range(
    bench: ServoBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyJoints, "home_pose", np.array([1.5, -0.5, 0.4]))
    robot = toy_robot(bench)
    robot.connect()
    robot.home(0)
    before = robot.telemetry().targets
    robot.plan(np.array([-1.0, 0, 0]))
    executed = robot.command(before - [0.4 * STEP, 0, 0])  # what a supervisor left of it
    assert executed == pytest.approx([-0.4, 0, 0], abs=0.001)
    robot._arm.close()


def test_the_calibration_and_the_servos_tighten_nothing_that_they_do_not_speak_of(bench: ServoBench) -> None:
    own = Limits(patience_s=1.0, overspeed=4.0, joint_margin_rad=0.3, max_observation_age_s=1.0)
    robot = toy_robot(bench, limits=own)
    robot.connect()
    assert set(own.changes_to(robot.limits)) == {"low_rad", "high_rad", "max_temperature_c"}
    robot.close()


def test_an_observation_carries_the_time_at_which_the_joints_were_asked(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.clock.time_ns += 12_345
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_the_outcome_is_judged_by_the_task(robot: DynamixelRobot) -> None:
    robot.home(0)
    robot.observe()
    assert (robot.outcome().reward, robot.outcome().success) == (0, True)
    robot.home(3)  # the goal is 0.3 rad away from home
    robot.observe()
    assert (robot.outcome().reward, robot.outcome().success) == (-1, False)


def test_stop_holds_the_present_position_as_often_as_one_likes(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.blocked.add("lift")
    for _ in range(4):
        tick(robot, bench, np.ones(3, np.float32))
    robot.stop()
    robot.stop()
    assert bench.table("lift")["goal_position"] == bench.table("lift")["present_position"]
    assert bench.is_limp() == [False, False, False]
    with pytest.raises(RunError, match="toy: is stopped; home it first"):
        robot.send(ZERO)


def test_parking_lays_the_arm_down_slowly_and_only_there_lets_go(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    limp_at: list[np.ndarray] = []
    for servo in bench.servos:
        apply = servo._apply

        def watched(name: str, raw: int, apply=apply) -> None:
            if name == "torque_enable" and raw == 0:
                limp_at.append(bench.angles.copy())
            apply(name, raw)

        servo._apply = watched  # type: ignore[method-assign]
    robot.park()
    robot.close()
    robot.close()
    assert bench.is_limp() == [True, True, True]
    assert limp_at[0] == pytest.approx([0.3, -1.1, 0.2], abs=0.01)


@pytest.mark.parametrize("is_homed", [True, False])
def test_closing_moves_nothing_and_says_that_the_arm_holds(
    robot: DynamixelRobot, bench: ServoBench, capsys: pytest.CaptureFixture[str], is_homed: bool
) -> None:
    if not is_homed:  # an earlier run left it so
        robot._arm.close()
        robot = toy_robot(bench)
        robot.connect()
    for goals in bench.goals.values():
        goals.clear()
    robot.close()
    bench.turn()
    assert all(len(goals) <= 1 for goals in bench.goals.values())  # the one that it holds
    assert bench.is_limp() == [False, False, False]
    told = "warning: toy holds its pose, torque on: support it before its power goes off\n"
    assert capsys.readouterr().err == told


def test_a_usage_error_after_connecting_leaves_an_arm_that_holds_where_it_is(
    robot: DynamixelRobot, bench: ServoBench, tmp_path: Path
) -> None:
    robot.stop()
    robot._arm.close()  # as an emergency left it
    before = bench.angles.copy()
    again = toy_robot(bench)
    weight, limits = np.zeros((again.spec.observation_size, 3)), Limits(max_speed_rad_s=[1.0, 1.0])
    bundle = Bundle.load(write_bundle(tmp_path / "bundle", again.spec, limits, weight, np.zeros(3)))
    with pytest.raises(UsageError, match="max_speed_rad_s"):
        run(again, bundle, duration_s=1, clock=bench.clock)
    assert bench.angles == pytest.approx(before, abs=0.002)
    assert bench.is_limp() == [False, False, False]


def test_an_arm_that_cannot_lie_down_keeps_its_torque_and_says_so_once(
    robot: DynamixelRobot, bench: ServoBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.blocked.add("lift")
    told = r"^toy holds its pose, torque on: support it before its power goes off \(lift is 0.\d+ rad behind"
    with pytest.raises(RunError, match=told):
        robot.park()
    bench.blocked.clear()
    before = bench.angles.copy()
    robot.close()
    assert bench.angles == pytest.approx(before, abs=0.002)
    assert bench.is_limp() == [False, False, False]
    assert not capsys.readouterr().err


def test_a_blocked_move_ends_with_the_arm_holding(bench: ServoBench) -> None:
    robot = toy_robot(bench)
    robot.connect()
    bench.blocked.add("pan")
    bench.clock.time_ns += TICK_NS * 50
    bench.angles[0] = 1.0
    with pytest.raises(
        Blocked, match=r"^pan is \d\.\d+ rad behind in a slow move: is something in its way\?"
    ):
        robot.home(0)
    assert bench.table("pan")["goal_position"] == bench.table("pan")["present_position"]
    robot._arm.close()


def test_a_slow_move_goes_on_from_where_the_arm_was_held_while_the_port_was_gone(bench: ServoBench) -> None:
    robot = toy_robot(bench, move_speed_rad_s=1.5)
    robot.connect()
    steps = 0

    def pass_by() -> bool:
        nonlocal steps
        steps += 1
        if steps == 10:
            bench.unplug()
        elif steps == 13:
            bench.plug()
        return False

    robot.should_stop = pass_by
    robot.home(0)
    assert robot.counts["reconnected"] == 1
    assert robot.telemetry().positions == pytest.approx(HOME, abs=0.01)
    for joint in JOINTS:  # the targets of three ticks were lost: they are not made up for in one
        assert np.abs(np.diff(bench.goals[joint])).max() <= 2 * 1.5 / 50 + 0.0016  # the bench may miss one
    robot._arm.close()


def test_a_move_ends_at_once_when_told_to_stop(bench: ServoBench) -> None:
    robot = toy_robot(bench)
    robot.connect()
    asked = iter([False, False, True])
    robot.should_stop = lambda: next(asked, True)
    robot.home(0)
    assert len(bench.goals["lift"]) <= 4
    with pytest.raises(RunError, match="toy: is stopped"):
        robot.send(ZERO)
    robot._arm.close()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(targets=arrays(float, 3, elements=st.floats(-1e9, 1e9) | st.floats(-3, 3)))
def test_no_goal_ever_leaves_the_calibrated_range(
    robot: DynamixelRobot, bench: ServoBench, targets: np.ndarray
) -> None:
    for send in (robot.command, robot._arm.goto):
        send(targets)
        robot._arm._bus.ping(1)  # what was sent before has arrived
        goals = [bench.table(joint)["goal_position"] for joint in JOINTS]
        assert all(
            low <= goal <= high
            for goal, low, high in zip(goals, [1070, 1266, 2048], [3026, 2830, 3026], strict=True)
        )


def test_nothing_is_sent_of_targets_that_are_not_finite(robot: DynamixelRobot, bench: ServoBench) -> None:
    before = [bench.table(joint)["goal_position"] for joint in JOINTS]
    for value in (np.nan, np.inf):
        with pytest.raises(RunError, match="the targets are not finite"):
            robot._arm.goto(np.array([0.0, value, 0.0]))
    with pytest.raises(RunError, match="the targets are not finite"):
        robot.send(np.array([np.nan, 0, 0]))
    robot._arm.read()
    assert [bench.table(joint)["goal_position"] for joint in JOINTS] == before


def test_an_arm_mounted_otherwise_moves_to_the_same_angles(tmp_path: Path, clock: FakeClock) -> None:
    mounts = (
        Mount("pan", 1, XL430_W250, direction=-1, offset=-700),
        Mount("lift", 2, XL330_M288, direction=1, offset=1900),
        Mount("gripper", 3, XL330_M288, direction=-1, offset=310),
    )
    joints = {
        "pan": JointCalibration(1, -700, 1, 1070, 3026),
        "lift": JointCalibration(2, -1900, 0, 1266, 2830),
    }
    joints["gripper"] = JointCalibration(3, 310, 1, 2048, 3026)
    Calibration("toy", joints).save(tmp_path / "c.yaml")
    with ServoBench(tmp_path / "arm", clock, mounts).running() as bench:
        robot = toy_robot(bench, calibration=str(tmp_path / "c.yaml"))
        robot.connect()
        assert robot.telemetry().positions == pytest.approx([0.2, -0.2, 0.6], abs=0.002)
        robot.home(0)
        assert bench.angles == pytest.approx(HOME, abs=0.01)
        robot.park()
        robot.close()
        assert bench.angles == pytest.approx([0.3, -1.1, 0.2], abs=0.01)


def test_a_servo_that_counts_a_turn_too_many_moves_to_the_same_angles(
    tmp_path: Path, clock: FakeClock
) -> None:
    """A shaft at 4209 ticks reads 113 after power-on: 1900 of offset and 261 of angle above the middle."""
    mounts = (
        Mount("pan", 1, XL430_W250),
        Mount("lift", 2, XL330_M288, offset=1900),
        Mount("gripper", 3, XL330_M288),
    )
    joints = {"pan": JointCalibration(1, 0, 0, 1070, 3026), "lift": JointCalibration(2, -1900, 0, 1266, 2830)}
    Calibration("toy", joints | {"gripper": JointCalibration(3, 0, 0, 2048, 3026)}).save(tmp_path / "c.yaml")
    with ServoBench(tmp_path / "arm", clock, mounts, (0.0, 0.4, 0.4)).running() as bench:
        robot = toy_robot(bench, calibration=str(tmp_path / "c.yaml"))
        robot.connect()
        assert bench.table("lift")["present_position"] == 113 - 1900
        assert robot.telemetry().positions == pytest.approx([0.0, 0.4, 0.4], abs=0.002)
        robot.home(0)
        assert bench.angles == pytest.approx(HOME, abs=0.01)
        robot.close()
