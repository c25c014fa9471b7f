"""The alarm of a bundle, set on episodes that went well: what is normal for this policy."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from robot_orl.agents.base import Valued, act
from robot_orl.deploy.promotion.alarm import RATE, Calibration, calibrate
from robot_orl.training.export import q_of
from robot_orl.training.state import TrainingState
from robot_orl.types import Array

LEAST = 4  # episodes without which nothing is known


def halves(episodes: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Every other episode, in the same random order whenever it is asked."""
    order = np.random.default_rng(0).permutation(len(episodes))
    mixed = [episodes[number] for number in order]
    return mixed[0::2], mixed[1::2]


def calibration(
    state: TrainingState,
    reference: Sequence[Array],
    held_out: Sequence[Array],
    *,
    with_critic: bool,
    source: str,
    rate: float = RATE,
) -> Calibration:
    """reference, held_out: flat observations (T + 1, D) of each episode, none of them in both.

    source: what held_out is, for people.
    """
    seen = np.concatenate(held_out)
    q = None
    if with_critic and hasattr(state.agent, "q_values"):
        q = q_of(cast(Valued, state.agent), seen, act(state.agent.policy(), seen))
    return calibrate(np.concatenate(reference), seen, q, rate=rate, episodes=len(held_out), source=source)
