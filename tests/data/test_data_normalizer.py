"""Features and their scale, by hand."""

import numpy as np
from learning_toys import goal_spec, point_spec

from robot_orl.data.sampling.normalizer import Normalizer, features_of


def test_mean_and_standard_deviation_of_each_feature() -> None:
    fitted = Normalizer.fit(np.array([[1, 10, 5], [3, 10, 5], [5, 40, 5], [7, 40, 5]], np.float32))
    np.testing.assert_array_equal(fitted.mean, np.array([4, 25, 5], np.float32))
    # variances (9 + 1 + 1 + 9) / 4 = 5 and 15^2; a constant keeps the floor
    np.testing.assert_allclose(fitted.std, [np.sqrt(5), 15, 0.01], rtol=1e-7)
    assert fitted.mean.dtype == fitted.std.dtype == np.float32


def test_a_large_offset_does_not_drown_a_small_spread() -> None:
    values = np.float32(1000) + np.float32(0.125) * (np.arange(10_000) % 2).astype(np.float32)
    fitted = Normalizer.fit(values[:, None])
    assert abs(fitted.std[0] - 0.0625) < 1e-6


def test_goal_minus_achieved_is_appended_for_goal_tasks_only() -> None:
    flat = np.array([9, 1, 2, 10, 30], np.float32)  # speed, goal (1, 2), thing (10, 30)
    np.testing.assert_array_equal(features_of(flat, goal_spec()), [9, 1, 2, 10, 30, -9, -28])
    np.testing.assert_array_equal(features_of(flat[None, None], goal_spec())[0, 0, 5:], [-9, -28])
    np.testing.assert_array_equal(features_of(flat[:1], point_spec()), [9])
