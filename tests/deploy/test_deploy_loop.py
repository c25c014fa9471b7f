import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from deploy_toys import FakeClock, Kept, MakeBundle, ToyRobot

from robot_orl.deploy.loop import run
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.errors import RunError, UsageError
from robot_orl.types import Actor, Array, Episode, Outcome, Spec

MS = 1_000_000


def at(name: str, count: int, act: Callable[[], None]) -> Callable[[str, int], None]:
    """A hook for ToyRobot.before: do `act` at the start of call number `count` of `name`."""

    def before(called: str, number: int) -> None:
        if (called, number) == (name, count):
            act()

    return before


def fail() -> None:
    raise OSError("wire cut")


def test_the_life_of_an_action(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(
        spec, Limits(max_action_delta=0.25), bias=np.array([0.5, 0.0]), weight=np.zeros((3, 2))
    )
    run(robot, bundle, duration_s=0.1, clock=clock)
    assert robot.calls == [
        *("connect", "home"),
        *("observe", "outcome", "send"),  # the tick of the only action
        *("observe", "outcome"),  # the tick that completes its step
        *("stop", "close"),
    ]
    assert robot.sent[0].tolist() == [0.5, 0.0]


def test_a_run_ticks_for_its_duration_and_homes_with_a_new_seed_per_episode(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    report = run(robot, make_bundle(spec), duration_s=1.2, clock=clock, seed=7).to_dict()
    assert robot.seeds == [7, 8, 9]  # horizon 5: two whole episodes and two ticks of a third
    assert len(robot.sent) == report["ticks"] == report["slots"] == 12
    assert report["episodes"] == {
        "whole": 2,
        "cut_short": 1,
        "end_reasons": {"horizon": 2, "duration": 1},
        "written_late": 0,
        "lost": 0,
    }
    assert (report["stopped_by"], report["fault"], report["missed_slots"]) == ("duration", None, 0)
    assert report["period_ms"] == 100
    assert report["period_error_us"]["max"] == 0
    assert report["inference_us"]["count"] == 12


def test_episodes_hold_what_was_executed_beside_what_was_proposed(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(spec, Limits(max_action_delta=0.25))
    episodes = Kept()
    run(robot, bundle, duration_s=0.5, clock=clock, writer=episodes, seed=1)
    (episode,) = episodes
    flat = np.concatenate([episode.obs["joint"], episode.obs["goal"]], axis=1)
    for step in range(5):
        assert episode.action_policy[step].tolist() == bundle.policy(flat[step]).tolist()
    assert np.array_equal(episode.action, robot.sent)
    assert not np.array_equal(episode.action, episode.action_policy)  # the rate limit stepped in
    assert np.array_equal(episode.obs["joint"][1:], episode.obs["joint"][:-1] + episode.action)
    assert episode.t_ns.tolist() == [step * 100 * MS for step in range(5)]
    assert episode.truncated.tolist() == [False] * 4 + [True]
    assert set(episode.actor) == {Actor.POLICY}
    assert np.isnan(episode.action_operator).all()
    assert (episode.meta.seed, episode.meta.policy_hash) == (1, bundle.policy_hash)


def test_what_the_robot_executed_is_recorded_where_it_differs(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robot, "send", lambda action: action / 2)
    bundle = make_bundle(spec, weight=np.zeros((3, 2)), bias=np.array([0.5, -0.25]))
    episodes = Kept()
    run(robot, bundle, duration_s=0.5, clock=clock, writer=episodes)
    assert episodes[0].action.tolist() == [[0.25, -0.125]] * 5
    assert episodes[0].action_policy.tolist() == [[0.5, -0.25]] * 5


def test_success_counts_whole_episodes_only(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def succeed() -> None:
        robot.result = Outcome(reward=0.0, success=True)

    robot.before = at("outcome", 6, succeed)  # from the second episode's start on
    report = run(robot, make_bundle(spec), duration_s=1.2, clock=clock).to_dict()
    assert report["success"]["episodes"] == 2
    assert report["success"]["successes"] == 1
    assert report["success"]["rate"] == 0.5


def test_success_that_was_lost_again_is_told_apart(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def before(name: str, count: int) -> None:
        if name == "outcome":
            robot.result = Outcome(success=count == 3)

    robot.before = before
    episodes = Kept()
    run(robot, make_bundle(spec), duration_s=1.0, clock=clock, writer=episodes)
    assert [(e.meta.success, e.meta.success_any) for e in episodes] == [(False, True), (False, False)]


def test_a_robot_that_cannot_tell_gives_unknown_rewards_and_no_success_rate(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    robot.result = Outcome()
    episodes = Kept()
    report = run(robot, make_bundle(spec), duration_s=0.5, clock=clock, writer=episodes).to_dict()
    assert np.isnan(episodes[0].reward).all()
    assert report["success"] == {"episodes": 0, "successes": 0, "rate": None, "wilson95": [0.0, 1.0]}


def test_termination_ends_an_episode_early_and_is_no_truncation(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def terminate() -> None:
        robot.result = Outcome(reward=0.0, success=True, terminated=True)

    robot.before = at("outcome", 2, terminate)  # 0 is the start; 2 completes the second step
    episodes = Kept()
    run(robot, make_bundle(spec), duration_s=0.2, clock=clock, writer=episodes)
    assert episodes[0].terminated.tolist() == [False, True]
    assert not episodes[0].truncated.any()
    assert episodes[0].meta.end_reason == "terminated"


def test_a_stale_observation_stops_the_robot_before_anything_else(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    robot.before = at("send", 2, robot.freeze)
    bundle = make_bundle(spec, Limits(max_observation_age_s=0.15))
    episodes = Kept()
    report = run(robot, bundle, duration_s=9, clock=clock, writer=episodes).to_dict()
    # frozen at the third send: one tick later 100 ms old, two ticks later 200 ms
    assert robot.calls[-3:] == ["observe", "stop", "close"]
    assert len(robot.sent) == 4
    assert report["stopped_by"] == "fault"
    assert report["fault"] == "stale: the newest observation is 200.0 ms old, limit 150.0 ms"
    assert report["safety"]["stale"] == 1
    assert episodes[0].meta.end_reason == "fault"
    assert len(episodes[0]) == 3  # the fourth action was never seen to the end


@pytest.mark.parametrize(("name", "count"), [("observe", 3), ("send", 3), ("outcome", 3), ("home", 1)])
def test_whatever_the_robot_raises_the_next_thing_it_hears_is_stop(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, name: str, count: int
) -> None:
    robot.before = at(name, count, fail)
    report = run(robot, make_bundle(spec), duration_s=9, clock=clock)
    assert robot.calls[-3:] == [name, "stop", "close"]
    assert (report.stopped_by, report.fault) == ("fault", "OSError: wire cut")


def test_a_robot_that_also_fails_to_stop_is_reported_with_both_faults_and_closed(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def before(name: str, count: int) -> None:
        if name == "stop" or (name == "send" and count == 1):
            raise OSError(f"{name} failed")

    robot.before = before
    report = run(robot, make_bundle(spec), duration_s=9, clock=clock)
    assert report.fault == "OSError: send failed; then OSError: stop failed"
    assert robot.calls[-1] == "close"


def test_a_non_finite_action_is_never_sent(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    # 10 * 3e38 overflows float32: a finite observation, an action that is not
    bundle = make_bundle(spec, weight=np.array([[10.0, 0], [0, 0], [0, 0]]))

    def explode() -> None:
        robot.joint = np.full(2, 3e38, np.float32)

    robot.before = at("observe", 2, explode)
    report = run(robot, bundle, duration_s=9, clock=clock)
    assert len(robot.sent) == 2
    assert report.fault == "non_finite: the policy proposed a non-finite action for: push"
    assert report.safety["non_finite"] == 1
    assert robot.calls[-2:] == ["stop", "close"]


def test_a_non_finite_observation_never_reaches_the_policy(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def explode() -> None:
        robot.joint = np.array([0, np.nan], np.float32)

    robot.before = at("observe", 1, explode)
    report = run(robot, make_bundle(spec), duration_s=9, clock=clock)
    assert report.fault == "bad_observation: the observation is not finite: joint/b"
    assert len(robot.sent) == 1


def test_a_slow_command_misses_slots_and_they_count_as_time(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def dawdle() -> None:
        clock.time_ns += 230 * MS  # at 100 ms a slot: the slots of 100 and 200 ms are gone

    robot.before = at("send", 1, dawdle)
    report = run(robot, make_bundle(spec), duration_s=0.5, clock=clock).to_dict()
    assert (report["ticks"], report["missed_slots"], report["slots"]) == (3, 2, 5)
    assert report["period_error_us"]["max"] == 200_000


def test_homing_takes_no_control_time(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    def before(name: str, count: int) -> None:
        if name == "home":
            clock.time_ns += 7000 * MS

    robot.before = before
    report = run(robot, make_bundle(spec), duration_s=1.0, clock=clock).to_dict()
    assert (report["ticks"], report["missed_slots"]) == (10, 0)
    assert report["homing_s"] == 14.0
    # two homings, ten actions and a closing observation for each of the two episodes
    assert report["wall_s"] == pytest.approx(14.0 + 1.0 + 2 * 0.1)
    assert report["period_error_us"]["max"] == 0


def test_an_episode_is_committed_while_the_next_one_has_not_begun(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    episodes = Kept()
    run(robot, make_bundle(spec), duration_s=1.2, clock=clock, writer=episodes)
    assert episodes.settled_at == [0, 1, 2]


def test_a_recording_that_fails_is_a_fault_and_stops_the_robot(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    class FullDisk(Kept):
        def append(self, episode: Episode) -> None:
            raise RunError("the disk is full")

    report = run(robot, make_bundle(spec), duration_s=9, clock=clock, writer=FullDisk())
    assert len(robot.sent) == 5
    assert robot.calls[-2:] == ["stop", "close"]
    assert report.fault == "RunError: the disk is full"


def test_episodes_that_are_still_being_written_when_the_next_begins_are_counted_not_waited_for(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    class SlowDisk(Kept):
        def settle(self, timeout_s: float) -> bool:
            return not self  # from the first episode on

    report = run(robot, make_bundle(spec), duration_s=1.2, clock=clock, writer=SlowDisk())
    assert report.to_dict()["episodes"]["written_late"] == 2
    assert len(robot.sent) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_command_lets_it_finish_and_then_stops(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, number: int
) -> None:
    handler = signal.getsignal(number)
    robot.before = at("send", 2, lambda: os.kill(os.getpid(), number))
    episodes = Kept()
    report = run(robot, make_bundle(spec), duration_s=9, clock=clock, writer=episodes)
    assert len(robot.sent) == 3  # the one under way was completed
    assert robot.calls[-3:] == ["send", "stop", "close"]
    assert (report.stopped_by, report.fault) == ("interrupt", None)
    assert (episodes[0].meta.end_reason, len(episodes[0])) == ("interrupt", 2)
    assert signal.getsignal(number) == handler


def test_a_hang_up_that_is_ignored_as_under_nohup_stays_ignored(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        robot.before = at("send", 2, lambda: os.kill(os.getpid(), signal.SIGHUP))
        report = run(robot, make_bundle(spec), duration_s=1.2, clock=clock)
    finally:
        signal.signal(signal.SIGHUP, handler)
    assert (report.stopped_by, len(robot.sent)) == ("duration", 12)


def test_a_stop_that_comes_while_waiting_for_the_tick_is_obeyed_at_once(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = StopRequest()

    def sleep_until(deadline_ns: int) -> None:
        clock.time_ns = deadline_ns
        if len(robot.sent) == 2:
            stop.set()

    monkeypatch.setattr(clock, "sleep_until", sleep_until)
    run(robot, make_bundle(spec), duration_s=9, clock=clock, stop=stop)
    assert robot.calls[-3:] == ["send", "stop", "close"]
    assert len(robot.sent) == 2


def test_the_stop_flag_ends_a_run_from_another_thread(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    bundle = make_bundle(spec)

    def on_tick(done: int, total: int) -> None:
        assert total == 90
        if done == 3:
            stop.set()

    reports = []
    thread = threading.Thread(
        target=lambda: reports.append(
            run(robot, bundle, duration_s=9, clock=clock, stop=stop, on_tick=on_tick)
        )
    )
    thread.start()
    thread.join()
    assert reports[0].stopped_by == "interrupt"
    assert len(robot.sent) == 3


def test_a_run_that_is_stopped_before_it_began_moves_nothing(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    stop = StopRequest()
    stop.set()
    report = run(robot, make_bundle(spec), duration_s=9, clock=clock, stop=stop)
    assert report.stopped_by == "interrupt"
    assert robot.calls == ["close"]  # it was not even connected


def test_a_robot_that_does_not_fit_or_cannot_be_connected_is_never_moved(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(replace(spec, control_hz=20.0))
    with pytest.raises(UsageError, match="control rate is 10 Hz"):
        run(robot, bundle, duration_s=1, clock=clock)
    assert robot.calls == []
    robot.before = at("connect", 0, fail)
    with pytest.raises(OSError, match="wire cut"):
        run(robot, make_bundle(spec), duration_s=1, clock=clock)
    assert robot.calls == ["connect", "close"]


def test_a_duration_below_one_tick_is_refused(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    with pytest.raises(UsageError, match=r"duration_s=0\.01 is shorter than a tick at 10 Hz"):
        run(robot, make_bundle(spec), duration_s=0.01, clock=clock)


def test_no_action_leaves_the_limits_of_the_bundle(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(spec, Limits(max_action_delta=0.125), weight=np.full((3, 2), 5.0))
    run(robot, bundle, duration_s=0.5, clock=clock)
    sent: Array = np.array(robot.sent)
    assert (np.abs(np.diff(sent, axis=0)) <= 0.125).all()


def test_the_rate_limit_starts_afresh_after_homing(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle
) -> None:
    # the action is the joint itself, which homing puts at the seed: 1, then -1
    bundle = make_bundle(spec, Limits(max_action_delta=0), weight=np.array([[1, 0], [0, 1], [0, 0]]))
    home = robot.home
    robot.home = lambda seed: home(1 - 2 * seed)  # type: ignore[method-assign]
    run(robot, bundle, duration_s=1.0, clock=clock)
    assert [action[0] for action in robot.sent] == [1] * 5 + [-1] * 5
