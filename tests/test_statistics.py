import pytest

from robot_orl.statistics import wilson_interval


def test_wilson_interval_of_eight_in_ten_is_as_worked_out_by_hand() -> None:
    # centre (0.8 + 3.8416/20) / 1.38416 = 0.71674; half 1.96 * sqrt(0.016 + 3.8416/400) / 1.38416 = 0.22658
    assert wilson_interval(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)


def test_wilson_interval_of_all_and_none_touches_its_bound_and_mirrors() -> None:
    # one bound is exact; the other is z^2 / (n + z^2) = 3.8416 / 53.8416 from it
    low, high = wilson_interval(50, 50)
    assert high == 1.0
    assert low == pytest.approx(1 - 0.071350, abs=1e-6)
    assert wilson_interval(0, 50) == pytest.approx((0.0, 0.071350), abs=1e-6)


def test_wilson_interval_without_trials_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="3 successes out of 2"):
        wilson_interval(3, 2)
