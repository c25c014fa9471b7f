"""Where things lie at the start can be read, written down, and begun from again."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

import envs
from robot_orl.errors import UsageError

every_task = pytest.mark.parametrize("task", envs.names())


@cache
def env_of(task: str, which: int = 0) -> Any:
    return envs.make(task).unwrapped


def moved(env: Any, shift: float) -> dict[str, list[float]]:
    """The present start with what is handled shifted in every coordinate that it may be shifted in."""
    start = env.start_state()
    for name, axes in env.movable.items():
        for axis in axes:
            start[name][axis] += shift
    return start


@pytest.mark.e2e
@every_task
def test_an_episode_begun_from_a_written_start_goes_as_the_one_it_is_of(task: str) -> None:
    original, other = env_of(task), env_of(task, 1)
    seen, _ = original.reset(seed=5)
    start = json.loads(json.dumps(original.start_state()))
    again, _ = other.reset(seed=99, options={"initial_state_dict": start})
    for _ in range(3):
        for key, values in seen.items():
            np.testing.assert_array_equal(values, again[key])
        still = np.zeros(original.action_space.shape)
        seen, again = original.step(still)[0], other.step(still)[0]


@pytest.mark.e2e
@every_task
def test_a_start_is_forgotten_by_the_next_reset(task: str) -> None:
    used, fresh = env_of(task), env_of(task, 1)
    used.reset(seed=1)
    used.reset(seed=1, options={"initial_state_dict": moved(used, 0.01)})
    used.reset(seed=5)
    fresh.reset(seed=5)
    np.testing.assert_array_equal(used.get_sim_state(), fresh.get_sim_state())


@pytest.mark.parametrize(
    ("task", "signal"),
    [
        ("adroit_door", "handle_pos_x"),
        ("adroit_hammer", "nail_pos_z"),
        ("adroit_relocate", "palm_minus_object_y"),
        ("fetch_push", "object_pos_x"),
    ],
)
def test_what_is_handled_lies_where_a_shifted_start_says(task: str, signal: str) -> None:
    env = env_of(task)
    before, _ = env.reset(seed=1)
    after, _ = env.reset(seed=1, options={"initial_state_dict": moved(env, 0.01)})
    column = [s.name for s in env.task_spec.observation["observation"]].index(signal)
    sign = -1.0 if "minus" in signal else 1.0
    difference = after["observation"][column] - before["observation"][column]
    assert difference == pytest.approx(sign * 0.01, abs=1e-6)


def test_a_start_that_is_none_is_one_line() -> None:
    env = env_of("fetch_push")
    for start, said in [
        ([1.0], "initial_state_dict is a list, not a dict"),
        ({"goal": [1.0, 0.5, 0.4]}, "initial_state_dict has no 'object_pos'"),
        ({"goal": [1.0, 0.5], "object_pos": [1.3, 0.7]}, r"'goal' is not \(3,\) finite numbers"),
        ({"goal": ["a"], "object_pos": [1.3, 0.7]}, r"'goal' is not \(3,\) finite numbers"),
    ]:
        with pytest.raises(UsageError, match=f"^fetch_push: {said}$"):
            env.reset(seed=0, options={"initial_state_dict": start})
