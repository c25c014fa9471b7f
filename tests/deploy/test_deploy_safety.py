import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robot_orl.deploy.safety import ActionFilter, Limits, NonFiniteValue, StalenessGuard, StaleObservation
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Array, Signal, Spec

ACTIONS = st.lists(arrays(np.float32, 2, elements=st.floats(width=32)), min_size=1)


def spec_with(low: float, high: float) -> Spec:
    action = (Signal("push", low=low, high=high), Signal("grip", low=-1, high=1))
    return Spec("toy", {"joint": (Signal("a"), Signal("b"))}, action, 10.0, 5)


@given(ACTIONS, st.floats(0, 2), st.floats(-2, 0), st.floats(0, 2))
def test_no_output_ever_leaves_the_limits(
    actions: list[Array], delta: float, low: float, high: float
) -> None:
    spec = spec_with(low, high)
    guarded = ActionFilter(Limits(max_action_delta=delta), spec)
    bounds = np.array([[max(low, -1), -1], [min(high, 1), 1]], np.float32)
    previous = None
    for action in actions:
        try:
            allowed = guarded(action)
        except NonFiniteValue:
            assert not np.isfinite(action.astype(np.float32)).all()
            continue
        assert allowed.dtype == np.float32
        assert (allowed >= bounds[0]).all()
        assert (allowed <= bounds[1]).all()
        if previous is not None:
            assert (np.abs(allowed.astype(np.float64) - previous) <= delta + 1e-6).all()
        previous = allowed.astype(np.float64)


@given(arrays(np.float32, (4, 2), elements=st.floats(-1, 1, width=32)))
def test_actions_within_all_limits_pass_unchanged_and_uncounted(actions: Array) -> None:
    guarded = ActionFilter(Limits(), spec_with(-1, 1))
    assert all((guarded(action) == action).all() for action in actions)
    assert not any(guarded.counts.values())


def test_each_kind_of_intervention_is_done_and_counted_as_worked_out_by_hand() -> None:
    guarded = ActionFilter(Limits(max_action_delta=0.25), spec_with(-0.5, 0.5))
    assert guarded(np.array([3.0, -1.0])).tolist() == [0.5, -1.0]  # first: only clipped
    assert guarded(np.array([0.5, 1.0])).tolist() == [0.5, -0.75]
    assert guarded(np.array([-9.0, -0.75])).tolist() == [0.25, -0.75]
    assert guarded.counts == {"clipped": 2, "rate_limited": 2, "non_finite": 0}
    guarded.begin()
    assert guarded(np.array([-0.5, 1.0])).tolist() == [-0.5, 1.0]


def test_a_non_finite_action_is_a_fault_that_names_the_signal_and_leaves_no_trace() -> None:
    guarded = ActionFilter(Limits(max_action_delta=0.5), spec_with(-1, 1))
    guarded(np.zeros(2))
    with pytest.raises(NonFiniteValue, match=r"non-finite action for: grip$"):
        guarded(np.array([0.0, np.nan]))
    assert guarded.counts["non_finite"] == 1
    assert guarded(np.ones(2)).tolist() == [0.5, 0.5]


def test_an_observation_is_stale_when_older_than_its_limit_and_not_before() -> None:
    guard = StalenessGuard(max_age_s=0.1)
    guard.check(taken_ns=1000, now_ns=100_001_000)
    assert (guard.stale, guard.oldest_ns) == (0, 100_000_000)
    with pytest.raises(StaleObservation, match=r"100.0 ms old, limit 100.0 ms"):
        guard.check(taken_ns=1000, now_ns=100_001_001)
    assert guard.stale == 1


def test_a_non_finite_observation_is_a_fault_that_names_the_signal() -> None:
    guard = StalenessGuard(1.0)
    with pytest.raises(NonFiniteValue, match="joint/b"):
        guard.check_values(np.array([0.0, np.inf]), spec_with(-1, 1))


def test_limits_travel_as_json_and_refuse_nonsense() -> None:
    limits = Limits(max_action_delta=0.1, max_observation_age_s=0.3)
    assert Limits.from_dict(limits.to_dict()) == limits
    with pytest.raises(DataError, match="max_speed"):
        Limits.from_dict({"max_speed": 1})
    with pytest.raises(UsageError, match="max_action_delta=-1"):
        Limits(max_action_delta=-1)
