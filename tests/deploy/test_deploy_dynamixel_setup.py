"""An arm of servos before it moves: what is refused, and what connecting does to its registers."""

from pathlib import Path

import numpy as np
import pytest
from servo_toys import (
    HOME,
    JOINTS,
    TASK,
    TICK_NS,
    Eye,
    ServoBench,
    toy_config,
    toy_robot,
)

import envs  # noqa: F401  registers the tasks
from robot_orl.compose import build
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.config import ObjectConfig, ServoConfig
from robot_orl.deploy.dynamixel.registers import HardwareError
from robot_orl.deploy.dynamixel.setup import HardwareFault, in_words
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.supervisor.offers import Jointed, Limited, Parking
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.registry import factory
from robot_orl.tasks import TaskConfig


def test_the_spec_is_the_tasks_and_is_known_while_disconnected(tmp_path: Path) -> None:
    robot = DynamixelRobot(toy_config(tmp_path / "nowhere"), TaskConfig(TASK))
    assert (robot.name, robot.spec.task, robot.joints) == ("toy", TASK, JOINTS)
    robot.stop()
    robot.close()
    with pytest.raises(RunError, match="toy: is not connected"):
        robot.observe()


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
