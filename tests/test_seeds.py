"""Evaluation seeds are never trained on: the ranges of seeds do not meet."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_orl.errors import UsageError
from robot_orl.seeds import (
    EPISODES_PER_STAGE,
    EVALUATION_SEEDS,
    MAX_RUN_SEED,
    VALIDATION_SEEDS,
    collection_seed,
    deployment_seed,
    finetune_seed,
)

PURPOSES = (collection_seed, finetune_seed, deployment_seed)
run_seeds = st.integers(0, MAX_RUN_SEED)
episodes = st.integers(0, EPISODES_PER_STAGE - 1)


def test_the_ranges_never_meet() -> None:
    """Each purpose and run seed takes one unbroken range of reset seeds."""
    ranges = [(VALIDATION_SEEDS[0], VALIDATION_SEEDS[-1]), (EVALUATION_SEEDS[0], EVALUATION_SEEDS[-1])]
    for purpose in PURPOSES:
        for run_seed in range(MAX_RUN_SEED + 1):
            first, last = purpose(run_seed, 0), purpose(run_seed, EPISODES_PER_STAGE - 1)
            assert last - first == EPISODES_PER_STAGE - 1
            ranges.append((first, last))
    ranges.sort()
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))
    assert ranges[0][0] >= 0
    assert ranges[-1][1] < 2**31  # what every simulator takes as a seed


@settings(max_examples=200, deadline=None, derandomize=True)
@given(run_seeds, episodes, run_seeds, episodes)
def test_no_two_purposes_share_a_seed(run: int, episode: int, other_run: int, other_episode: int) -> None:
    for first, second in combinations(PURPOSES, 2):
        assert first(run, episode) != second(other_run, other_episode)
    for purpose in PURPOSES:
        seed = purpose(run, episode)
        assert seed not in EVALUATION_SEEDS
        assert seed not in VALIDATION_SEEDS
        assert (seed == purpose(other_run, other_episode)) == ((run, episode) == (other_run, other_episode))


def test_the_fixed_seeds_do_not_change() -> None:
    """Figures of different versions are compared on them."""
    assert (EVALUATION_SEEDS[0], len(EVALUATION_SEEDS)) == (2_000_000_000, 10_000)
    assert (VALIDATION_SEEDS[0], len(VALIDATION_SEEDS)) == (1_900_000_000, 10_000)
    assert collection_seed(3, 7) == 3_000_007
    assert finetune_seed(3, 7) == 3_500_007
    assert deployment_seed(3, 7) == 1_001_500_007


@pytest.mark.parametrize("purpose", PURPOSES)
def test_seeds_outside_of_the_ranges_are_refused(purpose: object) -> None:
    assert callable(purpose)
    for run_seed in (-1, 1000):
        with pytest.raises(UsageError, match=rf"^seed={run_seed} is outside 0 \.\. 999$"):
            purpose(run_seed, 0)
    for episode in (-1, 500_000):
        with pytest.raises(UsageError, match=f"at most 500000 episodes; episode {episode} was asked for"):
            purpose(0, episode)
