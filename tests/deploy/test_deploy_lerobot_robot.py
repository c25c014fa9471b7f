"""`robot=lerobot` as the control loop sees it; LeRobot's side is served from a thread, at a real socket."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock
from lerobot_toys import JOINTS, ToyLeRobot, listening, wait_for

import envs  # noqa: F401  registers the tasks
from robot_orl.compose import build
from robot_orl.deploy.dynamixel.arm import WatchdogTripped
from robot_orl.deploy.dynamixel.moves import BusSilent
from robot_orl.deploy.lerobot_link.link import ServerLost
from robot_orl.deploy.lerobot_link.units import LerobotJoint
from robot_orl.deploy.robots.lerobot import LerobotConfig, LerobotRobot
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Counting, Jointed, Limited, Parking, Servoed
from robot_orl.errors import RunError, UsageError
from robot_orl.tasks import TaskConfig

RAD_PER_DEGREE = np.pi / 180
HOME = [0.0, -0.7, 0.3, 1.3, 0.0, 0.5]
REST = dict(zip(JOINTS, [0.0, -1.65, 1.55, 0.55, 0.0, 0.9], strict=True))


def robot_at(path: str, **more: object) -> LerobotRobot:
    joints = {joint: LerobotJoint(rad_per_unit=RAD_PER_DEGREE) for joint in JOINTS}
    fields = {"rest_pose": REST, "limits": Limits(max_speed_rad_s=[3.0]), "reply_s": 0.9, **more}
    cfg = LerobotConfig(socket=path, joints=joints, **fields)  # type: ignore[arg-type]
    return LerobotRobot(cfg, TaskConfig("arm_reach"), FakeClock())


@pytest.fixture
def toy() -> ToyLeRobot:
    return ToyLeRobot(JOINTS)


@pytest.fixture
def robot(tmp_path: Path, toy: ToyLeRobot) -> Iterator[LerobotRobot]:
    """Connected."""
    with listening(f"{tmp_path}/socket", toy):
        robot = robot_at(f"{tmp_path}/socket")
        robot.connect()
        try:
            yield robot
        finally:
            robot.close()


def degrees(toy: ToyLeRobot) -> list[float]:
    return [toy.position[f"{joint}.pos"] for joint in JOINTS]


def test_it_offers_all_that_a_robot_with_joints_can(robot: LerobotRobot) -> None:
    for part in (Counting, Jointed, Limited, Parking, Servoed):
        assert isinstance(robot, part), part
    assert robot.joints == JOINTS


def test_it_homes_in_small_steps_and_observes_where_its_joints_are(
    robot: LerobotRobot, toy: ToyLeRobot
) -> None:
    robot.home(seed=1)
    assert degrees(toy) == pytest.approx(np.rad2deg(HOME))
    steps = np.diff([list(action.values()) for action in toy.sent], axis=0)
    assert np.abs(steps).max() <= np.rad2deg(0.6) / 50 + 1e-9  # move_speed_rad_s, at 50 Hz
    seen = robot.observe()
    assert seen.obs["observation"][:6] == pytest.approx(HOME, abs=1e-6)
    telemetry = robot.telemetry()
    assert telemetry.currents is None
    assert telemetry.temperatures is None


def test_an_action_moves_the_joints_as_the_task_says_and_is_what_was_executed(
    robot: LerobotRobot, toy: ToyLeRobot
) -> None:
    robot.home(seed=1)
    action = np.array([0.5, 0.0, 0.0, 0.0, 0.0, -1.0], np.float32)
    assert robot.send(action).tolist() == action.tolist()
    moved = np.deg2rad(degrees(toy)) - HOME
    assert moved == pytest.approx([0.025, 0, 0, 0, 0, -0.1], abs=1e-9)  # 0.05 rad a step, 0.1 the gripper


def test_what_lerobot_clips_is_not_taken_for_executed(robot: LerobotRobot, toy: ToyLeRobot) -> None:
    robot.home(seed=1)
    toy.reach = np.rad2deg(1.3)  # where wrist_flex is
    executed = robot.send(np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0], np.float32))
    assert executed == pytest.approx(np.zeros(6), abs=1e-6)


def test_velocities_are_differences_of_positions(robot: LerobotRobot, toy: ToyLeRobot) -> None:
    robot.home(seed=1)
    before = robot.observe()
    toy.position["shoulder_pan.pos"] += np.rad2deg(0.1)
    after = robot.observe()
    passed_s = (after.t_ns - before.t_ns) / 1e9
    assert robot.telemetry().velocities[0] == pytest.approx(0.1 / passed_s)  # type: ignore[index]


def test_a_failing_lerobot_leaves_the_last_observation_with_its_time_and_then_is_a_fault(
    robot: LerobotRobot, toy: ToyLeRobot
) -> None:
    robot.home(seed=1)
    before = robot.observe()
    toy.failing = 10**6
    for _ in range(4):
        assert robot.observe().t_ns == before.t_ns
    with pytest.raises(BusSilent, match="There is no status packet"):
        robot.observe()
    assert robot.counts["failed"] == 5


def test_goals_that_fail_leave_the_targets_and_then_are_a_fault(robot: LerobotRobot, toy: ToyLeRobot) -> None:
    robot.home(seed=1)
    action = np.array([1, 0, 0, 0, 0, 0], np.float32)
    toy.failing = 10**6
    for _ in range(4):
        assert robot.send(action).tolist() == [0.0] * 6
    with pytest.raises(RunError, match="5 goals in a row"):
        robot.send(action)


def test_it_lies_down_and_only_there_lets_go(robot: LerobotRobot, toy: ToyLeRobot) -> None:
    robot.home(seed=1)
    robot.stop()
    assert toy.is_torque_on
    robot.park()
    assert degrees(toy) == pytest.approx(np.rad2deg(list(REST.values())))
    assert not toy.is_torque_on
    with pytest.raises(RunError, match="deploy again"):
        robot.home(seed=2)


def test_one_that_was_not_laid_down_is_held_and_says_so(
    tmp_path: Path, toy: ToyLeRobot, capfd: pytest.CaptureFixture[str]
) -> None:
    with listening(f"{tmp_path}/socket", toy):
        robot = robot_at(f"{tmp_path}/socket")
        robot.connect()
        robot.home(seed=1)
        robot.send(np.ones(6, np.float32))
        toy.position["gripper.pos"] = 20.0
        robot.close()
    assert toy.sent[-1]["gripper.pos"] == 20.0
    assert toy.is_torque_on
    assert "holds its pose, torque on" in capfd.readouterr().err


def test_a_server_that_held_the_robot_stops_the_run(tmp_path: Path, toy: ToyLeRobot) -> None:
    with listening(f"{tmp_path}/socket", toy, watchdog_s=0.05):
        robot = robot_at(f"{tmp_path}/socket")
        robot.connect()
        robot.home(seed=1)
        robot.send(np.zeros(6, np.float32))
        held = len(toy.sent) + 1
        wait_for(lambda: len(toy.sent) >= held)
        with pytest.raises(WatchdogTripped):
            robot.observe()
        robot.stop()
        robot.close()


def test_a_server_that_has_gone_is_a_fault_at_once(tmp_path: Path, toy: ToyLeRobot) -> None:
    with listening(f"{tmp_path}/socket", toy):
        robot = robot_at(f"{tmp_path}/socket")
        robot.connect()
        robot.home(seed=1)
    with pytest.raises(ServerLost):
        robot.observe()
    with pytest.raises(RunError):
        robot.park()
    robot.close()


def test_poses_beyond_the_limits_and_tasks_without_such_joints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its home pose is 1\.30; nothing moved"):
        robot_at("nowhere", limits=Limits(high_rad=[1.2]))
    with pytest.raises(UsageError, match="rest_pose has gripper; it needs each of"):
        robot_at("nowhere", rest_pose={"gripper": 0.0})
    cfg = LerobotConfig(joints={"gripper": LerobotJoint()})
    with pytest.raises(UsageError, match="its servos are gripper; arm_reach has the joints shoulder_pan"):
        LerobotRobot(cfg, TaskConfig("arm_reach"))


def test_where_nothing_answers_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"no LeRobot server answers at {tmp_path}/socket: No such file"):
        robot_at(f"{tmp_path}/socket").connect()
    with pytest.raises(UsageError, match=r"needs robot\.python=PATH"):
        robot_at(None).connect()  # type: ignore[arg-type]
    lost = robot_at(None, python=f"{tmp_path}/python")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"{tmp_path}/python cannot be run: No such file"):
        lost.connect()
    lost.close()


def test_its_yaml_is_the_koch_arm_with_the_words_that_lerobots_own_commands_take() -> None:
    words = ["robot=lerobot", "robot.port=/dev/ttyUSB0", "robot.id=mine", "bundle=b"]
    cfg = build("deploy", [*words, "robot.options={use_degrees: true}"]).robot
    assert tuple(cfg.joints) == JOINTS
    assert cfg.rest_pose == REST
    said = cfg.words()
    for word in (
        "--robot.type=koch_follower",
        "--robot.id=mine",
        "--robot.port=/dev/ttyUSB0",
        "--robot.use_degrees=True",
        "--register=wrist_flex.Position_P_Gain=1000",
    ):
        assert word in said
