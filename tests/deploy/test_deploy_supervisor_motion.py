"""What may be sent: actions and joint targets, worked out by hand and under random wishes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supervised import drive, running, tool_at

from robot_orl.deploy.supervisor.actions import ActionLimiter
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.motion import MotionLimiter, stoppable
from robot_orl.types import Safety, Signal

TICK_S = 0.1


def one_joint(limits: Limits, at: float = 0.0) -> MotionLimiter:
    motion = MotionLimiter(limits, 1, TICK_S)
    motion.begin(np.array([at]))
    return motion


def follow(motion: MotionLimiter, wish: float, ticks: int) -> tuple[list[float], list[Safety]]:
    found = [motion(np.array([wish])) for _ in range(ticks)]
    return [float(targets[0]) for targets, _ in found], [Safety(bits) for _, bits in found]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_output_ever_leaves_the_limits_and_after_a_veto_nothing_is_sent(seed: int) -> None:
    assert drive(np.random.default_rng(seed), ticks=100) == 100


@pytest.mark.slow
def test_a_million_random_ticks_leave_no_limit() -> None:
    episodes = np.random.default_rng(0).spawn(2000)
    assert sum(drive(rng, ticks=500) for rng in episodes) == 1_000_000


def test_speed_and_acceleration_as_worked_out_by_hand() -> None:
    motion = one_joint(Limits(max_speed_rad_s=[1.0], max_acceleration_rad_s2=[2.0]))
    # at most 0.1 a tick, and that changes by at most 0.02 a tick
    targets, bits = follow(motion, 1.0, 7)
    assert targets == pytest.approx([0.02, 0.06, 0.12, 0.20, 0.30, 0.40, 0.50])
    assert bits[0] == Safety.ACCELERATION
    assert bits[6] == Safety.ACCELERATION | Safety.SPEED
    targets, _ = follow(motion, targets[-1], 6)  # stay: it slows down as slowly
    assert targets[:5] == pytest.approx([0.58, 0.64, 0.68, 0.70, 0.70])


def test_the_end_of_the_range_is_approached_so_that_one_can_stop_there() -> None:
    motion = one_joint(Limits(high_rad=[0.1], max_acceleration_rad_s2=[2.0]))
    targets, bits = follow(motion, 5.0, 6)
    # changes 0.02, 0.04; with 0.04 left 0.03 leaves 0.01 for the next tick; then 0.01 and 0
    assert targets == pytest.approx([0.02, 0.06, 0.09, 0.10, 0.10, 0.10])
    assert all(found & Safety.POSITION for found in bits)
    assert follow(motion, 0.1, 1)[1] == [Safety(0)]


def test_how_fast_one_may_be_with_some_room_left() -> None:
    assert stoppable(0.06, 0.02) == pytest.approx(0.04)  # then 0.02, then 0
    assert stoppable(0.05, 0.02) == pytest.approx(0.035)  # then 0.015, then 0
    assert stoppable(0.01, 0.02) == pytest.approx(0.01)
    assert (stoppable(0.3, np.inf), stoppable(np.inf, 0.02), stoppable(-0.1, 0.02)) == (0.3, np.inf, 0.0)


@given(st.floats(1e-9, 10), st.floats(1e-6, 1))
def test_what_is_stoppable_comes_to_rest_just_within_the_room(room: float, slower: float) -> None:
    change, gone, ticks = stoppable(room, slower), 0.0, 0
    while change > 0 and ticks < 10_000:
        gone, change, ticks = gone + change, change - slower, ticks + 1
    assert ticks == 10_000 or gone == pytest.approx(room, rel=1e-6)


def test_jerk_bounds_how_speeding_up_grows_and_never_delays_slowing_down() -> None:
    motion = one_joint(Limits(max_jerk_rad_s3=[10.0], high_rad=[0.2], max_acceleration_rad_s2=[100.0]))
    # 0.01 a tick: changes of 0.01, then 0.03 (it grew by 0.02), then 0.06; 0.1 in all, and 0.1 are left
    targets, bits = follow(motion, 9.0, 4)
    assert targets == pytest.approx([0.01, 0.04, 0.10, 0.20])
    assert all(found & Safety.JERK for found in bits[:3])
    assert follow(motion, 9.0, 1)[0] == pytest.approx([0.2])  # it stands at once


@pytest.mark.parametrize("jerk", [[], [100.0], [3000.0]])
@pytest.mark.parametrize("hz", [50, 500])
def test_a_target_that_jumps_is_reached_without_running_over_it_and_kept(hz: int, jerk: list[float]) -> None:
    limits = Limits(max_speed_rad_s=[3.0], max_acceleration_rad_s2=[20.0], max_jerk_rad_s3=jerk)
    motion = MotionLimiter(limits, 1, 1 / hz)
    motion.begin(np.zeros(1))
    targets, _ = follow(motion, 1.0, hz)
    assert max(targets) <= 1 + 1e-12
    assert targets[-hz // 4 :] == [1.0] * -(-hz // 4)  # for the last quarter of a second


def test_small_steps_from_where_it_is_get_up_to_speed_at_the_full_acceleration() -> None:
    """As of an action law that moves the targets by so much a tick."""
    motion, x, changes = one_joint(Limits(max_acceleration_rad_s2=[1.0])), 0.0, []  # 0.01 a tick
    for _ in range(7):
        before, (targets, _) = x, motion(np.array([x + 0.05]))
        x = float(targets[0])
        changes.append(x - before)
    assert changes == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("jerk", [[], [50.0]])
@pytest.mark.parametrize("acceleration", [10.0, 40.0, 160.0])
def test_to_stand_still_where_it_is_never_moves_a_joint_back(acceleration: float, jerk: list[float]) -> None:
    """As of an action law that asks for more than the speed limit lets through, and then for nothing."""
    limits = Limits(max_speed_rad_s=[0.5], max_acceleration_rad_s2=[acceleration], max_jerk_rad_s3=jerk)
    motion, x, changes = MotionLimiter(limits, 1, 0.02), 0.0, []
    motion.begin(np.zeros(1))
    for step in (0.05,) * 8 + (0.0,) * 8:
        before, (targets, _) = x, motion(np.array([x + step]))
        x = float(targets[0])
        changes.append(x - before)
    assert min(changes) >= 0
    assert changes[-1] == 0


def test_a_target_within_all_limits_passes_as_it_is_and_unmarked() -> None:
    limits = Limits(low_rad=[-1.0], high_rad=[1.0], max_speed_rad_s=[1.0], max_jerk_rad_s3=[1e9])
    motion = one_joint(limits)
    for wish in (0.1, 0.05, -0.04, 1 / 3 - 0.3):
        assert motion(np.array([wish])) == (np.array([wish]), 0)


def test_a_far_first_target_is_approached_slowly_and_without_running_over_it() -> None:
    limits = Limits(max_start_distance_rad=0.06, start_speed_rad_s=0.5, max_acceleration_rad_s2=[2.0])
    targets, bits = follow(one_joint(limits), 0.3, 12)
    assert np.diff([0.0, *targets]).max() == pytest.approx(0.05)
    assert targets[-1] == pytest.approx(0.3)
    assert max(targets) <= 0.3 + 1e-12
    marks = [bool(found & Safety.START_RAMP) for found in bits]
    assert marks == sorted(marks, reverse=True)  # at first, and then no more
    assert (marks[5], marks[-1]) == (True, False)
    assert not follow(one_joint(limits), 0.04, 1)[1][0] & Safety.START_RAMP


def test_a_first_target_that_moves_on_is_caught_up_with_and_then_passes() -> None:
    limits = Limits(
        max_start_distance_rad=0.06,
        start_speed_rad_s=0.5,
        max_speed_rad_s=[2.0],
        max_acceleration_rad_s2=[2.0],
    )
    motion = one_joint(limits)
    wishes = [0.4 + 0.04 * tick for tick in range(60)]
    found = [motion(np.array([wish])) for wish in wishes]
    behind = [wish - float(targets[0]) for wish, (targets, _) in zip(wishes, found, strict=True)]
    assert min(behind) > -1e-12
    assert behind[-1] == 0
    assert found[0][1] & Safety.START_RAMP
    assert found[-1][1] == 0


def test_after_the_start_a_far_target_is_an_ordinary_one() -> None:
    motion = one_joint(Limits(max_start_distance_rad=0.05, start_speed_rad_s=0.5))
    assert follow(motion, 0.01, 1) == ([0.01], [Safety(0)])
    assert follow(motion, 2.0, 1) == ([2.0], [Safety(0)])


def test_the_tool_stays_in_its_box_and_joints_that_do_not_move_it_go_on() -> None:
    supervisor = running(Limits(workspace_low_m=[0, -1, -1], workspace_high_m=[1, 0.1, 1]))
    targets = supervisor.targets(np.array([0.5, 0.0, 0.7]))  # would be at y = 0.5 * sin 0.5 = 0.24
    assert targets is not None
    assert targets.tolist() == [0.0, 0.0, 0.7]
    assert supervisor.safety == Safety.WORKSPACE
    targets = supervisor.targets(np.array([0.1, 0.0, 0.7]))  # y = 0.5 * sin 0.1 = 0.0499
    assert targets is not None
    assert targets.tolist() == [0.1, 0.0, 0.7]
    assert supervisor.safety == Safety.WORKSPACE  # of this tick still; nothing was added
    assert supervisor.counts["workspace"] == 1


def test_a_tool_that_begins_outside_may_come_in_but_go_no_further_out() -> None:
    supervisor = running(Limits(floor_m=0.02, workspace_margin_m=0.1))  # the tool is at z = 0
    down = supervisor.targets(np.array([0.0, -0.1, 0.0]))
    up = supervisor.targets(np.array([0.0, 0.1, 0.0]))
    assert down is not None
    assert up is not None
    assert (down.tolist(), up.tolist()) == ([0.0, 0.0, 0.0], [0.0, 0.1, 0.0])
    assert tool_at(up)[2] == pytest.approx(0.1 * np.sin(0.1))


def test_a_joint_that_begins_outside_its_range_is_led_back() -> None:
    motion = one_joint(Limits(high_rad=[1.0], max_speed_rad_s=[0.5]), at=1.08)
    assert follow(motion, 2.0, 3)[0] == pytest.approx([1.03, 1.0, 1.0])


def action_limiter(delta: float, low: float = -1, high: float = 1) -> ActionLimiter:
    return ActionLimiter([Signal("push", low=low, high=high), Signal("grip", low=-1, high=1)], delta)


def test_each_kind_of_clamp_of_an_action_as_worked_out_by_hand() -> None:
    limiter = action_limiter(0.25, -0.5, 0.5)

    def taken(*action: float) -> tuple[list[float], int]:
        allowed, bits = limiter(np.array(action, np.float32))
        assert allowed.dtype == np.float32
        return allowed.tolist(), bits

    assert taken(3.0, -1.0) == ([0.5, -1.0], Safety.CLIPPED)  # first: only clipped
    assert taken(0.5, 1.0) == ([0.5, -0.75], Safety.RATE_LIMITED)
    assert taken(-9.0, -0.75) == ([0.25, -0.75], Safety.CLIPPED | Safety.RATE_LIMITED)
    limiter.begin()
    assert taken(-0.5, 1.0) == ([-0.5, 1.0], 0)


@given(st.floats(-2, 0), st.floats(0, 2), st.floats(-(2.0**99), 2.0**99, width=32))
def test_rounding_to_float32_never_leaves_the_range_of_a_signal(low: float, high: float, wish: float) -> None:
    allowed, _ = action_limiter(2.0, low, high)(np.array([wish, 0.0], np.float32))
    assert max(low, -1) <= float(allowed[0]) <= min(high, 1)
