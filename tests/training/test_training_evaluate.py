"""Evaluation gives the same figures twice, and they are what was counted."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from training_toys import WatchedReplay, awac_config

from robot_orl.agents.base import act
from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.rollout import rollout
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.training.evaluate import evaluate, play, policy_of
from robot_orl.training.state import TrainingState, new_state
from robot_orl.types import Actor, Array, Observation, Proposal

Env = gymnasium.Env[Any, Any]


@pytest.fixture
def state(replay: WatchedReplay) -> TrainingState:
    normalizer = Normalizer.fit(features_of(replay.observations(), replay.spec))
    return new_state(awac_config(), replay.spec, normalizer, seed=0)


def towards_goal(obs: Observation) -> Array:
    move = np.clip(10 * (obs["desired_goal"] - obs["achieved_goal"]), -1, 1)
    return np.append(move, 0).astype(np.float32)


def test_evaluating_twice_gives_identical_figures(env: Env, state: TrainingState) -> None:
    first = evaluate(env, policy_of(state), EVALUATION_SEEDS[:3])
    rollout(env, lambda obs: Proposal(np.ones(4, np.float32), Actor.SCRIPT), seed=1)  # something between
    assert evaluate(env, policy_of(state), EVALUATION_SEEDS[:3]) == first
    assert first.episodes == 3


def test_an_episode_does_not_depend_on_those_before_it(env: Env, state: TrainingState) -> None:
    together = [play(env, policy_of(state), seed) for seed in EVALUATION_SEEDS[:2]]
    alone = play(env, policy_of(state), EVALUATION_SEEDS[1])
    assert alone.action.tobytes() == together[1].action.tobytes()
    assert alone.obs["observation"].tobytes() == together[1].obs["observation"].tobytes()


def test_figures_are_what_was_counted(env: Env) -> None:
    def only_first(obs: Observation) -> Array:
        """Reaches the first goal; runs away from the others."""
        action = towards_goal(obs)
        return action if np.array_equal(obs["desired_goal"], first_goal) else -action

    seeds = EVALUATION_SEEDS[:2]
    first_goal = env.reset(seed=seeds[0])[0]["desired_goal"]
    episodes = [play(env, only_first, seed) for seed in seeds]
    assert [episode.meta.success for episode in episodes] == [True, False]
    shown: list[int] = []

    def progress(items: Sequence[int]) -> Iterator[int]:
        for item in items:
            yield item
            shown.append(item)

    result = evaluate(env, only_first, seeds, progress)
    assert shown == list(seeds)
    assert result.success == 0.5
    assert result.success_any == np.mean([(episode.reward == 0).any() for episode in episodes])
    assert result.episode_return == np.mean([episode.reward.sum() for episode in episodes])
    # Wilson's interval for 1 of 2 with z = 1.96
    assert result.wilson95 == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert result.to_dict()["wilson95"] == list(result.wilson95)


def test_the_policy_acts_without_noise_on_the_flat_observation(env: Env, state: TrainingState) -> None:
    policy, (obs, _) = policy_of(state), env.reset(seed=5)
    action = policy(obs)
    np.testing.assert_array_equal(action, policy(obs))
    np.testing.assert_array_equal(action, act(state.agent.policy(), state.spec.flatten(obs)))
    assert (action.shape, action.dtype) == ((4,), np.float32)
