import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs  # noqa: F401 (registers the tasks)
from data_collection.operators.scripted import ScriptedConfig, ScriptedOperator
from data_collection.scripts import SCRIPTS
from robot_orl.errors import UsageError
from robot_orl.tasks import spec_of
from robot_orl.types import Spec

BARS = {"fetch_reach": 1.0, "fetch_push": 0.95, "fetch_slide": 0.7, "fetch_pick_and_place": 1.0}


def operator_of(task: str, low: float, high: float) -> ScriptedOperator:
    spec = Spec(task, {}, (), control_hz=25.0, horizon=50)
    return ScriptedOperator(ScriptedConfig(skill_low=low, skill_high=high), spec)


def success_rate(task: str, low: float, high: float, seeds: range) -> float:
    """Share of episodes that succeed at their last step."""
    env = gymnasium.make(task)
    operator = ScriptedOperator(ScriptedConfig(skill_low=low, skill_high=high), spec_of(env))
    succeeded = []
    for seed in seeds:
        obs, _ = env.reset(seed=seed)
        operator.begin(np.random.default_rng(seed))
        truncated, info = False, {}
        while not truncated:
            obs, _, _, truncated, info = env.step(operator.action(obs))
        succeeded.append(bool(info["success"]))
    env.close()
    return float(np.mean(succeeded))


def some_observation(task: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    size = 10 if task == "fetch_reach" else 25
    goal = rng.uniform(-2.0, 2.0, 3).astype(np.float32)
    return {
        "observation": rng.uniform(-2.0, 2.0, size).astype(np.float32),
        "achieved_goal": goal,
        "desired_goal": goal,
    }


@pytest.mark.parametrize("task", BARS)
def test_full_skill_meets_its_bar(task: str) -> None:
    assert success_rate(task, 1.0, 1.0, range(1000, 1010)) >= BARS[task]


@pytest.mark.slow
@pytest.mark.parametrize("task", BARS)
@pytest.mark.parametrize("first_seed", [0, 1000])
def test_full_skill_meets_its_bar_on_fifty_seeds(task: str, first_seed: int) -> None:
    assert success_rate(task, 1.0, 1.0, range(first_seed, first_seed + 50)) >= BARS[task]


@pytest.mark.slow
def test_default_mix_succeeds_about_half_the_time_at_pick_and_place() -> None:
    assert 0.40 <= success_rate("fetch_pick_and_place", 0.0, 1.0, range(200)) <= 0.55


@pytest.mark.e2e
@pytest.mark.parametrize("task", BARS)
def test_success_falls_with_skill(task: str) -> None:
    seeds = range(2000, 2010)
    assert success_rate(task, 0.2, 0.2, seeds) < success_rate(task, 1.0, 1.0, seeds)


@pytest.mark.parametrize("task", BARS)
def test_same_rng_gives_the_same_actions(task: str) -> None:
    observations = [some_observation(task, np.random.default_rng(i)) for i in range(50)]
    runs = []
    for _ in range(2):
        operator = operator_of(task, 0.0, 1.0)
        operator.begin(np.random.default_rng(5))
        runs.append(np.stack([operator.action(obs) for obs in observations]))
    np.testing.assert_array_equal(runs[0], runs[1])
    operator.begin(np.random.default_rng(6))
    other = np.stack([operator.action(obs) for obs in observations])
    assert not np.array_equal(runs[0], other)


@given(task=st.sampled_from(sorted(BARS)), skill=st.floats(0.0, 1.0), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_actions_are_finite_and_in_range_at_every_skill(task: str, skill: float, seed: int) -> None:
    operator, rng = operator_of(task, skill, skill), np.random.default_rng(seed)
    operator.begin(rng)
    for _ in range(50):
        action = operator.action(some_observation(task, rng))
        assert action.shape == (4,)
        assert action.dtype == np.float32
        assert np.isfinite(action).all()
        assert np.abs(action).max() <= 1.0


def test_quality_is_the_skill_that_scaled_the_flaws() -> None:
    operator = operator_of("fetch_push", 0.0, 1.0)
    qualities = [operator.begin(np.random.default_rng(seed)) for seed in range(200)]
    assert min(qualities) < 0.05
    assert max(qualities) > 0.95
    assert np.mean(qualities) == pytest.approx(0.5, abs=0.06)
    for seed in range(20):
        quality = operator.begin(np.random.default_rng(seed))
        assert operator.flaws.tremor <= 0.9 * (1.0 - quality)


def test_a_narrow_mix_is_obeyed() -> None:
    operator = operator_of("fetch_push", 0.7, 0.8)
    qualities = [operator.begin(np.random.default_rng(seed)) for seed in range(50)]
    assert min(qualities) >= 0.7
    assert max(qualities) <= 0.8


def test_lowest_skill_above_highest_is_refused() -> None:
    with pytest.raises(UsageError, match=r"skill_low=0\.9 is above skill_high=0\.1"):
        ScriptedConfig(skill_low=0.9, skill_high=0.1)


def test_unknown_task_names_the_tasks_that_have_a_script() -> None:
    with pytest.raises(UsageError) as caught:
        operator_of("adroit_door", 0.0, 1.0)
    line = str(caught.value)
    assert "adroit_door" in line
    assert "\n" not in line
    assert all(task in line for task in SCRIPTS)
