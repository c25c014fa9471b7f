"""What stops the robot: each veto, what it says, and that nothing but a stop follows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from supervised import ARM, ARM_SPEC, running, still, tool_at

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.states import Event, State
from robot_orl.deploy.supervisor.supervisor import Supervisor
from robot_orl.errors import RunError
from robot_orl.types import Safety, Telemetry

MS = 1_000_000
FLAT = np.zeros(3, np.float32)
ZERO = np.zeros(3, np.float32)


def refused(supervisor: Supervisor, bit: Safety, line: str) -> None:
    assert supervisor.safety & bit
    assert supervisor.counts[(bit.name or "").lower()] == 1
    assert supervisor.faults == [line]
    assert supervisor.state is State.STOPPING
    assert supervisor.observed(FLAT, 0, 0, still(np.zeros(3))) is None
    assert supervisor.action(ZERO, 0, 0) is None
    assert supervisor.targets(np.zeros(3)) is None
    assert supervisor.counts[(bit.name or "").lower()] == 1


def test_an_observation_is_stale_when_older_than_its_limit_and_not_before() -> None:
    supervisor = running(Limits(max_observation_age_s=0.1))
    assert supervisor.observed(FLAT, 1000, 100 * MS + 1000, still(np.zeros(3))) is not None
    assert supervisor.observed(FLAT, 1000, 100 * MS + 1001, still(np.zeros(3))) is None
    refused(supervisor, Safety.STALE, "stale: the newest observation is 100.0 ms old, limit 100.0 ms")


def test_a_late_answer_of_the_policy_is_not_sent() -> None:
    supervisor = running(Limits(max_policy_age_s=0.05))
    assert supervisor.action(ZERO, 0, 50 * MS) is not None
    assert supervisor.action(ZERO, 0, 50 * MS + 1) is None
    refused(
        supervisor, Safety.STALE_POLICY, "stale_policy: the policy's answer is 50.0 ms old, limit 50.0 ms"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_no_number_goes_in_or_out(value: float) -> None:
    bad = np.array([0, value, 0])
    supervisor = running(Limits())
    assert supervisor.observed(bad, 0, 0, still(np.zeros(3))) is None
    refused(supervisor, Safety.BAD_OBSERVATION, "bad_observation: the observation is not finite: joint/elbow")
    supervisor = running(Limits())
    assert supervisor.action(bad, 0, 0) is None
    refused(supervisor, Safety.NON_FINITE, "non_finite: the policy proposed a non-finite action for: elbow")
    supervisor = running(Limits())
    assert supervisor.targets(bad) is None
    refused(supervisor, Safety.NON_FINITE, "non_finite: the targets that the action asks for are not finite")


def told(limits: Limits, found: Telemetry, at_ms: int = 0) -> Supervisor:
    supervisor = running(limits)
    supervisor.observed(FLAT, at_ms * MS, at_ms * MS, found)
    return supervisor


def with_(**reported: Any) -> Telemetry:
    return replace(still(np.zeros(3)), **{name: np.array(values, float) for name, values in reported.items()})


@pytest.mark.parametrize(
    ("limits", "found", "bit", "line"),
    [
        (
            Limits(),
            with_(velocities=[0, 0, np.nan]),
            Safety.BAD_OBSERVATION,
            "the velocity of gripper is not finite",
        ),
        (
            Limits(low_rad=[-1.0], joint_margin_rad=0.1),
            with_(positions=[0, -1.2, 0]),
            Safety.OUT_OF_BOUNDS,
            "elbow is at -1.2 rad, outside of -1.1 .. inf",
        ),
        (
            Limits(max_speed_rad_s=[1.0], overspeed=1.5),
            with_(velocities=[-1.6, 0, 0]),
            Safety.OUT_OF_BOUNDS,
            "shoulder moves at 1.6 rad/s, limit 1.5",
        ),
        (
            Limits(floor_m=0.05, workspace_margin_m=0.02),
            with_(tool_position=[0, 0, 0.02]),
            Safety.OUT_OF_BOUNDS,
            "the tool is 0.03 m outside of its workspace",
        ),
        (
            Limits(max_temperature_c=[60.0, 70.0, 60.0]),
            with_(temperatures=[59, 71, 60]),
            Safety.OVERLOAD,
            "elbow is at 71 degrees C, limit 70",
        ),
    ],
)
def test_each_measurement_beyond_its_limit_stops_the_robot_and_is_named(
    limits: Limits, found: Telemetry, bit: Safety, line: str
) -> None:
    refused(told(limits, found), bit, f"{(bit.name or '').lower()}: {line}")


@pytest.mark.parametrize(
    ("limits", "found", "bit", "line"),
    [
        (
            Limits(max_tracking_error_rad=[0.2], patience_s=0.1),
            with_(targets=[0, 0.3, 0]),
            Safety.TRACKING,
            "elbow is 0.3 rad from its target, limit 0.2: it is held back or does not follow",
        ),
        (
            Limits(max_current_a=[1.0], patience_s=0.1),
            with_(currents=[0, 0, -1.5]),
            Safety.OVERLOAD,
            "gripper draws 1.5 A, limit 1",
        ),
    ],
)
def test_what_is_over_its_limit_for_a_moment_is_borne_and_for_longer_is_not(
    limits: Limits, found: Telemetry, bit: Safety, line: str
) -> None:
    supervisor, fine = running(limits), still(np.zeros(3))
    for ms, seen in [(0, found), (90, found), (100, fine), (110, found), (210, found)]:
        assert supervisor.observed(FLAT, ms * MS, ms * MS, seen) is not None
    assert supervisor.observed(FLAT, 211 * MS, 211 * MS, found) is None
    refused(supervisor, bit, f"{(bit.name or '').lower()}: {line}")


def test_what_a_robot_does_not_report_is_not_checked() -> None:
    limits = Limits(max_current_a=[0.1], max_temperature_c=[1.0], floor_m=1.0, max_tracking_error_rad=[0.0])
    assert told(limits, Telemetry(positions=np.ones(3)), at_ms=500).faults == []


def test_a_robot_with_joints_that_stops_reporting_them_is_stopped() -> None:
    supervisor = running(Limits())
    assert supervisor.observed(FLAT, 0, 0, None) is None
    refused(supervisor, Safety.BAD_OBSERVATION, "bad_observation: the robot does not report its joints")


def test_an_arm_that_begins_beyond_its_margin_never_gets_to_run() -> None:
    supervisor = Supervisor(Limits(high_rad=[0.5], joint_margin_rad=0.1), ARM_SPEC, ARM, tool_at=tool_at)
    for event in (Event.CONNECTED, Event.HOME, Event.HOMED):
        supervisor.handle(event)
    assert supervisor.observed(FLAT, 0, 0, still([0.7, 0, 0])) is None
    with pytest.raises(RunError, match="the robot is stopping: no run from here"):
        supervisor.handle(Event.RUN)


@pytest.mark.parametrize("state", [State.DISCONNECTED, State.IDLE, State.HOMING, State.READY])
def test_nothing_is_sent_before_the_robot_runs(state: State) -> None:
    supervisor = Supervisor(Limits(), ARM_SPEC, ARM, tool_at=tool_at)
    for event in (Event.CONNECTED, Event.HOME, Event.HOMED):
        if supervisor.state is not state:
            supervisor.handle(event)
    assert supervisor.state is state
    assert supervisor.action(ZERO, 0, 0) is None
    assert supervisor.targets(np.zeros(3)) is None


def test_an_episode_begins_where_the_arm_stands_and_without_a_last_action() -> None:
    supervisor = running(Limits(max_action_delta=0.1, max_speed_rad_s=[1.0]), [0.5, 0.5, 0.5])
    ask: Callable[[float], Any] = lambda value: supervisor.action(np.full(3, value, np.float32), 0, 0)  # noqa: E731
    assert ask(1.0).tolist() == [1.0] * 3
    assert ask(-1.0).tolist() == pytest.approx([0.9] * 3)
    for event in (Event.HOME, Event.HOMED):
        supervisor.handle(event)
    supervisor.observed(FLAT, 0, 0, still([-0.5, -0.5, -0.5]))
    supervisor.handle(Event.RUN)
    assert ask(-1.0).tolist() == [-1.0] * 3
    targets = supervisor.targets(np.zeros(3))
    assert targets is not None
    assert targets.tolist() == pytest.approx([-0.49] * 3)  # 1 rad/s at 100 Hz


def test_targets_that_the_robot_moved_by_itself_are_where_the_next_ones_start_from() -> None:
    # 1 rad/s at 100 Hz: 0.01 rad a tick, away from 0.4, where a port that came back let the arm hold
    supervisor = running(Limits(max_speed_rad_s=[1.0]))
    for x in (0.0, 0.01):
        supervisor.observed(FLAT, 0, 0, still([x, x, x]))
        assert np.allclose(supervisor.targets(np.full(3, 1.0)), x + 0.01)  # type: ignore[arg-type]
    supervisor.observed(FLAT, 0, 0, still([0.02, 0.4, 0.02]))
    assert np.allclose(supervisor.targets(np.full(3, 1.0)), [0.03, 0.41, 0.03])  # type: ignore[arg-type]


def test_targets_that_are_off_by_rounding_alone_keep_the_motion_of_the_tick_before() -> None:
    # 10 rad/s^2 at 100 Hz: the change grows by 0.001 rad a tick as long as nothing begins anew
    supervisor, x = running(Limits(max_acceleration_rad_s2=[10.0])), np.zeros(3)
    for change in (0.001, 0.002, 0.003):
        supervisor.observed(FLAT, 0, 0, still(x + 1e-7))
        now = supervisor.targets(np.full(3, 1.0))
        assert now is not None
        assert np.allclose(now - x, change)
        x = now


def test_a_robot_without_joints_gets_the_checks_that_apply() -> None:
    supervisor = Supervisor(Limits(max_action_delta=0.5), ARM_SPEC)
    for event in (Event.CONNECTED, Event.HOME, Event.HOMED):
        supervisor.handle(event)
    assert supervisor.observed(FLAT, 0, 0) is not None
    supervisor.handle(Event.RUN)
    for wish, sent in [(9.0, 1.0), (-9.0, 0.5)]:
        action = supervisor.action(np.full(3, wish, np.float32), 0, 0)
        assert action is not None
        assert action.tolist() == [sent] * 3
    assert {name: n for name, n in supervisor.counts.items() if n} == {"clipped": 1, "rate_limited": 1}
