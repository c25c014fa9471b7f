import numpy as np
import pytest

from data_collection.operators.random import RandomConfig, RandomOperator
from robot_orl.types import Signal, Spec

SPEC = Spec("any", {}, tuple(Signal(f"a{i}") for i in range(3)), control_hz=20.0, horizon=10)


def actions_of(correlation: float, seed: int, steps: int = 4000) -> np.ndarray:
    operator = RandomOperator(RandomConfig(correlation=correlation), SPEC)
    assert operator.begin(np.random.default_rng(seed)) == 0.0
    return np.stack([operator.action({}) for _ in range(steps)])


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_actions_are_uniform_whatever_the_correlation(correlation: float) -> None:
    actions = actions_of(correlation, seed=1)
    assert actions.shape == (4000, 3)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1.0
    # A uniform variable on [-1, 1] has mean 0, variance 1/3 and a quarter of its mass above 0.5.
    assert actions.mean() == pytest.approx(0.0, abs=0.05)
    assert actions.var() == pytest.approx(1 / 3, abs=0.03)
    assert (actions > 0.5).mean() == pytest.approx(0.25, abs=0.03)


def test_correlation_smooths_over_time() -> None:
    def neighbours(actions: np.ndarray) -> float:
        return float((actions[1:] * actions[:-1]).mean() / actions.var())

    assert neighbours(actions_of(0.0, seed=2)) == pytest.approx(0.0, abs=0.05)
    # Uniform marginals of a normal correlation r correlate by 6/pi * asin(r/2): 0.786 at r = 0.8.
    assert neighbours(actions_of(0.8, seed=2)) == pytest.approx(0.786, abs=0.05)


def test_same_rng_gives_the_same_actions() -> None:
    np.testing.assert_array_equal(actions_of(0.5, 3, steps=20), actions_of(0.5, 3, steps=20))
    assert not np.array_equal(actions_of(0.5, 3, steps=20), actions_of(0.5, 4, steps=20))
