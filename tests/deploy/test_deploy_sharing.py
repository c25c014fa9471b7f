"""Somebody takes over from a deployed policy: within its limits, recorded as theirs, and never waited for."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from deploy_toys import FakeClock, Kept, MakeBundle, ToyArm, ToyRobot, always

import envs  # noqa: F401  registers the tasks
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.sim import SimConfig
from robot_orl.deploy.robots.sim_arm import simulated
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Simulated
from robot_orl.deploy.twin import Twin
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig
from robot_orl.types import Actor, Array, Outcome, Spec


class Hands:
    """An intervener that does what it is told, step by step, in every episode; None: off.

    saw: each observation.  executed_: what it was told of.
    """

    name, actor, policy_hash, pace, steps = "hands", Actor.INTERVENTION, None, None, None

    def __init__(self, script: Sequence[Sequence[float] | None], env: Any = None) -> None:
        self.env, self._script = env, script
        self.seen: list[Any] = []
        self.seeds: list[int] = []
        self.heard: list[list[float]] = []

    def begin(self, rng: np.random.Generator) -> None:
        self._left = list(self._script)

    def action(self, obs: Any) -> Array | None:
        self.seen.append(obs)
        said = self._left.pop(0) if self._left else None
        return None if said is None else np.array(said, np.float32)

    def executed(self, action: Array) -> None:
        self.heard.append(action.tolist())

    def open(self) -> None: ...

    def ended(self, episode: Any) -> None: ...

    def idle(self) -> None: ...

    def close(self) -> None: ...


def test_who_has_taken_over_is_held_to_the_limits_and_recorded_with_what_each_proposed(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    """From 0 at most 0.5 a tick: to 0.5, to 1, and after letting go back to the policy's 0."""
    hands, episodes = Hands([None, [1.0, 0.0], [1.0, 0.0]]), Kept()
    bundle = always(make_bundle, spec, 0.0, 0.0, limits=Limits(max_action_delta=0.5))
    sharing = Sharing(hands, spec)
    report = run(robot, bundle, duration_s=0.5, clock=clock, writer=episodes, sharing=sharing).to_dict()
    assert [sent[0] for sent in robot.sent] == [0.0, 0.5, 1.0, 0.5, 0.0]
    (episode,) = episodes
    policy, theirs = Actor.POLICY, Actor.INTERVENTION
    assert episode.actor.tolist() == [policy, theirs, theirs, policy, policy]
    assert episode.meta.operator == "policy+hands"
    assert episode.action[:, 0].tolist() == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert episode.action_policy.tolist() == [[0.0, 0.0]] * 5
    assert episode.action_operator[1:3].tolist() == [[1.0, 0.0]] * 2
    assert np.isnan(episode.action_operator[[0, 3, 4]]).all()
    assert report["safety"]["rate_limited"] == 2, "as theirs came, and as the policy's did"
    assert report["interventions"] == {
        "times": 1,
        "steps": 2,
        "of_steps": 5,
        "alone": {"episodes": 0, "successes": 0},
    }


def test_hands_that_stay_off_change_nothing(clock: FakeClock, spec: Spec, make_bundle: MakeBundle) -> None:
    bundle, sent = make_bundle(spec), []
    for sharing in (None, Sharing(Hands([]), spec)):
        robot, episodes = ToyRobot(spec, clock), Kept()
        run(robot, bundle, duration_s=1.2, clock=clock, writer=episodes, sharing=sharing)
        sent.append(
            [[action.tolist() for action in robot.sent], [e.action_policy.tolist() for e in episodes]]
        )
    assert sent[0] == sent[1]


def test_hands_see_what_the_policy_is_asked_about_and_hear_what_is_executed(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    hands = Hands([[0.25, 0.0], None])
    bundle = always(make_bundle, spec, 0.5, 0.0, limits=Limits(max_action_delta=0.125))
    run(robot, bundle, duration_s=0.3, clock=clock, sharing=Sharing(hands, spec))
    assert [obs["joint"].tolist() for obs in hands.seen] == [[0.0, 0.0], [0.25, 0.0], [0.625, 0.0]]
    assert [heard[0] for heard in hands.heard[1::2]] == [0.25, 0.375, 0.5], "after the limits, of each step"


def test_a_persons_targets_keep_to_the_joints_limits_as_the_policys_do(
    clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    """An action of 1 asks for 0.5 rad in 0.1 s; 2 rad/s are 0.2."""
    arm, episodes = ToyArm(spec, clock), Kept()
    arm.limits = Limits(max_speed_rad_s=[2.0])
    hands = Hands([[1.0, 0.0]] * 2)
    bundle = always(make_bundle, spec, 0.0, 0.0)
    report = run(arm, bundle, duration_s=0.2, clock=clock, writer=episodes, sharing=Sharing(hands, spec))
    np.testing.assert_allclose(arm.joint, [0.4, 0.0])
    np.testing.assert_allclose(episodes[0].action[:, 0], [0.4, 0.4], rtol=1e-6)
    assert episodes[0].actor.tolist() == [Actor.INTERVENTION] * 2
    assert report.to_dict()["safety"]["speed"] == 2


def test_after_letting_go_joints_go_on_from_what_their_limits_left(
    clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    """Of 1 they left 0.4; towards the policy's -1 by 4/3 a step that is -0.93, of which -0.4 is left."""
    arm, episodes = ToyArm(spec, clock), Kept()
    arm.limits = Limits(max_speed_rad_s=[2.0])
    hands = Hands([[1.0, 0.0], None])
    bundle = always(make_bundle, spec, -1.0, 0.0)
    run(arm, bundle, duration_s=0.2, clock=clock, writer=episodes, sharing=Sharing(hands, spec))
    np.testing.assert_allclose(episodes[0].action[:, 0], [0.4, -0.4], rtol=1e-6)
    np.testing.assert_allclose([heard[0] for heard in hands.heard], [1, 1, 0.4, -14 / 15, -14 / 15, -0.4])


def test_garbage_of_hands_stops_the_robot_and_says_whose_it_was(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    hands = Hands([None, [np.nan, 0.0]])
    bundle = always(make_bundle, spec, 0.0, 0.0)
    report = run(robot, bundle, duration_s=0.5, clock=clock, sharing=Sharing(hands, spec))
    assert report.fault is not None
    assert report.fault.endswith("whoever has taken over proposed a non-finite action for: push")
    assert len(robot.sent) == 1


def test_episodes_that_the_policy_did_alone_are_counted_by_themselves(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    robot.result = Outcome(reward=0.0, success=True)
    hands, episodes = Hands([]), Kept()
    starts = iter([[[0.0, 0.0], None, [0.0, 0.0]], []])
    hands.begin = lambda rng: setattr(hands, "_left", next(starts))  # type: ignore[method-assign]
    bundle = always(make_bundle, spec, 0.0, 0.0)
    sharing = Sharing(hands, spec)
    found = run(robot, bundle, duration_s=1.0, clock=clock, writer=episodes, sharing=sharing).to_dict()
    assert found["success"]["successes"] == 2
    assert (found["interventions"]["times"], found["interventions"]["steps"]) == (2, 2)
    assert found["interventions"]["alone"] == {"episodes": 1, "successes": 1}
    assert [episode.meta.operator for episode in episodes] == ["policy+hands", "policy"]


class Looking(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Whoever watches a task. looks: where its arm is at each moment, (6,) rad, as it is drawn."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.looks: list[Array] = []

    def reset(self, **options: Any) -> Any:
        found = super().reset(**options)
        self.looks.append(self.unwrapped.data.qpos.copy())  # type: ignore[attr-defined]
        return found

    def step(self, action: Any) -> Any:
        found = super().step(action)
        self.looks.append(self.unwrapped.data.qpos.copy())  # type: ignore[attr-defined]
        return found


def played(name: str, is_watched_through_a_twin: bool) -> tuple[list[Array], list[Array], Any]:
    """The same pushes on a simulated arm: what is drawn at each step, what was, and the watcher's env."""
    task = TaskConfig(name)
    robot = simulated(SimConfig(), task)
    assert isinstance(robot, Simulated)
    truth = Looking(robot.env)
    robot.env = truth
    twin = Twin(task, "arm") if is_watched_through_a_twin else None
    env = Looking(twin) if twin is not None else truth
    sharing = Sharing(Hands([], env), robot.spec, twin)
    robot.connect()
    robot.home(3)
    sharing.begin(3)
    for step in range(4):
        flat = robot.spec.flatten(robot.observe().obs)
        sharing.saw(flat, robot.outcome())
        robot.send(sharing.proposal(np.full(6, 0.5 * (step % 2), np.float32)).action)
    robot.close()
    return env.looks, truth.looks, env


def test_a_robot_that_is_a_simulation_is_watched_itself() -> None:
    drawn, true, _ = played("arm_reach", is_watched_through_a_twin=False)
    assert drawn is true
    assert len(drawn) == 1 + 4


@pytest.mark.parametrize("name", ["arm_reach", "arm_push"])
def test_a_twin_stands_where_the_robot_said_that_it_stands(name: str) -> None:
    """Each picture is of the observation of its tick; a cube lies there, turned as at the start."""
    drawn, true, env = played(name, is_watched_through_a_twin=True)
    for shown, was in zip(drawn[1:], true[:4], strict=True):
        np.testing.assert_allclose(shown[:9], was[:9], atol=1e-6)
    task = env.unwrapped
    goal = task.data.site_xpos[task.model.site("goal").id]
    np.testing.assert_allclose(goal, task.sample_goal(3), atol=1e-6)


def test_where_nobody_can_say_how_things_lie_there_is_no_twin() -> None:
    line = "nobody can be shown what far does: fetch_reach does not observe where everything is"
    with pytest.raises(UsageError, match=line):
        Twin(TaskConfig("fetch_reach"), "far")


@pytest.mark.parametrize("is_simulated", [False, True])
def test_no_episode_ends_under_somebodys_hands_before_it_has_their_steps(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, is_simulated: bool
) -> None:
    """The horizon is 5, theirs 16: let go after step 6 and for a moment before, it ends 0.5 s later; held
    on, at 16."""
    episodes, bundle = Kept(), always(make_bundle, spec, 0.0, 0.0)
    hands = Hands([])
    hands.steps = 16  # type: ignore[assignment]
    on = [0.0, 0.0]
    starts = iter([[None, on, None, None, None, on], [None, *[on] * 20], []])
    hands.begin = lambda rng: setattr(hands, "_left", next(starts))  # type: ignore[method-assign]
    taken: list[int] = []

    def told(name: str, count: int) -> None:  # a simulated task says so at its horizon, and ever after
        if name == "home":
            taken.clear()
        elif name == "send":
            taken.append(count)
            robot.result = Outcome(reward=-1.0, success=False, truncated=is_simulated and len(taken) >= 5)

    robot.before = told
    run(robot, bundle, duration_s=3.2, clock=clock, writer=episodes, sharing=Sharing(hands, spec))
    assert [len(episode) for episode in episodes] == [11, 16, 5]
    assert [episode.meta.end_reason for episode in episodes] == ["horizon"] * 3
    assert all(episode.truncated.tolist() == [False] * (len(episode) - 1) + [True] for episode in episodes)
