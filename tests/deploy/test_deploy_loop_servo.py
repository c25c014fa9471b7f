"""Two rates: an arm whose targets move on four times between two actions, and how it comes to rest."""

from dataclasses import replace

import numpy as np
import pytest
from deploy_toys import STEP_RAD, FakeClock, Kept, MakeBundle, ToyArm, ToyRobot, always
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_orl.deploy.answers import Answerer
from robot_orl.deploy.asking import AskedHere, Reply
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.interpolation import Line, Rates
from robot_orl.deploy.loop import run
from robot_orl.deploy.recording import RecordedHere
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.motion import MotionLimiter
from robot_orl.deploy.supervisor.offers import Servoed
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.errors import UsageError
from robot_orl.types import Array, Safety, Spec

MS = 1_000_000
SLOT_NS = 25 * MS  # 40 Hz; the policy is asked at 10 Hz


class ServoedArm(ToyArm):
    """Its targets move on at 40 Hz. moved: where it was sent at each tick, (J,)."""

    servo_hz: float | None = 40.0

    def __init__(self, spec: Spec, clock: FakeClock) -> None:
        super().__init__(spec, clock)
        self.moved: list[Array] = []

    def command(self, targets: Array) -> Array:
        self.moved.append(targets)
        return super().command(targets)

    def action_between(self, before: Array, targets: Array) -> Array:
        return ((targets - before) / STEP_RAD).astype(np.float32)


class SlowPolicy(AskedHere):
    """Answers after a time, or not at all. gone: why there is no answer any more.

    delay_ns: of each question, by its number from 0; the rest at once.
    """

    def __init__(self, bundle: Bundle, clock: FakeClock, delay_ns: dict[int, int]) -> None:
        super().__init__(Answerer(bundle), clock)
        self.gone: str | None = None
        self._delay_ns = delay_ns
        self._count = -1

    def ask(self, flat: Array) -> None:
        self._count += 1
        self.asked_ns = self._clock.now_ns()
        super().ask(flat)

    def reply(self, until_ns: int) -> Reply | None:
        if self.asked_ns is None:
            return None
        there_ns = self.asked_ns + self._delay_ns.get(self._count, 0)
        self._clock.sleep_until(min(there_ns, until_ns))
        if until_ns < there_ns:
            return None
        self.asked_ns = None
        return super().reply(until_ns)

    def problem(self) -> str | None:
        return self.gone


@pytest.fixture
def arm(spec: Spec, clock: FakeClock) -> ServoedArm:
    return ServoedArm(spec, clock)


def test_a_line_is_straight_arrives_to_the_bit_and_waits() -> None:
    line = Line(np.array([0.0, 1.0]), np.array([0.4, 0.1]), 4)
    points = [line.next() for _ in range(6)]
    assert np.allclose(points, [[0.1, 0.775], [0.2, 0.55], [0.3, 0.325], *[[0.4, 0.1]] * 3])
    assert points[3].tolist() == points[5].tolist() == [0.4, 0.1]


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 1000))
def test_servo_ticks_are_a_whole_number_for_each_of_the_policys(policy_hz: int, servo_hz: int) -> None:
    if servo_hz < policy_hz:
        with pytest.raises(UsageError, match="is below the policy's rate"):
            Rates.of(policy_hz, servo_hz)
        return
    rates = Rates.of(policy_hz, servo_hz)
    assert rates.servo_hz == rates.per_policy * policy_hz
    assert abs(rates.servo_hz - servo_hz) <= policy_hz / 2  # the nearest
    assert (rates.said is None) == (servo_hz % policy_hz == 0)


@pytest.mark.parametrize(("servo_hz", "ticks"), [(None, 1), (50, 1), (100, 1), (150, 2), (200, 2), (500, 5)])
def test_a_line_takes_half_of_the_policys_period(servo_hz: float | None, ticks: int) -> None:
    assert Rates.of(50.0, servo_hz).line_ticks == ticks


def test_a_rate_that_is_no_multiple_is_changed_and_told(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    arm.servo_hz = 33.0
    told = run(arm, always(make_bundle, spec, 0.1, 0.0), duration_s=0.3, clock=clock).to_dict()["servo"]
    assert told["hz"] == 30
    assert told["said"] == "servo_hz=33 is no multiple of the policy's 10 Hz: 30 Hz is used"
    assert len(arm.moved) == 9


def test_between_two_actions_the_targets_move_on_in_a_straight_line(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    assert isinstance(arm, Servoed)
    episodes = Kept()
    bundle = always(make_bundle, spec, 1.0, -0.5)
    report = run(arm, bundle, duration_s=0.3, clock=clock, writer=episodes).to_dict()
    steps = np.array([k + way for k in range(3) for way in (0.5, 1, 1, 1)])
    assert np.allclose(arm.moved, np.outer(steps, [0.5, -0.25]))
    assert (report["ticks"], report["missed_slots"], report["inference_us"]["count"]) == (3, 0, 3)
    assert report["servo"]["hz"] == 40
    assert report["servo"]["period_error_us"]["count"] == 12  # 13 ticks: the last takes an observation
    assert report["servo"]["period_error_us"]["max"] == report["period_error_us"]["max"] == 0
    assert episodes[0].action.tolist() == [[1.0, -0.5]] * 3
    assert np.allclose(episodes[0].obs["joint"][:, 0], [0, 0.5, 1.0, 1.5])
    assert episodes[0].t_ns.tolist() == [0, 100 * MS, 200 * MS]


def test_limits_hold_for_a_servo_tick_and_a_step_is_recorded_as_what_its_commands_were(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    arm.limits = Limits(max_speed_rad_s=[2.0])  # 0.05 rad a tick of the 0.25 that are asked for
    episodes = Kept()
    run(arm, always(make_bundle, spec, 1.0, 0.0), duration_s=0.2, clock=clock, writer=episodes)
    assert np.allclose(np.array(arm.moved)[:, 0], 0.05 * np.arange(1, 9))
    assert np.allclose(episodes[0].action, [[0.4, 0.0]] * 2)
    assert episodes[0].action_policy.tolist() == [[1.0, 0.0]] * 2


def test_what_the_supervisor_did_in_any_tick_of_a_step_is_a_bit_of_that_step(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    arm.limits = Limits(high_rad=[0.6, 9.0])  # reached in the first tick of the second step but one
    episodes = Kept()
    run(arm, always(make_bundle, spec, 1.0, 0.0), duration_s=0.3, clock=clock, writer=episodes)
    assert episodes[0].safety is not None
    assert episodes[0].safety.tolist() == [0, Safety.POSITION, Safety.POSITION]
    assert np.allclose(episodes[0].action[:, 0], [1.0, 0.2, 0.0])


def test_a_missed_servo_slot_is_no_missed_slot_of_the_policy(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def dawdle(name: str, count: int) -> None:
        if (name, count) == ("command", 1):
            clock.time_ns += 24 * MS  # two slots of 12.5 ms, nearly

    arm.servo_hz = 80.0
    arm.before = dawdle
    report = run(arm, always(make_bundle, spec, 1.0, 0.0), duration_s=0.3, clock=clock).to_dict()
    assert (report["ticks"], report["missed_slots"], report["servo"]["missed_slots"]) == (3, 0, 1)
    # the third slot is the one that was missed: the next tick goes as far as the time is
    assert np.allclose(np.array(arm.moved)[:9, 0], [0.125, 0.25, *[0.5] * 5, 0.625, 0.75])


def test_what_missed_slots_left_of_an_action_is_made_up_for_in_the_next_step(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def dawdle(name: str, count: int) -> None:
        if (name, count) == ("command", 0):
            clock.time_ns += 4 * SLOT_NS - MS  # all slots of the first action but its first

    arm.before = dawdle
    episodes = Kept()
    bundle = always(make_bundle, spec, 0.5, 0.0)
    report = run(arm, bundle, duration_s=0.3, clock=clock, writer=episodes).to_dict()
    assert (report["ticks"], report["servo"]["missed_slots"]) == (3, 3)
    # half of the first 0.25 rad was done; the second line goes 0.375 rad in two ticks, the third 0.25
    moved = [0.125, 0.3125, 0.5, 0.5, 0.5, 0.625, 0.75, 0.75, 0.75]
    assert np.allclose(np.array(arm.moved)[:, 0], moved)
    assert np.allclose(episodes[0].action[:, 0], [0.25, 0.75, 0.5])


def test_a_late_answer_is_fetched_in_a_later_tick_and_moves_the_arm_from_there(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = always(make_bundle, spec, 0.5, 0.0)
    slow, episodes = SlowPolicy(bundle, clock, {1: 80 * MS}), Kept()
    report = run(arm, bundle, duration_s=0.3, clock=clock, asking=slow, writer=episodes).to_dict()
    assert (report["ticks"], report["missed_slots"]) == (3, 0)
    # three ticks hold the first target, one goes half of the second line; the third makes up for that, too
    moved = [0.125, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.375, 0.5625, 0.75, 0.75, 0.75]
    assert np.allclose(np.array(arm.moved)[:, 0], moved)
    assert np.allclose(episodes[0].action[:, 0], [0.5, 0.25, 0.75])


def test_an_answer_that_takes_longer_than_a_slot_costs_the_next_one(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = always(make_bundle, spec, 1.0, 0.0)
    slow, episodes = SlowPolicy(bundle, clock, {0: 110 * MS}), Kept()
    report = run(arm, bundle, duration_s=0.5, clock=clock, asking=slow, writer=episodes).to_dict()
    assert (report["ticks"], report["missed_slots"], report["slots"]) == (4, 1, 5)
    assert len(episodes[0]) == 4
    assert len(arm.moved) == 20 - 4  # none before the first answer


def without_policy(
    arm: ToyRobot, bundle: Bundle, clock: FakeClock, how: str, ticks: int, **words: object
) -> tuple[dict[str, object], list[int]]:
    """Run until the policy is gone, on the way of its last action, or silent from this question on.

    Also when each command was sent.
    """
    slow = SlowPolicy(bundle, clock, {ticks: 10**12} if how == "silent" else {})
    sent_ns: list[int] = []

    def before(name: str, count: int) -> None:
        if name in ("command", "stop"):
            sent_ns.append(clock.now_ns())
        if how == "gone" and name == "command" and count == 4 * ticks - 3:
            slow.gone = "the policy process was killed by signal 9"

    arm.before = before
    report = run(arm, bundle, duration_s=9, clock=clock, asking=slow, **words)  # type: ignore[arg-type]
    return report.to_dict(), sent_ns


@pytest.mark.parametrize("limits", [Limits(), Limits(max_acceleration_rad_s2=[10.0])])
def test_an_arm_whose_policy_is_gone_comes_to_rest_within_its_limits_beginning_at_the_next_tick(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, limits: Limits
) -> None:
    arm.limits = limits
    bundle = always(make_bundle, spec, 0.5, 0.0)
    report, sent_ns = without_policy(arm, bundle, clock, "gone", ticks=2)
    assert report["fault"] == "stale_policy: the policy process was killed by signal 9"
    assert sent_ns[6] - sent_ns[5] == SLOT_NS
    changes = np.diff([0.0, *np.array(arm.moved)[:, 0]])[5:]  # the last one before, and those of braking
    # over 0.1 s, four ticks, or by 10 rad/s^2 at 40 Hz: 0.00625 rad a tick less with each tick
    slower = min(changes[0] / 4, 0.00625) if limits.max_acceleration_rad_s2 else changes[0] / 4
    count = int(np.ceil(changes[0] / slower - 1e-9))
    assert np.allclose(changes[1:], np.maximum(0, changes[0] - slower * np.arange(1, count + 1)))
    assert arm.calls[-3:] == ["stop", "park", "close"]
    assert report["parked"]


def test_an_arm_whose_policy_is_silent_is_stopped_once_that_is_certain_and_says_for_how_long(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    episodes = Kept()
    bundle = always(make_bundle, spec, 0.5, 0.0)
    report, _ = without_policy(arm, bundle, clock, "silent", ticks=2, writer=episodes)
    # asked at 300 ms; the tick of 575 ms is the first one after 250 ms more
    assert report["fault"] == "stale_policy: the policy has been silent for 275.0 ms, limit 250.0 ms"
    assert (report["stopped_by"], report["ticks"], report["missed_slots"]) == ("fault", 2, 2)
    assert [len(episode) for episode in episodes] == [2]
    assert episodes[0].safety is not None
    assert episodes[0].safety.tolist() == [0, Safety.STALE_POLICY]
    assert episodes[0].meta.end_reason == "fault"


def test_a_robot_without_joints_is_stopped_when_its_policy_is_silent(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    report, _ = without_policy(robot, always(make_bundle, spec, 0.5, 0.0), clock, "silent", ticks=2)
    assert report["fault"] == "stale_policy: the policy has been silent for 300.0 ms, limit 250.0 ms"
    assert len(robot.sent) == 2
    assert robot.calls[-2:] == ["stop", "close"]


def test_an_emergency_ends_even_coming_to_rest(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    command = arm.command

    def pressed(targets: Array) -> Array:
        if len(arm.moved) == 7:
            stop.emergency("a key was pressed")
        return command(targets)

    arm.command = pressed  # type: ignore[method-assign]
    report, _ = without_policy(arm, always(make_bundle, spec, 0.5, 0.0), clock, "gone", ticks=2, stop=stop)
    assert len(arm.moved) == 8
    assert arm.calls[-2:] == ["stop", "close"]
    assert report["parked"] is False


@pytest.mark.parametrize("has_joints", [True, False])
@pytest.mark.parametrize("is_answered", [True, False])
def test_a_stop_that_is_noticed_while_the_policy_is_waited_for_sends_nothing_more(
    arm: ServoedArm, robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle,
    has_joints: bool, is_answered: bool,
) -> None:  # fmt: skip
    """The third question is asked at 300 ms; each answer takes 12 ms."""
    stop, bundle = StopRequest(), always(make_bundle, spec, 0.5, 0.0)

    class Pressed(SlowPolicy):
        def reply(self, until_ns: int) -> Reply | None:
            found = super().reply(until_ns)
            if self._count == 2:
                stop.emergency("a key was pressed")
                return found if is_answered else None
            return found

    slow = Pressed(bundle, clock, dict.fromkeys(range(9), 12 * MS))
    report = run(arm if has_joints else robot, bundle, duration_s=9, clock=clock, asking=slow, stop=stop)
    assert report.to_dict()["stopped_by"] == "emergency"
    assert len(arm.moved) == (8 if has_joints else 0)  # four for each of two actions
    assert len(robot.sent) == (0 if has_joints else 2)


def test_a_recorder_that_is_gone_brings_the_arm_to_rest_and_is_told(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    class Gone(RecordedHere):
        def problem(self) -> str | None:
            return "the recorder process was killed by signal 9" if len(arm.moved) == 6 else None

    recording = Gone(spec, "hash", Kept())
    bundle = always(make_bundle, spec, 0.5, 0.0)
    report = run(arm, bundle, duration_s=9, clock=clock, recording=recording).to_dict()
    assert report["fault"] == "the recorder process was killed by signal 9"
    assert len(arm.moved) == 6 + 4
    assert arm.calls[-3:] == ["stop", "park", "close"]


@settings(max_examples=40)
@given(st.floats(0.01, 0.3), st.floats(-0.5, 0.5), st.integers(1, 12))
def test_braking_keeps_to_every_limit_and_ends(acceleration: float, wish: float, ticks: int) -> None:
    """In rad a tick: x stays in -1 .. 1, changes shrink by at most the acceleration."""
    limits = Limits(
        low_rad=[-1.0], high_rad=[1.0], max_acceleration_rad_s2=[acceleration], max_speed_rad_s=[0.4]
    )
    limiter = MotionLimiter(limits, 1, 1.0)
    limiter.begin(np.zeros(1))
    x, change = 0.0, 0.0
    for tick in range(1, ticks + 1):
        target = float(limiter(np.array([wish * tick]))[0][0])
        x, change = target, target - x
    for _ in range(100):
        targets = limiter.brake()
        if targets is None:
            break
        now = float(targets[0]) - x
        assert -1 <= targets[0] <= 1
        assert now * change >= -1e-12
        assert abs(change) - acceleration - 1e-12 <= abs(now) <= abs(change) + 1e-12
        x, change = float(targets[0]), now
    assert abs(change) < 1e-9


def test_each_episode_begins_with_a_question_and_without_the_line_of_the_one_before(
    arm: ServoedArm, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    short = replace(spec, horizon=1)
    arm.spec = short
    report = run(arm, always(make_bundle, short, 1.0, 0.0), duration_s=0.2, clock=clock).to_dict()
    assert np.allclose(np.array(arm.moved)[:, 0], [0.25, 0.5, 0.5, 0.5, 1.25, 1.5, 1.5, 1.5])
    assert (report["episodes"]["whole"], report["ticks"]) == (2, 2)
