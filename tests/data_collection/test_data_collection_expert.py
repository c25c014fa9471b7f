"""Laws of the script that takes over by distance: when it does, when it lets go, and that it helps."""

from typing import Any

import numpy as np
import pytest

import envs
from data_collection.operators.expert import Expert, ExpertConfig, ExpertOperator, Judge, remaining_m
from data_collection.operators.policy import PolicyConfig
from data_collection.operators.random import RandomConfig
from robot_orl.errors import UsageError
from robot_orl.intervention import SharedControl, interventions, standing_by
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Array, Episode, Observation, Proposal, Spec

# 10 Hz and 100 steps: patience is 5 steps, and 0.4 m/s is 4 cm a step
SPEC = Spec("made", {}, (), 10.0, 100)
CFG = ExpertConfig()


def helps(left_m: list[float], done: int | None = None, spec: Spec = SPEC) -> list[bool]:
    """done: the step from which on it is a success."""
    judge = Judge(CFG, spec)
    return [judge.helps(m, done is not None and step >= done) for step, m in enumerate(left_m)]


def test_it_takes_over_once_the_policy_got_no_nearer_for_long_enough() -> None:
    nearer = [0.5 - 0.02 * step for step in range(5)]
    assert helps([*nearer, *([0.415] * 5)]) == [False] * 9 + [True]
    creeping = [0.5 - 0.004 * step for step in range(8)]  # 1 cm in 3 steps: slowly, but it gets there
    assert helps(creeping) == [False] * 8


def test_it_takes_over_at_once_when_something_is_lost() -> None:
    assert helps([0.2, 0.17, 0.14, 0.19, 0.195]) == [False, False, False, False, True]


def test_it_lets_go_once_it_is_nearer_than_ever_by_enough() -> None:
    """From 0.3, 8 cm: below 0.22. Then the policy has its patience again."""
    way = [*([0.3] * 6), 0.28, 0.25, 0.221, *([0.219] * 6)]
    assert helps(way) == [False] * 5 + [True] * 4 + [False] * 5 + [True]


def test_where_time_runs_out_it_goes_all_the_way() -> None:
    """Of 10 steps 7 are left after the third, in which 28 cm can be done; it stays until that is solved."""
    short = Spec("made", {}, (), 10.0, 10)
    assert helps([0.35, 0.3, 0.275], spec=short) == [False, False, False]
    way = [0.35, 0.3, 0.285, 0.2, 0.1, 0.02, 0.0]
    assert helps(way, done=6, spec=short) == [False, False, True, True, True, True, False]


def test_a_task_that_is_solved_is_left_alone() -> None:
    assert helps([0.3, 0.02, *([0.02] * 90)], done=1) == [False] * 92


def test_how_far_it_is_goes_by_the_object() -> None:
    places = {"tool": (0.0, 0.0, 0.0), "object": (0.3, 0.4, 0.0), "goal": (0.3, 0.4, 0.2)}
    assert remaining_m(places) == pytest.approx(0.7)
    del places["object"]
    assert remaining_m(places) == pytest.approx(np.sqrt(0.29))


def shared(task: str, policy: Array, seeds: range) -> list[Episode]:
    """What becomes of a policy that always does the same, beside the expert."""
    env = envs.make(task)
    spec = spec_of(env)
    expert = ExpertOperator(CFG, spec).stand_by(env)
    control = SharedControl(expert, spec.control_hz)

    def choose(obs: Observation) -> Proposal:
        return control.proposal(obs, policy)

    episodes = []
    for seed in seeds:
        control.begin(np.random.default_rng(seed))
        episodes.append(rollout(env, choose, seed=seed))
    return episodes


def test_it_solves_what_a_policy_that_stands_still_does_not() -> None:
    episodes = shared("fetch_push", np.zeros(4, np.float32), range(3))
    assert all(episode.meta.success for episode in episodes)
    for episode in episodes:
        assert interventions(episode.actor) >= 1
        assert {Actor.POLICY, Actor.INTERVENTION} == set(episode.actor)


def test_it_takes_over_and_lets_go_without_a_jump() -> None:
    (episode,) = shared("fetch_push", np.array([0.9, 0.9, 0.9, 0.9], np.float32), range(1))
    changes = np.abs(np.diff(episode.action, axis=0)).max(axis=1)
    actor = np.asarray(episode.actor)
    handed_over = np.flatnonzero(actor[1:] != actor[:-1])
    assert len(handed_over) >= 2
    assert changes[handed_over].max() <= 2.0 / (0.15 * 25) + 1e-6


def test_it_does_the_same_again() -> None:
    first, again = (shared("fetch_push", np.zeros(4, np.float32), range(1))[0] for _ in range(2))
    np.testing.assert_array_equal(first.action, again.action)


def test_who_cannot_take_over_is_told_who_can() -> None:
    spec = spec_of(envs.make("fetch_push"))
    assert isinstance(standing_by(CFG, spec).stand_by(envs.make("fetch_push")), Expert)
    for cfg in (RandomConfig(), PolicyConfig(path="nowhere")):
        with pytest.raises(UsageError, match=rf"^operator={cfg.name} cannot take over.*: browser, expert,"):
            standing_by(cfg, spec)
    made: Any = Spec("adroit_pen", {}, (), 50.0, 100)
    with pytest.raises(UsageError, match=r"^operator=expert has no script for task 'adroit_pen'; it has"):
        standing_by(CFG, made)
