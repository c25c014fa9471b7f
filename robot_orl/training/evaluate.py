"""Evaluation: the deterministic policy on a fixed list of seeds that nothing was trained on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np

from robot_orl.agents.base import act
from robot_orl.rollout import rollout
from robot_orl.statistics import wilson_interval
from robot_orl.training.state import TrainingState
from robot_orl.types import Actor, Array, Episode, Observation, Proposal

Act = Callable[[Observation], Array]


@dataclass(frozen=True)
class Evaluation:
    """success: share of episodes successful at the last step, wilson95: its 95% interval.

    success_any: at any step.  episode_return: mean undiscounted return.
    """

    success: float
    wilson95: tuple[float, float]
    success_any: float
    episode_return: float
    episodes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"wilson95": list(self.wilson95)}


def evaluate(
    env: gymnasium.Env[Any, Any],
    act: Act,
    seeds: Sequence[int],
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Evaluation:
    """Play one episode per seed. progress: wraps the seeds, to show how far it is."""
    return figures_of(play(env, act, seed) for seed in progress(seeds))


def figures_of(episodes: Iterable[Episode]) -> Evaluation:
    """At least one episode."""
    outcomes = [(e.meta.success, e.meta.success_any, e.reward.sum()) for e in episodes]
    successes = sum(bool(success) for success, _, _ in outcomes)
    return Evaluation(
        success=successes / len(outcomes),
        wilson95=wilson_interval(successes, len(outcomes)),
        success_any=float(np.mean([bool(success_any) for _, success_any, _ in outcomes])),
        episode_return=float(np.mean([total for _, _, total in outcomes])),
        episodes=len(outcomes),
    )


def play(env: gymnasium.Env[Any, Any], act: Act, seed: int, keep_state: bool = False) -> Episode:
    """One episode with the deterministic policy."""

    def choose(obs: Observation) -> Proposal:
        action = act(obs)
        return Proposal(action, Actor.POLICY, policy=action)

    return rollout(env, choose, seed=seed, keep_state=keep_state)


def policy_of(state: TrainingState) -> Act:
    """The deployed policy of an agent as a function of dict observations."""
    module, spec = state.agent.policy(), state.spec

    def choose(obs: Observation) -> Array:
        return act(module, spec.flatten(obs))

    return choose
