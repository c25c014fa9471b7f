"""Small specs and episodes of plain numbers, for laws that are checked by hand."""

from collections.abc import Sequence

import numpy as np

from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Signal, Spec


def point_spec(actions: int = 1) -> Spec:
    """One observed number and no goal: D = 1."""
    action = tuple(Signal(f"push{i}", "1", -1, 1) for i in range(actions))
    return Spec("point", {"position": (Signal("x", "m"),)}, action, 10.0, 5)


def goal_spec() -> Spec:
    """D = 5: one number, where the thing is (2) and where it should be (2)."""
    pair = (Signal("x", "m"), Signal("y", "m"))
    observation = {"speed": (Signal("v", "m/s"),), "goal": pair, "thing": pair}  # goal before thing
    return Spec("goal", observation, (Signal("push", "1", -1, 1),), 10.0, 5, "thing", "goal")


def identity(spec: Spec, extra: int = 0) -> Normalizer:
    """Leaves features as they are. extra: how many goal differences there are."""
    size = spec.observation_size + extra
    return Normalizer(np.zeros(size, np.float32), np.ones(size, np.float32))


def episode(
    obs: dict[str, Array],
    action: Array,
    reward: Sequence[float],
    terminated: bool = False,
    operator: str = "made",
) -> Episode:
    """T steps that end in a termination, or else in a truncation."""
    length = len(reward)
    ends = np.arange(length) == length - 1
    nobody = np.full((length, 1), np.nan, np.float32)
    return Episode(
        obs={key: np.asarray(rows, np.float32).reshape(length + 1, -1) for key, rows in obs.items()},
        action=np.asarray(action, np.float32).reshape(length, -1),
        action_policy=nobody,
        action_operator=nobody,
        reward=np.asarray(reward, np.float32),
        terminated=ends & terminated,
        truncated=ends & (not terminated),
        t_ns=np.arange(length) * 100_000_000,
        actor=np.full(length, Actor.SCRIPT, np.uint8),
        sim_state=None,
        meta=EpisodeMeta(operator=operator),
    )


def points(values: Sequence[float], reward: Sequence[float], terminated: bool = False) -> Episode:
    """An episode of `point_spec`: positions s0 ... sT; the action of a step is a tenth of its position."""
    action = np.asarray(values[:-1], np.float32) / 10
    return episode({"position": np.asarray(values)}, action, reward, terminated)
