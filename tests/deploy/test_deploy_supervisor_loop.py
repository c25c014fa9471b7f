"""The supervisor in the loop: a robot with joints, what is recorded of it, and how it lies down."""

from dataclasses import replace

import numpy as np
import pytest
from deploy_toys import FakeClock, Kept, MakeBundle, ToyArm, ToyRobot, always

from robot_orl.deploy.loop import run
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Jointed, Limited, Parking
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.errors import UsageError
from robot_orl.types import Safety, Spec, Telemetry


@pytest.fixture
def arm(spec: Spec, clock: FakeClock) -> ToyArm:
    return ToyArm(spec, clock)


def test_a_robot_that_reports_joints_offers_all_that_is_optional(arm: ToyArm, robot: ToyRobot) -> None:
    assert isinstance(arm, Jointed)
    assert isinstance(arm, Limited)
    assert isinstance(arm, Parking)
    assert not isinstance(robot, Jointed | Limited | Parking)


def test_targets_are_checked_before_they_are_sent_and_what_was_executed_is_recorded(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    # 2 rad/s at 10 Hz: 0.2 rad of the 0.5 that the action asks for; joint b ends at its range, 0.3
    arm.limits = Limits(max_speed_rad_s=[2.0], high_rad=[9.0, 0.3])
    episodes = Kept()
    report = run(
        arm, always(make_bundle, spec, 1.0, 1.0), duration_s=0.4, clock=clock, writer=episodes
    ).to_dict()
    assert "send" not in arm.calls
    assert np.allclose(episodes[0].action, [[0.4, 0.4], [0.4, 0.2], [0.4, 0.0], [0.4, 0.0]])
    assert episodes[0].action_policy.tolist() == [[1.0, 1.0]] * 4
    assert episodes[0].safety is not None
    assert episodes[0].safety.dtype == np.uint16
    speed, both = Safety.SPEED, Safety.SPEED | Safety.POSITION
    assert episodes[0].safety.tolist() == [speed | Safety.POSITION, both, both, both]
    assert (report["safety"]["speed"], report["safety"]["position"]) == (4, 4)


def test_clamps_of_actions_are_recorded_step_by_step(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    # twice the joint backwards, cut to -1 .. 1: from 1 it proposes -1, then 0, then 1
    bundle = make_bundle(spec, Limits(max_action_delta=0.25), weight=-2 * np.eye(3, 2), bias=np.zeros(2))
    episodes = Kept()
    report = run(robot, bundle, duration_s=0.3, clock=clock, writer=episodes, seed=1)
    assert episodes[0].action[:, 0].tolist() == [-1.0, -0.75, -0.5]  # the first has no predecessor
    assert episodes[0].safety is not None
    assert episodes[0].safety.tolist() == [0, Safety.RATE_LIMITED, Safety.RATE_LIMITED]
    assert report.safety["rate_limited"] == 2


def test_a_veto_marks_the_last_complete_step_and_the_arm_is_stopped_parked_and_closed(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def before(name: str, count: int) -> None:
        if (name, count) == ("observe", 3):
            arm.temperatures = np.array([30.0, np.nan])

    arm.before = before
    episodes = Kept()
    report = run(
        arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock, writer=episodes
    ).to_dict()
    assert arm.calls[-4:] == ["observe", "stop", "park", "close"]
    assert report["fault"] == "bad_observation: the temperature of b is not finite"
    assert (report["safety"]["bad_observation"], report["parked"]) == (1, True)
    assert episodes[0].safety is not None
    assert episodes[0].safety.tolist() == [0, Safety.BAD_OBSERVATION]


@pytest.mark.parametrize("what", ["overload", "out_of_bounds", "tracking"])
def test_after_a_veto_that_speaks_of_something_in_its_way_the_arm_holds(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, what: str
) -> None:
    arm.limits = Limits(
        max_temperature_c=[60.0], high_rad=[1.0], joint_margin_rad=0.0, max_tracking_error_rad=[0.5]
    )
    told = arm.telemetry

    def telemetry() -> Telemetry:
        found = told()
        if arm.calls.count("observe") < 4:
            return found
        hot, far = np.array([30.0, 61.0]), np.array([0.0, 1.1])
        if what == "overload":
            return replace(found, temperatures=hot)
        return replace(found, positions=far if what == "out_of_bounds" else far - 1.0)

    arm.telemetry = telemetry  # type: ignore[method-assign]
    report = run(arm, always(make_bundle, spec, 0.0, 1.0), duration_s=9, clock=clock)
    assert report.fault is not None
    assert report.fault.startswith(f"{what}: ")
    assert arm.calls[-2:] == ["stop", "close"]
    assert (report.stopped_by, report.parked) == ("fault", False)


@pytest.mark.parametrize("name", ["observe", "command", "outcome"])
def test_whatever_fails_the_arm_is_stopped_then_parked(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, name: str
) -> None:
    def before(called: str, count: int) -> None:
        if (called, count) == (name, 2):
            raise OSError("wire cut")

    arm.before = before
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock)
    assert arm.calls[-4:] == [name, "stop", "park", "close"]
    assert (report.fault, report.parked) == ("OSError: wire cut", True)


def test_an_arm_whose_stop_fails_is_parked_all_the_same_and_its_veto_is_marked(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def before(called: str, count: int) -> None:
        if (called, count) == ("observe", 3):
            arm.temperatures = np.array([30.0, np.nan])
        if called == "stop":
            raise OSError("wire cut")

    arm.before = before
    episodes = Kept()
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock, writer=episodes)
    assert arm.calls[-3:] == ["stop", "park", "close"]
    assert report.fault == "bad_observation: the temperature of b is not finite; then OSError: wire cut"
    assert report.parked
    assert episodes[0].safety is not None
    assert episodes[0].safety.tolist() == [0, Safety.BAD_OBSERVATION]


def test_an_interrupt_lets_the_arm_lie_down_and_a_second_one_ends_that(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    for requests, parked in ((1, True), (2, False)):
        stop = StopRequest()
        arm.while_parking = lambda stop=stop, n=requests: stop.set() if stop.count < n else None  # type: ignore[misc]
        report = run(
            arm,
            always(make_bundle, spec, 0.1, 0.0),
            duration_s=9,
            clock=clock,
            stop=stop,
            on_tick=lambda done, total, stop=stop: stop.set() if done == 3 else None,  # type: ignore[misc]
        )
        assert arm.calls[-3:] == ["stop", "park", "close"]
        assert (report.stopped_by, report.fault, report.parked) == ("interrupt", None, parked)


def test_after_an_emergency_nothing_moves_any_more(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    report = run(
        arm,
        always(make_bundle, spec, 0.1, 0.0),
        duration_s=9,
        clock=clock,
        stop=stop,
        on_tick=lambda done, total: stop.emergency("a key was pressed") if done == 3 else None,
    )
    assert arm.calls[-3:] == ["command", "stop", "close"]
    assert (report.stopped_by, report.stop_reason, report.parked) == ("emergency", "a key was pressed", False)


def test_an_emergency_while_parking_ends_it(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    arm.while_parking = lambda: stop.emergency("a key was pressed")
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=0.3, clock=clock, stop=stop)
    assert arm.calls[-3:] == ["stop", "park", "close"]
    assert (report.fault, report.parked) == (None, False)
    assert (report.stopped_by, report.stop_reason) == ("emergency", "a key was pressed")


def test_an_interrupt_while_parking_after_the_time_was_up_is_told(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    arm.while_parking = stop.set
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=0.3, clock=clock, stop=stop)
    assert (report.stopped_by, report.fault, report.parked) == ("interrupt", None, False)


def test_closing_moves_nothing_once_the_loop_has_decided_about_parking(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    asked = []
    arm.before = lambda name, count: asked.append(arm.should_stop()) if name in ("park", "close") else None
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=0.3, clock=clock)
    assert (asked, report.parked) == ([False, True], True)


def test_a_dead_man_input_that_is_let_go_between_two_ticks_stops_at_the_next(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest(dead_man_s=0.25)
    stop.refresh(clock.now_ns())
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock, stop=stop)
    assert report.ticks == 2  # at 0.1 and 0.2 s; at 0.3 s it has been let go for too long
    assert report.stopped_by == "emergency"


def test_a_stop_while_homing_reaches_the_robot_itself(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop, asked = StopRequest(), []

    def before(name: str, count: int) -> None:
        if name == "home":
            asked.append(arm.should_stop())
            stop.emergency("a key was pressed")
            asked.append(arm.should_stop())

    arm.before = before
    run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock, stop=stop)
    assert asked == [False, True]
    assert arm.calls == ["connect", "home", "stop", "close"]


def test_an_arm_that_never_moved_is_not_parked(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    arm.before = lambda name, count: stop.set() if name == "connect" else None
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock, stop=stop)
    assert arm.calls == ["connect", "stop", "close"]
    assert (report.connected, report.parked) == (True, None)


@pytest.mark.parametrize("kind", ["interrupt", "emergency"])
def test_a_stop_that_is_set_already_keeps_the_arm_from_being_connected(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, kind: str
) -> None:
    stop = StopRequest()
    stop.set() if kind == "interrupt" else stop.emergency("a key was pressed")
    report = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=9, clock=clock, stop=stop)
    assert arm.calls == ["close"]
    assert (report.stopped_by, report.ticks, report.connected, report.parked) == (kind, 0, False, None)


def test_a_bundle_may_tighten_the_robots_limits_never_loosen_them(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    arm.limits = Limits(max_action_delta=0.5, max_observation_age_s=0.2)
    bundle = always(
        make_bundle, spec, 0.1, 0.0, limits=Limits(max_action_delta=1.0, max_observation_age_s=0.1)
    )
    report = run(arm, bundle, duration_s=0.3, clock=clock).to_dict()
    assert report["limits"]["max_action_delta"] == 0.5
    assert report["limits"]["max_observation_age_s"] == 0.1
    assert report["tightened"] == {"max_observation_age_s": [0.2, 0.1]}


def test_limits_of_other_joints_are_refused_before_anything_moves(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    arm.limits = Limits(max_speed_rad_s=[1.0, 1.0, 1.0])
    with pytest.raises(UsageError, match="max_speed_rad_s has 3 values; this robot has 2 joints"):
        run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=0.3, clock=clock)
    assert arm.calls == []


def test_limits_that_only_the_connected_arm_contradicts_are_refused_and_move_nothing(
    arm: ToyArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    held = []

    def before(name: str, count: int) -> None:
        if name == "connect":
            arm.limits = Limits(max_temperature_c=[60.0] * 3)
        else:
            held.append(arm.should_stop())

    arm.before = before
    with pytest.raises(UsageError, match="max_temperature_c has 3 values; this robot has 2 joints"):
        run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=0.3, clock=clock)
    assert (arm.calls, held) == (["connect", "close"], [True])
