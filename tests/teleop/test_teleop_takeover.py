"""Laws of hands beside a policy: taking over goes on from what was executed, and letting go makes no jump."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from teleop_toys import PUSH, Clock, Person, ScriptedHands, order, pushes, reach, until

import envs
from data_collection.operators.mixed import MixedConfig, hands_of
from data_collection.teleop.drive import Drive
from data_collection.teleop.hands import Hands, Jog, Verb
from data_collection.teleop.session import RecordingSession
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.shelf import Shelf
from data_collection.teleop.standby import Standby
from data_collection.teleop.steering import steering_of
from data_collection.teleop.takeover import PolicyAndHands, Takeover
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.intervention import SharedControl
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Array, Episode, Observation

Env = gymnasium.Env[Any, Any]
CFG = PersonConfig(name="person")
JOINTS = Jog(np.zeros(3), np.zeros(3), 0.0, np.ones(28))
ACTOR = {"policy": Actor.POLICY, "person": Actor.INTERVENTION}


def steps_of(env: Env, jogs: list[Jog | None], policy: Array) -> tuple[Array, list[Actor]]:
    """What was executed, (T, A), and who chose it."""
    spec, takeover = spec_of(env), Takeover(steering_of(env, CFG))
    control = SharedControl(takeover, spec.control_hz)
    actions, actors = [], []
    obs, _ = env.reset(seed=0)
    control.begin(np.random.default_rng(0))
    for jog in jogs:
        takeover.jog = jog
        proposal = control.proposal(obs, policy)
        obs = env.step(proposal.action)[0]
        actions.append(proposal.action)
        actors.append(proposal.actor)
    return np.array(actions), actors


@pytest.mark.parametrize(
    ("task", "jog"), [("fetch_pick_and_place", PUSH), ("arm_lift", PUSH), ("adroit_door", JOINTS)]
)
def test_neither_taking_over_nor_letting_go_makes_a_jump(task: str, jog: Jog) -> None:
    """From one step to the next no signal changes by more than its whole range in 0.15 s."""
    env = envs.make(task)
    policy = np.resize([0.9, -0.9, 0.5], spec_of(env).action_size).astype(np.float32)
    off: list[Jog | None] = [None] * 4
    actions, actors = steps_of(env, [*off, *([jog] * 6), *([None] * 12), *([jog] * 3)], policy)
    most = 2.0 / (0.15 * spec_of(env).control_hz)
    assert np.abs(np.diff(actions, axis=0)).max() <= most + 1e-6
    assert [actor == Actor.INTERVENTION for actor in actors] == [False] * 4 + [True] * 6 + [False] * 12 + [
        True
    ] * 3
    np.testing.assert_array_equal(actions[21], policy)  # it is the policy's again


@pytest.mark.parametrize("gripper", [-0.2, 0.03, -0.03, 0.0, 1.0])
def test_fingers_are_sent_what_they_were_until_hands_say_otherwise(gripper: float) -> None:
    policy = np.array([0, 0, 0, gripper], np.float32)
    shut = Jog(PUSH.linear, PUSH.angular, gripper=-1.0)
    env = envs.make("fetch_pick_and_place")
    actions, _ = steps_of(env, [None, None, *([PUSH] * 10), shut, *([PUSH] * 10)], policy)
    np.testing.assert_array_equal(actions[:12, 3], policy[3])
    assert actions[-1, 3] == -1.0


def test_what_hands_say_first_in_an_episode_begins_at_rest() -> None:
    actions, _ = steps_of(reach(), [PUSH, PUSH], np.ones(4, np.float32))
    assert 0 < actions[0, 0] < actions[1, 0] < 0.3  # the policy, which wants 1, has not acted yet


# standing by


def standing(script: Any, **fields: Any) -> tuple[Standby, ScriptedHands]:
    hands = ScriptedHands(script)

    def make_hands(env: Env, alone: bool = False) -> Hands:
        assert alone
        return hands

    cfg = PersonConfig(name="person", **fields)
    operator: Any = SimpleNamespace(name="person", cfg=cfg, make_hands=make_hands)
    return Standby(reach(), operator, Clock()), hands


def played(standby: Standby, steps: int) -> Episode:
    control = SharedControl(standby, spec_of(standby.env).control_hz)
    control.begin(np.random.default_rng(0))
    policy = np.zeros(4, np.float32)

    def choose(obs: Observation) -> Any:
        return control.proposal(obs, policy)

    return rollout(standby.env, choose, seed=0, pace=standby.pace, steps=steps)


def test_who_acts_is_recorded_and_shown_step_by_step() -> None:
    def script(hands: ScriptedHands) -> Person:
        yield from pushes(3, None)
        yield from pushes(4, PUSH)
        yield from pushes(3, None)

    standby, hands = standing(script)
    episode = played(standby, 10)
    assert [ACTOR[status.state] for status in hands.seen] == list(episode.actor)
    assert list(episode.actor) == [2, 2, 2, 3, 3, 3, 3, 2, 2, 2]
    assert [status.step for status in hands.seen] == list(range(1, 11))
    assert np.isnan(episode.action_operator[:3]).all()
    np.testing.assert_array_equal(episode.action_operator[3:7], episode.action[3:7])
    assert (episode.action_policy == 0).all()  # what the policy wanted is kept while somebody else acts


def test_who_stands_by_sees_real_time_and_how_late_it_is() -> None:
    standby, hands = standing(lambda hands: pushes(10, None))
    standby._pacing._real._ticker._clock.late_ms = [0.0, 7.0, 0.0]  # type: ignore[attr-defined]
    episode = played(standby, 10)
    assert episode.t_ns.tolist() == [0, 40_000_000, 87_000_000, *(40_000_000 * i for i in range(3, 10))]
    assert [status.lag_ms for status in hands.seen] == [0.0, 0.0, 7.0] + [0.0] * 7


def test_orders_are_heard_while_a_policy_acts_and_between_episodes() -> None:
    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.QUIT)
        yield order(Verb.STOP)

    standby, hands = standing(script)
    heard: list[Verb] = []
    standby.hear = lambda order: heard.append(order.verb)
    standby.action(standby.env.reset(seed=0)[0])
    standby.idle()
    assert heard == [Verb.QUIT, Verb.STOP]
    assert hands.seen[-1].state == "waiting"


@pytest.mark.parametrize(("seconds", "steps"), [(20.0, 500), (1.0, 50), (None, 50)])
def test_an_episode_is_never_shorter_than_the_task_s(seconds: float | None, steps: int) -> None:
    standby, _ = standing(lambda hands: pushes(1), seconds=seconds)
    assert standby.steps == steps


# a session in which a policy acts


class Still:
    policy_hash = "abc"
    noise = 0.0

    def act(self, obs: Observation) -> Array:
        return np.array([0, 0, 0.5, 0], np.float32)


def test_a_session_with_a_policy_records_who_acted(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(4, None)
        yield from pushes(5, PUSH)
        yield order(Verb.STOP)
        yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    env, hands = reach(), ScriptedHands(script)
    cfg = PersonConfig(name="mixed", countdown_s=0.0)
    steering, session = steering_of(env, cfg), RecordingSession(1, countdown_s=0.0)
    mixed = PolicyAndHands(Still(), steering, spec_of(env).control_hz)
    with Shelf(tmp_path, spec_of(env), "mixed", {"operator": {"name": "mixed"}, "seed": 0}, {}) as shelf:
        Drive(
            env, hands, steering, session, shelf, iter(range(9)), cfg, StopFlag(), Clock(), mixed=mixed
        ).run()
    (episode,) = Dataset.open(tmp_path).load_all()
    assert episode.meta.policy_hash == "abc"
    theirs = episode.actor == Actor.INTERVENTION
    assert theirs.sum() == 5
    assert set(episode.actor) == {Actor.POLICY, Actor.INTERVENTION}
    np.testing.assert_array_equal(episode.action[0], Still().act({}))
    np.testing.assert_array_equal(episode.action_policy[theirs], np.tile(Still().act({}), (5, 1)))
    assert not any("nobody has acted" in status.warning for status in hands.seen)
    told = [status.said.partition(";")[0] for status in hands.seen if status.state == "recording"]
    assert told == ["the policy acts"] * 6 + ["you act"] * 4  # as of the step before


def test_the_hands_of_a_mixed_operator_are_set_by_name() -> None:
    spec = spec_of(reach())
    made = hands_of(MixedConfig(path="x", hands="keyboard", options={"speed_m_s": 0.1, "tap": 0.5}), spec)
    assert (made.name, made.cfg.speed_m_s, made.cfg.dead_zone) == ("keyboard", 0.1, 0.0)
    with pytest.raises(UsageError, match=r"^no hands 'scripted'; valid: browser, .*keyboard"):
        hands_of(MixedConfig(path="x", hands="scripted"), spec)
    with pytest.raises(UsageError, match=r"^no field of operator.options 'prot'; did you mean 'port'\?"):
        hands_of(MixedConfig(path="x", options={"prot": 1}), spec)
    with pytest.raises(UsageError, match=r"^operator.options: "):
        hands_of(MixedConfig(path="x", options={"port": "here"}), spec)
    with pytest.raises(UsageError, match="port=70000 is outside"):
        hands_of(MixedConfig(path="x", options={"port": 70_000}), spec)
