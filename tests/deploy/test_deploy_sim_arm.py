"""The simulated arm keeps joint limits as a real one does, and is otherwise the task itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock, Kept, write_bundle

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.deploy.robots.sim_arm import SimArm, simulated
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Jointed
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Array, Episode, Safety

REACH = TaskConfig("arm_reach")  # 50 Hz; action 1 moves a target by 0.05 rad, the gripper's by 0.1
PAN = np.array([1.0, 0, 0, 0, 0, 0])


def arm(**settings: object) -> SimArm:
    robot = simulated(SimConfig(**settings), REACH, FakeClock())  # type: ignore[arg-type]
    assert isinstance(robot, SimArm)
    robot.connect()
    robot.home(3)
    robot.observe()
    return robot


def bundle_that(folder: Path, action: Array) -> Bundle:
    spec = spec_of(make_env(REACH))
    write_bundle(folder, spec, Limits(), np.zeros((spec.observation_size, 6)), action)
    return Bundle.load(folder)


def deployed(folder: Path, action: Array, **settings: object) -> Episode:
    clock, episodes = FakeClock(), Kept()
    robot = simulated(SimConfig(**settings), REACH, clock)  # type: ignore[arg-type]
    run(robot, bundle_that(folder, action), duration_s=0.4, clock=clock, writer=episodes, seed=3)
    return episodes[0]


def test_a_task_of_an_arm_has_joints_and_others_have_none() -> None:
    assert isinstance(arm(), Jointed)
    other = simulated(SimConfig(), TaskConfig("fetch_reach"))
    assert type(other) is SimRobot
    assert not isinstance(other, Jointed)


def test_within_its_limits_it_does_what_the_task_does_bitwise(tmp_path: Path) -> None:
    action = np.array([0.3, -0.2, 0.1, 0.7, -1.0, 0.55])
    episode = deployed(tmp_path / "bundle", action)
    env = make_env(REACH)
    env.reset(seed=3)
    assert len(episode) == 20
    for number, executed in enumerate(episode.action):
        assert np.array_equal(executed, action.astype(np.float32))
        env.step(executed)
        assert episode.sim_state is not None
        assert np.array_equal(env.unwrapped.get_sim_state(), episode.sim_state[number + 1])  # type: ignore[attr-defined]


def test_a_speed_limit_binds_its_joints(tmp_path: Path) -> None:
    limits = Limits(max_speed_rad_s=[0.5])
    episode = deployed(tmp_path / "bundle", PAN, limits=limits)
    # 0.5 rad/s are 0.01 rad in 20 ms: a fifth of what was asked for.
    assert np.allclose(episode.action[:, 0], 0.2, atol=1e-6)
    assert episode.safety is not None
    assert (episode.safety & Safety.SPEED).all()
    assert np.allclose(episode.action_policy[:, 0], 1.0)


def test_with_a_latency_targets_arrive_so_many_periods_later() -> None:
    robot = arm(latency_s=0.04)
    before = robot.telemetry().targets
    assert before is not None
    assert robot.send(PAN).tolist() == [1, 0, 0, 0, 0, 0]
    robot.observe()
    told = robot.telemetry().targets
    assert told is not None
    assert np.allclose(told - before, 0.05 * PAN)
    moved = []
    for _ in range(3):
        moved.append(float(robot._arm.joint_state()[2][0] - before[0]))
        robot.send(0 * PAN)
        robot.observe()
    assert moved == pytest.approx([0.0, 0.0, 0.05])


def test_what_its_joints_report_is_noisy_and_as_old_as_the_observation() -> None:
    robot = arm(noise={"rad": 0.1}, drop=1.0)
    positions, velocities, _ = robot._arm.joint_state()
    seen = robot.telemetry()
    assert seen.positions is not None
    assert 0.01 < np.abs(seen.positions - positions).max() < 1.0
    assert np.array_equal(seen.velocities, velocities)  # type: ignore[arg-type]
    robot.send(PAN)
    robot.observe()  # lost
    assert np.array_equal(robot.telemetry().positions, seen.positions)  # type: ignore[arg-type]


def test_limits_of_joints_hold_from_the_command_line(tmp_path: Path) -> None:
    bundle = bundle_that(tmp_path / "bundle", PAN).path
    words = ["deploy", f"bundle={bundle}", "robot=sim", "duration_s=0.4", "one_process=true", "priority=0"]
    assert main([*words, "robot.limits.high_rad=[0.05,2,2,2,2,2]", "robot.limits.low_rad=[-2]"]) == 0
    figures = json.loads((bundle / "deploy.json").read_text())
    assert figures["safety"]["position"] > 0
