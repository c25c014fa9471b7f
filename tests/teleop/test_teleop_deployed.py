"""A person takes over from a policy on a Koch arm: its driver, servos and physics, in a time of their own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import envs  # noqa: F401  registers the tasks
from data_collection.teleop.hands import Jog, Order
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.standby import Standby
from robot_orl.compose import build
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.twin import Twin
from robot_orl.deploy.virtual.mechanics import KOCH, Mechanics
from robot_orl.deploy.virtual.memory import MemoryLine
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Actor, Array, Episode, EpisodeMeta

pytestmark = pytest.mark.e2e
TASK = TaskConfig("arm_reach")
UP = Jog(np.array([0.0, 0.0, 1.0]), np.zeros(3))
OFF, ON, TICKS = 10, 25, 50  # ticks until hands are laid on, and until they let go; 50 Hz


class Hands:
    """Of a person who lifts the arm for a while. shown: the states that they were shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def jog(self) -> Jog | None:
        return UP if OFF <= len(self.shown) < ON else None

    def orders(self) -> list[Order]:
        return []

    def present(self) -> bool:
        return True

    def show(self, status: Any, allowed: Any) -> None:
        self.shown.append(status.state)


class Kept(list[Episode]):
    """An episode writer that keeps the episodes."""

    def begin(self, meta: EpisodeMeta) -> None: ...

    def drop(self) -> None: ...

    def settle(self, timeout_s: float) -> bool:
        return True


def still(flat: Array) -> Array:
    return np.zeros(6, np.float32)


@pytest.fixture(scope="module")
def lifted() -> tuple[Episode, Hands, Twin, DynamixelRobot]:
    """One second of a policy that stands still."""
    simulation: Any = make_env(TASK).unwrapped
    simulation.reset(seed=0)
    simulation.model.opt.timestep = 0.0025
    mechanics = Mechanics(simulation.model, simulation.data, KOCH, steps=2)
    line = MemoryLine(mechanics)
    cfg = build("deploy", ["bundle=none", "robot=koch", "robot.port=memory"]).robot
    robot = DynamixelRobot(cfg, TASK, line, make_port=line.make_port)
    policy: Any = still
    bundle = Bundle(Path("still"), robot.spec, Limits.neutral(), TASK.name, {}, policy, "none", {})
    hands, twin, episodes = Hands(), Twin(TASK, "koch"), Kept()
    cfg_of_hands = PersonConfig("person")
    person: Any = SimpleNamespace(name="person", cfg=cfg_of_hands, make_hands=lambda env, alone: hands)
    sharing = Sharing(Standby(twin, person), robot.spec, twin)
    report = run(robot, bundle, duration_s=TICKS / 50, clock=line, writer=episodes, sharing=sharing)
    assert report.fault is None
    assert report.parked
    return episodes[0], hands, twin, robot


def named(episode: Episode, robot: DynamixelRobot, ending: str) -> Array:
    """(T+1, n) the signals of the observation whose names end so."""
    names = [signal.name for signal in robot.spec.observation["observation"]]
    return episode.obs["observation"][:, [i for i, name in enumerate(names) if name.endswith(ending)]]


def test_the_real_arm_goes_where_hands_push_it_and_stays_when_they_let_go(lifted: Any) -> None:
    episode, hands, _, robot = lifted
    theirs = np.flatnonzero(episode.actor == Actor.INTERVENTION)
    assert theirs.tolist() == list(range(OFF, ON))
    assert hands.shown[OFF : OFF + 2] == ["person", "person"]
    height = named(episode, robot, "tool_pos_z")[:, 0]
    assert height[ON] - height[OFF] > 0.02
    assert abs(height[-1] - height[ON + 10]) < 0.005


def test_neither_taking_over_nor_letting_go_makes_the_arm_jump(lifted: Any) -> None:
    """An action may change by its whole range in 0.15 s, 8 ticks: by 0.27 in one."""
    episode, _, _, robot = lifted
    assert np.abs(np.diff(episode.action, axis=0)).max() <= 2 / (0.15 * 50) + 1e-3
    assert (episode.action[ON + 8 :] == 0).all()
    targets = named(episode, robot, "_pos")[:, :6] + named(episode, robot, "_lead")
    speeds = np.abs(np.diff(targets, axis=0)) * 50
    assert (speeds <= np.array(robot.limits.max_speed_rad_s) + 0.1).all()


def test_what_each_proposed_is_kept_beside_what_was_done(lifted: Any) -> None:
    episode, *_ = lifted
    acted = episode.actor == Actor.INTERVENTION
    assert (episode.action_policy == 0).all()
    assert np.isfinite(episode.action_operator).all(axis=1).tolist() == acted.tolist()
    np.testing.assert_allclose(episode.action[acted], episode.action_operator[acted], atol=1e-6)


def test_the_person_is_shown_the_arm_as_it_stands(lifted: Any) -> None:
    """At the last tick in which somebody could act; it comes to rest before."""
    episode, _, twin, robot = lifted
    joints = twin.unwrapped.data.qpos[:6]
    np.testing.assert_allclose(joints, named(episode, robot, "_pos")[-2, :6], atol=1e-6)
