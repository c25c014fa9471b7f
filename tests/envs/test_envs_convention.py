"""The one convention that every task keeps, proven for each of them."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Spec

HORIZON = {"adroit_pen": 100} | dict.fromkeys(["adroit_door", "adroit_hammer", "adroit_relocate"], 200)
HORIZON |= {"arm_reach": 100, "arm_push": 150, "arm_lift": 150}
CONTROL_HZ = {"fetch": 25.0, "adroit": 100.0, "arm": 50.0}
FETCH = [name for name in envs.names() if name.startswith("fetch")]
ADROIT = [name for name in envs.names() if name.startswith("adroit")]
every_task = pytest.mark.parametrize("task", envs.names())


@cache
def env_of(task: str, which: int = 0) -> Any:
    """One of several instances of a task; tests share them, since a reset must forget the past."""
    return envs.make(task).unwrapped


def actions(env: Any, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (count, env.action_space.shape[0]))


def assert_same_obs(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], strict=True)


def assert_same_path(a: Any, b: Any, moves: np.ndarray) -> None:
    for move in moves:
        step_a, step_b = a.step(move), b.step(move)
        assert_same_obs(step_a[0], step_b[0])
        assert step_a[1:] == step_b[1:]
        np.testing.assert_array_equal(a.get_sim_state(), b.get_sim_state())


@every_task
@pytest.mark.parametrize("steps", [0, 13])
def test_a_restored_state_continues_bitwise_in_another_instance(task: str, steps: int) -> None:
    original, other = env_of(task), env_of(task, 1)
    original.reset(seed=3)
    other.reset(seed=44)
    moves = actions(original, steps + 25)
    obs = original.reset(seed=3)[0]
    for move in moves[:steps]:
        obs = original.step(move)[0]
    for move in actions(other, 7, seed=1):
        other.step(move)
    assert_same_obs(other.set_sim_state(original.get_sim_state()), obs)
    np.testing.assert_array_equal(other.get_sim_state(), original.get_sim_state())
    assert_same_path(original, other, moves[steps:])


@every_task
def test_a_fresh_instance_can_be_restored_without_a_reset(task: str) -> None:
    original, fresh = env_of(task), envs.make(task).unwrapped
    original.reset(seed=8)
    fresh.set_sim_state(original.get_sim_state())
    assert_same_path(original, fresh, actions(original, 1))


@every_task
def test_reset_with_a_seed_depends_on_nothing_that_happened_before(task: str) -> None:
    used, fresh = env_of(task), envs.make(task).unwrapped
    used.reset(seed=1)
    for move in actions(used, 9):
        used.step(move)
    if task in ADROIT:
        used.reset(seed=2, options={"initial_state_dict": shifted_start(used)})
    assert_same_obs(used.reset(seed=5)[0], fresh.reset(seed=5)[0])
    np.testing.assert_array_equal(used.get_sim_state(), fresh.get_sim_state())
    assert_same_path(used, fresh, actions(used, 3))


def shifted_start(env: Any) -> dict[str, np.ndarray]:
    """A start in which everything that may be moved lies elsewhere."""
    start = env._sim.get_env_state()
    return {name: value + 0.01 if "pos" in name else value for name, value in start.items()}


@every_task
def test_different_seeds_begin_differently(task: str) -> None:
    env = env_of(task)
    env.reset(seed=1)
    first = env.get_sim_state()
    env.reset(seed=2)
    assert (env.get_sim_state() != first).any()


@every_task
def test_observations_are_float32_copies_that_fit_the_spaces_and_the_spec(task: str) -> None:
    env = env_of(task)
    seen = [env.reset(seed=0)[0]]
    seen += [env.step(move)[0] for move in actions(env, 3)]
    seen.append(env.set_sim_state(env.get_sim_state()))
    kept = [{key: value.copy() for key, value in obs.items()} for obs in seen]
    env.step(actions(env, 1)[0])
    for obs, copy in zip(seen, kept, strict=True):
        assert_same_obs(obs, copy)
        assert env.observation_space.contains(obs)
        assert {key: len(s) for key, s in env.task_spec.observation.items()} == {
            key: value.size for key, value in obs.items()
        }
    before = env.get_sim_state()
    for obs in seen:
        for value in obs.values():
            value += 1.0
    np.testing.assert_array_equal(env.get_sim_state(), before)


@every_task
def test_the_episode_is_truncated_at_the_horizon_and_never_terminated(task: str) -> None:
    env = env_of(task)
    horizon = HORIZON.get(task, 50)
    assert env.task_spec.horizon == horizon
    env.reset(seed=0)
    still = np.zeros(env.action_space.shape)
    for count in range(1, horizon + 1):
        _, reward, terminated, truncated, info = env.step(still)
        assert (terminated, truncated) == (False, count == horizon)
        assert type(reward) is float
        assert reward == float(info["success"]) - 1.0
        if count == horizon - 1:
            state = env.get_sim_state()
    env.reset(seed=1)
    env.set_sim_state(state)
    assert env.step(still)[3], "the step count is part of the simulator state"


@pytest.mark.parametrize("task", FETCH + ADROIT)
def test_observation_and_success_are_those_of_gymnasium_robotics(task: str) -> None:
    env = env_of(task)
    sim = type(env._sim)(reward_type="sparse")
    flat: Callable[[Any], Any] = lambda raw: env.task_spec.flatten(  # noqa: E731
        raw if isinstance(raw, dict) else {"observation": raw}
    )
    ours, theirs = env.reset(seed=6)[0], sim.reset(seed=6)[0]
    np.testing.assert_array_equal(env.task_spec.flatten(ours), flat(theirs))
    for move in actions(env, 15).astype(np.float32):
        ours, _, _, _, info = env.step(move)
        theirs, _, _, _, their_info = sim.step(np.clip(move, -1.0, 1.0))
        np.testing.assert_array_equal(env.task_spec.flatten(ours), flat(theirs))
        assert info["success"] == bool(their_info["is_success" if task in FETCH else "success"])


@every_task
def test_the_spec_names_every_signal_once_and_survives_json(task: str) -> None:
    spec = env_of(task).task_spec
    names = [signal.name for part in spec.observation.values() for signal in part]
    assert len(set(names)) == len(names) == spec.observation_size
    assert len({signal.name for signal in spec.action}) == spec.action_size
    assert all((signal.low, signal.high) == (-1.0, 1.0) for signal in spec.action)
    assert spec.control_hz == CONTROL_HZ[task.split("_")[0]]
    assert (spec.task, spec.achieved_goal is None) == (task, task in ADROIT)
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@every_task
def test_actions_beyond_the_range_are_clipped(task: str) -> None:
    a, b = env_of(task), env_of(task, 1)
    a.reset(seed=0)
    b.reset(seed=0)
    sign = np.sign(actions(a, 1)[0])
    assert a.action_space == gymnasium.spaces.Box(-1.0, 1.0, sign.shape, np.float32)
    assert_same_obs(a.step(5.0 * sign)[0], b.step(sign)[0])


@every_task
@pytest.mark.parametrize(
    "spoil", [lambda a: a[:-1], lambda a: a[None], lambda a: a * np.nan, lambda a: a / 0]
)
def test_a_bad_action_is_one_line_and_changes_nothing(task: str, spoil: Callable[[Any], Any]) -> None:
    env = env_of(task)
    env.reset(seed=0)
    before = env.get_sim_state()
    with (
        pytest.raises(UsageError, match=rf"^{task}: action .*(shape|not finite).*$"),
        np.errstate(all="ignore"),
    ):
        env.step(spoil(np.ones(env.action_space.shape)))
    np.testing.assert_array_equal(env.get_sim_state(), before)


@every_task
def test_a_state_of_wrong_size_or_with_nan_is_refused_in_one_line(task: str) -> None:
    env = env_of(task)
    env.reset(seed=0)
    state = env.get_sim_state()
    assert (state.dtype, state.ndim) == (np.float64, 1)
    for wrong in (state[:-1], np.append(state, 0.0), state[None], state * np.nan):
        with pytest.raises(DataError, match=rf"^{task}: simulator state .*$"):
            env.set_sim_state(wrong)
    np.testing.assert_array_equal(env.get_sim_state(), state)


@every_task
def test_stepping_before_the_first_reset_is_refused(task: str) -> None:
    env = envs.make(task)
    with pytest.raises(UsageError, match="call reset"):
        env.step(np.zeros(env.action_space.shape))
    with pytest.raises(UsageError, match="call reset"):
        env.unwrapped.get_sim_state()
