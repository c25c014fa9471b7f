"""An arm of servos as a robot: what it does to its registers, how it moves, and what each fault becomes."""

import time
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
    TASK,
    ServoBench,
    ToyJoints,
    as_is,
    corrupt,
    dropped,
    toy_config,
    toy_robot,
)

import envs  # noqa: F401  registers the tasks
from robot_orl.compose import build
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.dynamixel.arm import TorqueLost, WatchdogTripped
from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.dynamixel.calibration import Calibration, JointCalibration
from robot_orl.deploy.dynamixel.config import DynamixelConfig, ObjectConfig, ServoConfig
from robot_orl.deploy.dynamixel.moves import Blocked, BusSilent
from robot_orl.deploy.dynamixel.port import PortLost
from robot_orl.deploy.dynamixel.registers import XL330_M288, XL430_W250, HardwareError
from robot_orl.deploy.dynamixel.setup import HardwareFault, in_words
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.sensors.object_pose import ObjectReading
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Jointed, Limited, Parking
from robot_orl.deploy.virtual.mechanics import Mount
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.registry import factory
from robot_orl.tasks import TaskConfig

TICK_NS = 20_000_000
ZERO = np.zeros(3, np.float32)


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[ServoBench]:
    with ServoBench(tmp_path / "arm", clock).running() as bench:
        yield bench


@pytest.fixture
def robot(bench: ServoBench) -> Iterator[DynamixelRobot]:
    """Connected and homed."""
    robot = toy_robot(bench)
    robot.connect()
    robot.home(0)
    yield robot
    if robot._arm is not None:
        robot._arm.close()


def pass_time(robot: DynamixelRobot, bench: ServoBench, time_ns: int = TICK_NS) -> None:
    """After all that was sent has arrived, which an answer behind it shows."""
    robot._arm._bus.ping(1)
    bench.clock.time_ns += time_ns
    bench.turn()
    bench.turn()  # a servo reports where its shaft was before it drove


def tick(robot: DynamixelRobot, bench: ServoBench, action: np.ndarray = ZERO) -> None:
    """As the loop does: observe, act; then the time of a tick passes."""
    robot.observe()
    robot.send(action)
    pass_time(robot, bench)


def observe_for_a_while(robot: DynamixelRobot, ticks: int = 5) -> None:
    for _ in range(ticks):
        robot.observe()


# --- before anything moves ----------------------------------------------------------------------------


def test_the_spec_is_the_tasks_and_is_known_while_disconnected(tmp_path: Path) -> None:
    robot = DynamixelRobot(toy_config(tmp_path / "nowhere"), TaskConfig(TASK))
    assert (robot.name, robot.spec.task, robot.joints) == ("toy", TASK, JOINTS)
    robot.stop()
    robot.close()
    with pytest.raises(RunError, match="toy: is not connected"):
        robot.observe()


class Eye:
    """Sees an object at (0.1, 0.2, 0.3) whenever it is told to look."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.is_open = clock, False
        self.look()

    def look(self) -> None:
        pose = np.eye(4)
        pose[:3, 3] = 0.1, 0.2, 0.3
        self.seen = ObjectReading(pose[:3, 3], pose, self.clock.now_ns(), 0.1, False)

    def start(self) -> None:
        self.is_open = True

    def wait(self) -> ObjectReading:
        return self.seen

    def read(self) -> ObjectReading:
        return self.seen

    def close(self) -> None:
        self.is_open = False


def test_an_object_that_a_camera_sees_is_observed_and_is_as_old_as_its_frame(bench: ServoBench) -> None:
    eye = Eye(bench.clock)
    task = TaskConfig(TASK, {"needs_object": True})
    robot = DynamixelRobot(toy_config(bench.port.link), task, bench.clock, eye)  # type: ignore[arg-type]
    robot.connect()
    assert eye.is_open
    robot.home(0)
    eye.look()
    bench.clock.time_ns += TICK_NS
    assert robot.observe().obs["tool"] == pytest.approx([0.1, 0.2, 0.3])
    assert robot.observe().t_ns == eye.seen.t_ns < bench.clock.now_ns()
    robot.close()
    assert not eye.is_open


@pytest.mark.e2e
def test_the_registry_and_the_configuration_know_the_koch_arm() -> None:
    cfg = build(
        "deploy", ["bundle=b", "robot=koch", "robot.port=/dev/ttyUSB0", "robot.servos.gripper.p_gain=300"]
    )
    assert factory("robot", cfg.robot.name) is DynamixelRobot
    assert (cfg.robot.arm, list(cfg.robot.ids.values())) == ("koch", [1, 2, 3, 4, 5, 6])
    assert (cfg.robot.servos["gripper"].p_gain, cfg.robot.servos["elbow_flex"].p_gain) == (300, 1500)
    robot = DynamixelRobot(cfg.robot, TaskConfig("arm_reach"))
    assert robot.spec.task == "arm_reach"
    for offer in (Limited, Jointed, Parking):
        assert isinstance(robot, offer)


@pytest.mark.e2e
def test_a_task_that_does_not_fit_is_answered_with_those_that_do(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path / "arm")
    with pytest.raises(
        UsageError, match=r"^robot toy cannot run fetch_reach: it does not say .*fit: .*arm_reach"
    ):
        DynamixelRobot(cfg, TaskConfig("fetch_reach"))
    with pytest.raises(UsageError, match=r"handles an object, and no sensor .* fit: arm_reach, toy_joints$"):
        DynamixelRobot(cfg, TaskConfig(TASK, {"needs_object": True}))
    with pytest.raises(
        UsageError, match=r"toy: its servos are pan, lift, gripper; arm_reach has the joints sh"
    ):
        DynamixelRobot(cfg, TaskConfig("arm_reach"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baud": 1000}, "baud=1000 is not one of: 9600,"),
        ({"rest_pose": {"pan": 0.0}}, "rest_pose has pan; it needs each of pan, lift, gripper"),
        (
            {"servos": {"a": ServoConfig(1), "b": ServoConfig(1)}},
            "servos: the ids 1, 1 are not all different",
        ),
        (
            {"servos": {"a": ServoConfig(1, "XL430-W250", current_limit_a=1.0)}},
            "servos.a: an XL430-W250 does not measure its current",
        ),
        (
            {"servos": {"a": ServoConfig(1, current_limit_a=1.0)}},
            "servos.a: current_limit_a needs mode: current_b",
        ),
    ],
)
def test_a_servo_table_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, changes: dict, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        toy_config(tmp_path, **{"rest_pose": {}, **changes})
    assert said in str(caught.value)


def test_a_camera_needs_its_two_calibrations(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^object.source needs object.intrinsics=FILE and object.hand_eye=FILE$"
    ):
        ObjectConfig("0", intrinsics="camera.yaml")
    camera = ObjectConfig("0", intrinsics=str(tmp_path / "none.yaml"), hand_eye=str(tmp_path / "none.yaml"))
    with pytest.raises(DataError, match=r"none\.yaml: "):
        DynamixelRobot(toy_config(tmp_path / "arm", object=camera), TaskConfig(TASK))


def test_a_real_port_needs_a_calibration(tmp_path: Path) -> None:
    robot = DynamixelRobot(toy_config(Path("/dev/null")), TaskConfig(TASK))  # there, and no pseudo-terminal
    with pytest.raises(
        UsageError, match=r"^toy on /dev/null needs robot.calibration=FILE; make it with `rob"
    ):
        robot.connect()


def test_a_port_that_is_not_there_is_named_before_its_calibration(tmp_path: Path) -> None:
    robot = DynamixelRobot(toy_config(tmp_path / "none"), TaskConfig(TASK))
    with pytest.raises(UsageError, match=rf"^no port {tmp_path}/none; "):
        robot.connect()


def test_a_calibration_that_does_not_reach_the_home_pose_is_refused(tmp_path: Path) -> None:
    ids = {"pan": 1, "lift": 2, "gripper": 3}
    Calibration.as_in_model("toy", ids, np.array([[-1, 1], [-0.4, 1], [0, 1]])).save(tmp_path / "c.yaml")
    with pytest.raises(
        UsageError, match=r"^lift reaches -0.40 .. 1.00 rad, its home pose is -0.50; is the cal"
    ):
        DynamixelRobot(toy_config(tmp_path, calibration=str(tmp_path / "c.yaml")), TaskConfig(TASK))
    with pytest.raises(DataError, match="no such calibration"):
        DynamixelRobot(toy_config(tmp_path, calibration=str(tmp_path / "none.yaml")), TaskConfig(TASK))


# --- connecting ---------------------------------------------------------------------------------------


def test_connecting_sets_every_register_and_moves_nothing(bench: ServoBench) -> None:
    before = bench.angles.copy()
    robot = toy_robot(bench)
    robot.connect()
    pan, lift = bench.table("pan"), bench.table("lift")
    names = ("return_delay_time", "operating_mode", "position_p_gain", "position_d_gain", "profile_velocity")
    assert [pan[name] for name in names] == [0, 4, 800, 4000, 250]  # 6 rad/s in units of 0.229 rev/min
    assert [lift[name] for name in ("operating_mode", "current_limit", "goal_current")] == [5, 1200, 1200]
    assert bench.is_limp() == [True, True, True]
    assert np.array_equal(bench.angles, before)
    assert robot.telemetry().positions == pytest.approx(before, abs=0.001)
    assert robot.limits.max_temperature_c == [72, 70, 70]
    assert robot.limits.low_rad == pytest.approx([-1.5, -1.2, 0], abs=0.001)
    robot.close()


@pytest.mark.e2e
def test_a_missing_servo_is_named_beside_those_that_were_found(bench: ServoBench) -> None:
    bench.bus.absent.add(2)
    with pytest.raises(RunError) as caught:
        toy_robot(bench, reply_s=0.01).connect()
    assert str(caught.value) == "no answer from lift (id 2); found ids: 1 (XL430-W250), 3 (XL330-M288)"


def test_a_servo_of_another_model_is_named(bench: ServoBench) -> None:
    servos = {"pan": ServoConfig(1), "lift": ServoConfig(2), "gripper": ServoConfig(3)}
    with pytest.raises(RunError, match=r"^pan \(id 1\) is an XL430-W250, its servo table says XL330-M288$"):
        toy_robot(bench, servos=servos).connect()


def test_an_arm_that_holds_a_pose_keeps_it_when_somebody_connects(bench: ServoBench) -> None:
    first = toy_robot(bench)
    first.connect()
    first.home(0)
    first._arm.close()  # as if the process had died
    second = toy_robot(bench)
    second.connect()
    assert bench.is_limp() == [False, False, False]
    assert second.telemetry().targets == pytest.approx(HOME, abs=0.001)
    second._arm.close()


def test_an_arm_that_holds_is_let_go_only_when_that_is_allowed(bench: ServoBench) -> None:
    first = toy_robot(bench)
    first.connect()
    first.home(0)
    first._arm.close()
    servos = {**toy_config(Path("x")).servos, "lift": ServoConfig(2)}
    with pytest.raises(
        RunError, match=r"^the arm must let go of the pose that it holds \(lift: operating_mode"
    ):
        toy_robot(bench, servos=servos).connect()
    assert bench.is_limp() == [False, False, False]
    robot = toy_robot(bench, servos=servos, let_go=True)
    robot.connect()
    assert bench.is_limp() == [True, True, True]
    assert bench.table("lift")["operating_mode"] == 4
    robot.close()


def test_a_hardware_error_is_told_in_words_and_cleared_by_a_restart_if_allowed(bench: ServoBench) -> None:
    bench.servos[1].fail(HardwareError.OVERLOAD)
    with pytest.raises(HardwareFault) as caught:
        toy_robot(bench).connect()
    assert str(caught.value) == (
        "lift (id 2): overload: load above the maximum for too long; free the joint of what it pushes "
        "against; then restart it with robot.reboot=true"
    )


def test_every_bit_of_the_hardware_error_has_words() -> None:
    assert in_words(0x20 | 0x04).startswith("overheating: internal temperature above its limit; let it cool")
    assert "overload" in in_words(0x24)
    assert in_words(0x80) == "unknown hardware error 0x80"
    for bit in HardwareError:
        assert in_words(int(bit)).startswith(str(bit.name).lower().replace("_", " "))


def test_an_arm_that_stands_where_it_cannot_be_is_another_one(bench: ServoBench) -> None:
    bench.angles[1] = 1.9
    with pytest.raises(
        RunError, match=r"^lift is at 1.90 rad, its calibration says -1.20 .. 1.20: is it this ar"
    ):
        toy_robot(bench).connect()


# --- moving -------------------------------------------------------------------------------------------


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


# --- what goes wrong while it runs --------------------------------------------------------------------


@pytest.mark.parametrize("fault", [dropped, corrupt])
def test_one_bad_packet_is_asked_for_again_and_the_run_goes_on(
    robot: DynamixelRobot, bench: ServoBench, fault: object
) -> None:
    asked = robot.counts.get("asked_again", 0)
    bench.faults.next_answers.extend([as_is, fault])
    tick(robot, bench)
    assert robot.counts["asked_again"] == asked + 1
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_two_bad_packets_leave_the_last_observation_with_its_own_time(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    before = robot.observe()
    bench.clock.time_ns += TICK_NS
    bench.faults.next_answers.extend([dropped, as_is, as_is, corrupt])
    again = robot.observe()
    assert (again.t_ns, again.obs) == (before.t_ns, before.obs)
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_a_servo_that_falls_silent_is_a_fault_after_so_many_ticks(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.bus.absent.add(3)
    for _ in range(4):
        robot.observe()
    with pytest.raises(BusSilent, match=r"^no good answer from gripper \(id 3\); 5 ticks in a row$"):
        robot.observe()


def test_a_jump_that_no_joint_can_make_is_a_bad_answer(robot: DynamixelRobot, bench: ServoBench) -> None:
    robot.observe()
    bench.blocked.add("lift")
    bench.angles[1] += 0.5  # in no time at all
    bench.turn()
    robot.observe()
    assert robot.counts["implausible"] == 2
    assert robot.telemetry().positions[1] == pytest.approx(HOME[1], abs=0.01)


def test_goals_that_were_lost_on_their_way_are_counted_and_sent_anew(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    tick(robot, bench)
    assert robot.counts["lost_goals"] == 0
    for _ in range(4):  # every fourth observation reads the goals
        robot.observe()
        bench.faults.next_questions.append(lambda data: b"")
        robot.send(np.array([0, 0.5, 0]))
    robot.observe()
    assert robot.counts["lost_goals"] == 1
    tick(robot, bench)
    assert bench.table("lift")["goal_position"] == robot._arm._goals[2]


def test_a_hardware_error_while_running_names_joint_meaning_and_remedy(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.servos[2].fail(HardwareError.OVERHEATING)
    with pytest.raises(
        HardwareFault, match=r"^gripper \(id 3\): overheating: .*; let it cool.*robot.reboot=true$"
    ):
        robot.observe()
    robot.stop()
    assert bench.is_limp() == [False, False, True]
    robot.park()  # the others are laid down, and let go there
    assert bench.is_limp() == [True, True, True]
    assert bench.angles[:2] == pytest.approx([0.3, -1.1], abs=0.01)


def test_servos_stop_by_themselves_when_they_hear_nothing_and_that_is_noticed(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    tick(robot, bench)
    assert bench.table("pan")["bus_watchdog"] == 10  # 0.2 s
    bench.clock.time_ns += 250_000_000
    bench.turn()
    assert bench.table("pan")["bus_watchdog"] == -1
    with pytest.raises(WatchdogTripped, match=r"^pan \(id 1\) heard nothing for 0.2 s and stopped by it"):
        observe_for_a_while(robot)  # every fourth time it is read
    robot.stop()
    robot.home(1)  # which sets up what the servos forgot
    assert bench.table("pan")["profile_velocity"] == 250
    tick(robot, bench, np.ones(3, np.float32))


def test_the_watchdog_is_off_while_nothing_needs_to_be_sent(robot: DynamixelRobot, bench: ServoBench) -> None:
    assert bench.table("pan")["bus_watchdog"] == 0
    tick(robot, bench)
    robot.stop()
    bench.clock.time_ns += 5_000_000_000
    bench.turn()
    assert bench.table("pan")["bus_watchdog"] == 0


def test_a_servo_that_started_anew_has_lost_its_torque(robot: DynamixelRobot, bench: ServoBench) -> None:
    tick(robot, bench)
    bench.servos[1].reboot(bench.clock.now_ns() - 1_000_000_000)  # and is back already
    with pytest.raises(TorqueLost, match=r"^lift \(id 2\) started anew and holds nothing: check its power$"):
        observe_for_a_while(robot)


def test_a_watchdog_whose_packet_was_lost_is_set_again_and_the_run_goes_on(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    robot.observe()
    bench.faults.next_questions.append(lambda data: b"")
    robot.send(ZERO)
    while bench.faults.next_questions:  # what follows must not arrive together with what is lost
        time.sleep(0.001)
    pass_time(robot, bench)
    assert bench.table("pan")["bus_watchdog"] == 0
    observe_for_a_while(robot)
    robot._arm._bus.ping(1)
    assert [bench.table(joint)["bus_watchdog"] for joint in JOINTS] == [10, 10, 10]


def test_an_arm_whose_joints_do_not_answer_after_a_reconnection_is_still_where_it_was_last_seen(
    robot: DynamixelRobot, bench: ServoBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(robot, bench)
    before = robot.observe()
    bench.unplug()
    robot.observe()
    bench.plug()
    bus = robot._arm._bus
    sync_read = bus.sync_read

    def no_states(servos: list[int], address: int, size: int) -> dict:
        if size < 100:
            raise BadPacket("no good answer from pan (id 1)", "timeout")
        return sync_read(servos, address, size)

    with monkeypatch.context() as patch:
        patch.setattr(bus, "sync_read", no_states)
        again = robot.observe()
    assert again.t_ns == before.t_ns
    assert robot.telemetry().positions == pytest.approx(HOME, abs=0.01)
    assert robot.plan(ZERO) == pytest.approx(HOME, abs=0.01)
    bench.clock.time_ns += TICK_NS
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_a_port_that_comes_back_in_time_is_opened_and_the_run_goes_on(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.blocked.add("lift")  # so that it is not where it was sent
    tick(robot, bench, np.array([0.0, 1.0, 0.0], np.float32))
    before = robot.observe().t_ns
    bench.unplug()
    bench.clock.time_ns += TICK_NS
    assert robot.observe().t_ns == before
    robot.send(np.array([1.0, 1.0, 1.0]))  # goes nowhere
    bench.plug()
    assert robot.observe().t_ns == bench.clock.now_ns()
    assert robot.counts["reconnected"] == 1
    assert robot.telemetry().targets == pytest.approx(robot.telemetry().positions, abs=0.002)  # held there
    tick(robot, bench, np.ones(3, np.float32))
    assert bench.table("pan")["bus_watchdog"] == 10


def test_an_arm_that_lost_its_torque_while_the_port_was_gone_is_not_taken_for_held(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.unplug()
    robot.observe()
    for servo in bench.servos:
        servo.reboot(bench.clock.now_ns() - 1_000_000_000)
    bench.plug()
    with pytest.raises(TorqueLost, match="the servos started anew and hold nothing: check their power"):
        robot.observe()


def test_a_port_that_stays_away_is_a_fault_and_nobody_says_that_the_arm_holds(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.unplug()
    with pytest.raises(BusSilent, match=r"; 5 ticks in a row$"):
        observe_for_a_while(robot)
    with pytest.raises(PortLost):
        robot.stop()
    with pytest.raises(
        RunError, match=r"^toy was not laid down and may hold nothing: support it \(the port is gone: "
    ):
        robot.park()
    robot.close()


def test_an_arm_whose_servos_started_anew_is_not_said_to_hold(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    for servo in bench.servos:
        servo.reboot(bench.clock.now_ns() - 1_000_000_000)
    with pytest.raises(RunError, match=r"^toy was not laid down, and pan, lift, gripper hold nothing: supp"):
        robot.park()


def test_a_camera_is_closed_though_the_arm_cannot_be_asked_how_it_is_left(
    bench: ServoBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    eye = Eye(bench.clock)
    robot = DynamixelRobot(toy_config(bench.port.link), TaskConfig(TASK), bench.clock, eye)  # type: ignore[arg-type]
    robot.connect()
    robot.home(0)
    arm = robot._arm
    assert arm is not None
    monkeypatch.setattr(arm, "without_torque", lambda: arm.goto(np.full(3, np.nan)))
    with pytest.raises(RunError, match="the targets are not finite"):
        robot.close()
    assert not eye.is_open
    assert not arm._bus.is_open


def test_an_arm_whose_port_comes_back_after_a_fault_is_laid_down(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.unplug()
    with pytest.raises(BusSilent):
        observe_for_a_while(robot)
    bench.plug()
    robot.stop()
    robot.park()
    robot.close()
    assert bench.is_limp() == [True, True, True]
    assert bench.angles == pytest.approx([0.3, -1.1, 0.2], abs=0.01)


def test_the_driver_shows_what_a_supervisor_checks(robot: DynamixelRobot) -> None:
    told = robot.telemetry()
    assert told.tool_position is not None
    assert told.tool_position == pytest.approx(HOME, abs=0.01)
    assert told.temperatures is not None
    assert told.temperatures.tolist() == [28, 28, 28]
    assert robot.tool_at(np.ones(3)) == pytest.approx(np.ones(3))
    assert isinstance(robot.cfg, DynamixelConfig)
