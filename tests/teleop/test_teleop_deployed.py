"""A person takes over from a policy on a Koch arm: its driver, servos and physics, in a time of their own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import envs  # noqa: F401  registers the tasks
from data_collection.teleop.hands import Jog, Order, Verb
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.standby import Standby
from robot_orl.compose import build
from robot_orl.deploy.attendance import Attendance
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.loop import run
from robot_orl.deploy.report import DeployReport
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.stops import StopRequest
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
    """Of a person who lifts the arm for a while. played, waited: how often they were shown that the policy
    or they act, and that nobody does.  halts_at: of the latter, when they say halt."""

    def __init__(self, halts_at: int | None = None) -> None:
        self.played: list[str] = []
        self.waited = 0
        self._halts_at = halts_at

    def open(self) -> None: ...

    def close(self) -> None: ...

    def jog(self) -> Jog | None:
        return UP if OFF <= len(self.played) < ON else None

    def orders(self) -> list[Order]:
        return [Order(Verb.HALT)] if self.waited == self._halts_at else []

    def present(self) -> bool:
        return True

    def show(self, status: Any, allowed: Any) -> None:
        if status.state == "waiting":
            self.waited += 1
        else:
            self.played.append(status.state)


class Kept(list[Episode]):
    """An episode writer that keeps the episodes."""

    def begin(self, meta: EpisodeMeta) -> None: ...

    def drop(self) -> None: ...

    def settle(self, timeout_s: float) -> bool:
        return True


def still(flat: Array) -> Array:
    return np.zeros(6, np.float32)


def deployed(hands: Hands, seconds: float) -> tuple[DeployReport, list[Episode], Twin, DynamixelRobot]:
    """A policy that stands still, and a person beside it."""
    simulation: Any = make_env(TASK).unwrapped
    simulation.reset(seed=0)
    simulation.model.opt.timestep = 0.0025
    line = MemoryLine(Mechanics(simulation.model, simulation.data, KOCH, steps=2))
    cfg = build("deploy", ["bundle=none", "robot=koch", "robot.port=memory"]).robot
    robot = DynamixelRobot(cfg, TASK, line, make_port=line.make_port)
    policy: Any = still
    bundle = Bundle(Path("still"), robot.spec, Limits.neutral(), TASK.name, {}, policy, "none", {})
    twin, episodes, stop = Twin(TASK, "koch"), Kept(), StopRequest()
    cfg_of_hands = PersonConfig("person")
    person: Any = SimpleNamespace(name="person", cfg=cfg_of_hands, make_hands=lambda env, alone: hands)
    standby = Standby(twin, person)
    sharing = Sharing(standby, robot.spec, twin, Attendance(standby, stop, is_needed=True))
    report = run(robot, bundle, duration_s=seconds, clock=line, writer=episodes, stop=stop, sharing=sharing)
    return report, episodes, twin, robot


@pytest.fixture(scope="module")
def lifted() -> tuple[Episode, Hands, Twin, DynamixelRobot]:
    """One second, in which a person lifts the arm for a while."""
    hands = Hands()
    report, episodes, twin, robot = deployed(hands, TICKS / 50)
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
    assert hands.played[OFF : OFF + 2] == ["person", "person"]
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


def test_a_halt_stops_the_arm_on_its_way_to_the_start() -> None:
    """They are heard every 20 ms meanwhile; the way takes longer than that."""
    hands = Hands(halts_at=5)
    report, episodes, _, _ = deployed(hands, 1.0)
    assert (report.stopped_by, report.stop_reason) == ("emergency", "STOP by operator=person")
    assert (report.ticks, report.fault, report.parked) == (0, None, False)
    assert not hands.played
    assert not episodes
