"""What is left of an episode of which a part is left out."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_orl.data.trimming import start_seed, trimmed
from robot_orl.errors import UsageError
from robot_orl.types import Episode, EpisodeMeta, Safety

STEPS = 6
SUCCEEDED = np.array([False, False, True, True, False, True])
MS = 1_000_000


def column(name: str, rows: int, width: int) -> np.ndarray:
    """Every number is of one row and one array only."""
    return np.arange(rows * width, dtype=np.float32).reshape(rows, width) + 1000 * len(name)


EPISODE = Episode(
    obs={"grip": column("grip", STEPS + 1, 3), "object": column("object", STEPS + 1, 2)},
    action=column("action", STEPS, 2),
    action_policy=np.full((STEPS, 2), np.nan, np.float32),
    action_operator=column("operator", STEPS, 2),
    reward=SUCCEEDED.astype(np.float32) - 1,
    terminated=np.array([False] * 5 + [True]),
    truncated=np.zeros(STEPS, bool),
    t_ns=np.array([0, 40, 81, 120, 163, 200]) * MS,
    actor=np.array([1, 1, 3, 3, 1, 1], np.uint8),
    sim_state=column("sim", STEPS + 1, 4).astype(np.float64),
    meta=EpisodeMeta(seed=7, reset_options={"a": 1}, success=True, success_any=True, end_reason="terminated"),
    images={"front": np.arange((STEPS + 1) * 12, dtype=np.uint8).reshape(STEPS + 1, 2, 2, 3)},
    safety=np.arange(STEPS, dtype=np.uint16) * Safety.CLIPPED,
)


def test_every_array_is_cut_at_the_same_steps() -> None:
    part = trimmed(EPISODE, 1, 4, SUCCEEDED)
    assert len(part) == 3
    for name in ("action", "action_policy", "action_operator", "reward", "actor", "safety"):
        np.testing.assert_array_equal(getattr(part, name), getattr(EPISODE, name)[1:4], err_msg=name)
    for name in ("obs", "images"):
        for key, rows in getattr(EPISODE, name).items():
            np.testing.assert_array_equal(getattr(part, name)[key], rows[1:5], err_msg=key)
    np.testing.assert_array_equal(part.sim_state, EPISODE.sim_state[1:5])  # type: ignore[index]
    assert {field.name for field in fields(part)} == {
        *("obs", "action", "action_policy", "action_operator", "reward", "terminated", "truncated", "t_ns"),
        *("actor", "sim_state", "meta", "images", "safety"),
    }, "a new array has to be cut, too"


def test_times_begin_at_0_again_and_unknown_ones_stay_unknown() -> None:
    assert trimmed(EPISODE, 2, 5, SUCCEEDED).t_ns.tolist() == [0, 39 * MS, 82 * MS]
    unknown = replace(EPISODE, t_ns=np.full(STEPS, -1))
    assert trimmed(unknown, 2, 5, SUCCEEDED).t_ns.tolist() == [-1, -1, -1]
    assert EPISODE.t_ns[2] == 81 * MS, "the whole stays as it is"


def test_an_episode_that_ends_earlier_is_truncated_there_and_only_there() -> None:
    part = trimmed(EPISODE, 0, 4, SUCCEEDED)
    assert part.truncated.tolist() == [False, False, False, True]
    assert part.meta.end_reason == "operator"
    whole_end = trimmed(EPISODE, 2, STEPS, SUCCEEDED)
    assert not whole_end.truncated.any(), "it terminated"
    assert whole_end.meta.end_reason == "terminated"
    terminated = replace(EPISODE, terminated=np.array([False, False, False, True, False, False]))
    assert not trimmed(terminated, 0, 4, SUCCEEDED).truncated.any()


@pytest.mark.parametrize(
    ("start", "stop", "success", "success_any"),
    [(0, 2, False, False), (1, 4, True, True), (3, 5, False, True)],
)
def test_success_is_as_of_the_last_step_that_is_kept(
    start: int, stop: int, success: bool, success_any: bool
) -> None:
    meta = trimmed(EPISODE, start, stop, SUCCEEDED).meta
    assert (meta.success, meta.success_any) == (success, success_any)


def test_only_a_start_that_is_the_seeds_keeps_the_seed() -> None:
    early = trimmed(EPISODE, 0, 3, SUCCEEDED).meta
    assert (early.seed, early.reset_options, early.origin) == (7, {"a": 1}, None)
    late = trimmed(EPISODE, 1, 3, SUCCEEDED)
    assert (late.meta.seed, late.meta.reset_options) == (None, {})
    assert late.meta.origin == "seed 7, steps 1 to 3 of 6"
    twice = trimmed(late, 1, 2, SUCCEEDED[1:3]).meta
    assert twice.origin == "seed 7, steps 1 to 3 of 6, steps 1 to 2 of 2"
    assert [start_seed(meta) for meta in (EPISODE.meta, early, late.meta, twice)] == [7, 7, 7, 7]


@pytest.mark.parametrize("origin", [None, "door-v0_demos.pickle#3", "seed 7", "seed of 7, steps 1 to 3 of 6"])
def test_what_is_no_part_of_a_start_has_none(origin: str | None) -> None:
    assert start_seed(EpisodeMeta(origin=origin)) is None


@given(st.data())
def test_trimming_twice_is_trimming_once(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, STEPS - 1))
    stop = data.draw(st.integers(start + 1, STEPS))
    first = data.draw(st.integers(0, stop - start - 1))
    last = data.draw(st.integers(first + 1, stop - start))
    twice = trimmed(trimmed(EPISODE, start, stop, SUCCEEDED), first, last, SUCCEEDED[start:stop])
    once = trimmed(EPISODE, start + first, start + last, SUCCEEDED)
    for name in ("action", "reward", "t_ns", "terminated", "truncated", "sim_state"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(once, name), err_msg=name)
    assert replace(twice.meta, origin=None) == replace(once.meta, origin=None)


def test_all_of_it_is_the_episode_itself() -> None:
    assert trimmed(EPISODE, 0, STEPS, SUCCEEDED) is EPISODE


@pytest.mark.parametrize(("start", "stop"), [(2, 2), (3, 2), (-1, 3), (0, STEPS + 1), (STEPS, STEPS + 1)])
def test_no_other_steps_are_taken(start: int, stop: int) -> None:
    with pytest.raises(UsageError, match=rf"steps {start} to {stop} are no part of an episode of 6 steps"):
        trimmed(EPISODE, start, stop, SUCCEEDED)
