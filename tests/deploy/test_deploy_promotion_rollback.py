"""When a bundle that was swapped in gives way: each bound by hand, and what watches over a run."""

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy_toys import FakeClock, MakeBundle

from robot_orl.deploy.answers import Answer, Answerer
from robot_orl.deploy.asking import AskedHere, Reply
from robot_orl.deploy.promotion.log import CHUNK, AnswerLog
from robot_orl.deploy.promotion.rollback import Rollback, RollbackConfig
from robot_orl.deploy.promotion.swap import SwapFile
from robot_orl.deploy.promotion.watch import Watch, WatchedAsking, WatchedRecording
from robot_orl.deploy.recording import Step
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError
from robot_orl.types import Actor, Array, Outcome, Safety, Spec

CLAMPED, FREE = int(Safety.JERK), 0


def swapped_after(safeties: list[int], rewards: list[float], **bounds: Any) -> Rollback:
    """A new bundle acts; the one before did this."""
    rollback = Rollback(RollbackConfig(**bounds))
    assert [rollback.step(safety) for safety in safeties] == [None] * len(safeties)
    assert [rollback.episode(reward) for reward in rewards] == [None] * len(rewards)
    rollback.swapped()
    return rollback


def test_one_clamp_more_than_allowed_is_one_too_many() -> None:
    # 2 of 20 before, and 10% more are allowed: 4 of 20.
    rollback = swapped_after([CLAMPED] * 2 + [FREE] * 18, [], window=20, clamps=0.1)
    assert [rollback.step(CLAMPED) for _ in range(4)] == [None] * 4
    assert rollback.step(CLAMPED) == "5 clamps in 20 ticks, 10.0% before, 10.0% more are allowed"


def test_a_few_ticks_before_a_swap_make_no_bound_that_cannot_be_passed() -> None:
    # 1 tick, and that was clamped: 1 of 20, and 10% more are allowed: 3 of 20.
    rollback = swapped_after([CLAMPED], [], window=20, clamps=0.1)
    assert [rollback.step(CLAMPED) for _ in range(3)] == [None] * 3
    assert rollback.step(CLAMPED) == "4 clamps in 20 ticks, 5.0% before, 10.0% more are allowed"


def test_clamps_that_left_the_window_do_not_count() -> None:
    rollback = swapped_after([], [], window=10, clamps=0.2)
    for _ in range(30):
        assert rollback.step(CLAMPED) is None
        assert rollback.step(CLAMPED) is None
        assert [rollback.step(FREE) for _ in range(8)] == [None] * 8
    assert rollback.step(CLAMPED) is None
    assert rollback.step(CLAMPED) is None
    assert rollback.step(CLAMPED) is not None


def test_only_what_changed_the_output_is_a_clamp() -> None:
    rollback = swapped_after([], [], window=10, clamps=0.0)
    assert rollback.step(int(Safety.TRACKING)) is None
    assert rollback.step(int(Safety.CLIPPED)) is not None


def test_the_reward_is_judged_over_whole_episodes_against_those_before() -> None:
    rollback = swapped_after([], [-0.5, -0.3], episodes=2, reward=0.1)  # -0.4 before
    assert rollback.episode(-0.9) is None  # one episode says nothing
    assert rollback.episode(-0.1) is None  # -0.5, which is just allowed
    assert rollback.episode(float("nan")) is None  # a robot that cannot tell
    assert rollback.episode(-0.53) == (
        "a reward of -0.51 per tick in 3 episodes, -0.40 before, 0.10 less is allowed"
    )


def test_without_a_reward_before_the_reward_is_not_judged() -> None:
    rollback = swapped_after([], [], episodes=1, reward=0.0)
    assert rollback.episode(-1.0) is None


def test_a_veto_speaks_against_a_bundle_but_only_of_what_was_swapped_in() -> None:
    assert Rollback(RollbackConfig()).veto(int(Safety.TRACKING)) is None
    rollback = swapped_after([], [])
    assert rollback.veto(0) is None
    assert rollback.veto(int(Safety.TRACKING)) == "a veto of the supervisor, tracking"


def test_after_the_way_back_nothing_is_asked_any_more() -> None:
    rollback = swapped_after([], [0.0], window=10, clamps=0.0, episodes=1)
    assert rollback.step(CLAMPED) is not None
    rollback.went_back()
    assert [rollback.step(CLAMPED) for _ in range(10)] == [None] * 10
    assert rollback.episode(-1.0) is None
    rollback.swapped()  # and its clamps are the next one's baseline
    assert [rollback.step(CLAMPED) for _ in range(20)] == [None] * 20


# --- around the loop ------------------------------------------------------------------------------------


class Scripted:
    """Stands in for a process that answers with numbers of bundles; `orders` is what it was told."""

    def __init__(self) -> None:
        self.asked_ns: int | None = None
        self.number = 0
        self.orders: list[Any] = []
        self.lines: list[Mapping[str, Any]] = []

    def ask(self, flat: Array) -> None:
        self.asked_ns = int(flat[0])

    def reply(self, until_ns: int) -> Reply | None:
        asked_ns, self.asked_ns = self.asked_ns, None
        if asked_ns is None:
            return None
        action, shadow = np.array([0.5, 0.0], np.float32), np.array([0.2, -0.4], np.float32)
        return Reply(Answer(action, -3.0, 0.5, shadow, -4.0, self.number, 9.0, 5), asked_ns, 1)

    def problem(self) -> str | None:
        return "gone"

    def swap(self, path: Path) -> None:
        self.orders.append(path)
        self.lines.append({"bundle": str(path), "refused": "no"})

    def back(self, number: int) -> None:
        self.orders.append(number)

    def swapped(self) -> list[Mapping[str, Any]]:
        lines, self.lines = self.lines, []
        return lines


def step(safety: int = 0, reward: float | None = -1.0) -> Step:
    nothing = np.zeros(2, np.float32)
    return Step(nothing, nothing, 0, safety, nothing, Outcome(reward=reward), False)


def test_a_regress_orders_the_way_back_once_and_every_change_is_told(tmp_path: Path) -> None:
    process = Scripted()
    log = AnswerLog(tmp_path / "answers.npz", 2)
    watch = Watch(process, Rollback(RollbackConfig(window=10, clamps=0.1)), log)
    asking, recording = WatchedAsking(process, watch), WatchedRecording(None, watch)

    def tick(safety: int) -> None:
        asking.ask(np.array([7.0]))
        assert asking.asked_ns == 7
        assert asking.reply(0) is not None
        assert asking.asked_ns is None
        recording.step(step(safety))

    tick(FREE)
    process.number = 1
    tick(CLAMPED)
    assert process.orders == []
    tick(CLAMPED)
    assert process.orders == [1]
    tick(CLAMPED)  # before the order arrives
    assert process.orders == [1]
    process.number = 0
    tick(FREE)
    recording.end("horizon")
    assert asking.reply(0) is None
    assert (asking.problem(), recording.problem()) == ("gone", None)
    told: list[Mapping[str, Any]] = [
        {"bundle": "x", "refused": "damaged"},
        {"bundle": "new", "refused": None, "number": 1, "policy_hash": "n"},
    ]
    figures = watch.figures(told, {"bundle": "old", "policy_hash": "o"})
    changes = [(c["tick"], c["kind"], c["bundle"]) for c in figures["changes"]]
    assert changes == [(1, "swap", "new"), (3, "regress", "new"), (4, "rollback", "old")]
    assert figures["refused"] == told[:1]
    assert figures["alarms"] == {"low_value": 5, "unsure": 0, "novel": 5}
    assert figures["value"] == {"mean": -3.0, "min": -3.0, "max": -3.0}
    # (0.5, 0) against (0.2, -0.4): the root of (0.09 + 0.16) / 2
    assert figures["shadow_distance"]["mean"] == pytest.approx(0.125**0.5)
    log.write()
    with np.load(log.file) as found:
        assert found["bundle_number"].tolist() == [0, 1, 1, 1, 0]
        assert found["safety"].tolist() == [0, CLAMPED, CLAMPED, CLAMPED, 0]
        np.testing.assert_array_equal(found["shadow_action"][3], np.array([0.2, -0.4], np.float32))


def test_a_bundle_that_was_swapped_in_before_the_way_back_is_a_swap_and_is_watched() -> None:
    process = Scripted()
    watch = Watch(process, Rollback(RollbackConfig(window=10, clamps=0.1)))
    asking, recording = WatchedAsking(process, watch), WatchedRecording(None, watch)
    for number, orders in ((0, []), (1, []), (1, [1]), (2, [1]), (2, [1, 2])):
        process.number = number  # 2 was taken in while 1 was sent back
        asking.ask(np.zeros(1))
        asking.reply(0)
        recording.step(step(CLAMPED if number else FREE))
        assert process.orders == orders
    taken: Any = [{"bundle": f"new{n}", "refused": None, "number": n, "policy_hash": "n"} for n in (1, 2)]
    changes = watch.figures(taken, {"bundle": "old", "policy_hash": "o"})["changes"]
    assert [(c["kind"], c["bundle"]) for c in changes] == [
        ("swap", "new1"),
        ("regress", "new1"),
        ("swap", "new2"),
        ("regress", "new2"),
    ]


def test_a_veto_marks_the_last_answer_and_names_the_bundle_that_is_to_act_again(tmp_path: Path) -> None:
    process = Scripted()
    log = AnswerLog(tmp_path / "answers.npz", 2)
    watch = Watch(process, Rollback(RollbackConfig()), log)
    asking, recording = WatchedAsking(process, watch), WatchedRecording(None, watch)
    process.number = 1
    asking.ask(np.zeros(1))
    asking.reply(0)
    recording.step(step(CLAMPED))
    recording.mark(int(Safety.TRACKING))
    assert process.orders == [1]
    assert log.columns()["safety"].tolist() == [CLAMPED | Safety.TRACKING]
    assert log.columns()["reward"].tolist() == [-1.0]
    assert [change["kind"] for change in watch.changes] == ["swap", "regress"]


def test_an_episode_that_was_cut_short_says_nothing_about_the_bundle() -> None:
    process = Scripted()
    watch = Watch(process, Rollback(RollbackConfig(episodes=1, reward=0.1)))
    recording = WatchedRecording(None, watch)
    recording.step(step(reward=0.0))
    recording.end("horizon")
    process.number = 1
    asking = WatchedAsking(process, watch)
    asking.ask(np.zeros(1))
    asking.reply(0)
    for reason in ("interrupt", "fault"):
        recording.step(step(reward=-1.0))
        recording.end(reason)
    assert process.orders == []
    recording.step(step(reward=-1.0))
    recording.end("terminated")
    assert process.orders == [1]


def test_an_episode_in_which_two_bundles_acted_says_nothing_about_either() -> None:
    process = Scripted()
    watch = Watch(process, Rollback(RollbackConfig(episodes=1, reward=0.1)))
    asking, recording = WatchedAsking(process, watch), WatchedRecording(None, watch)

    def tick(reward: float) -> None:
        asking.ask(np.zeros(1))
        asking.reply(0)
        recording.step(step(reward=reward))

    tick(0.0)
    recording.end("horizon")
    tick(-9.0)  # of the bundle before
    process.number = 1
    tick(0.0)
    recording.end("terminated")
    assert process.orders == []
    tick(-9.0)
    recording.end("terminated")
    assert process.orders == [1]


def test_a_log_holds_so_many_ticks_and_no_more(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path / "none" / "answers.npz", 1, most=CHUNK + 1)
    one = np.zeros(1, np.float32)
    for number in range(CHUNK + 5):
        log.answered(Answer(one, 0.0, 0.0, one, 0.0), number)
        log.stepped(0, float(number))
    assert len(log) == CHUNK + 1
    assert log.columns()["reward"][-2:].tolist() == [CHUNK - 1, CHUNK]
    with pytest.raises(RunError, match="cannot write"):
        log.write()


def test_a_swap_file_obeys_whole_new_lines_and_answers(tmp_path: Path) -> None:
    file = tmp_path / "swap"
    file.write_text("bundles/stale\n")
    process = Scripted()
    watched = SwapFile(file, process)
    watched.look()
    assert process.orders == []
    file.write_text("bundles/ne")
    watched.look()
    assert process.orders == []
    file.write_text("bundles/new\n")
    watched.look()
    watched.look()
    assert process.orders == [Path("bundles/new")]
    assert (tmp_path / "swap.answer").read_text() == "bundles/new: refused, no\n"
    assert watched.told == [{"bundle": "bundles/new", "refused": "no"}]


def test_a_pipe_in_place_of_a_swap_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "swap")
    process = Scripted()
    reading = threading.Thread(target=lambda: SwapFile(tmp_path / "swap", process).look(), daemon=True)
    reading.start()
    reading.join(10)
    is_waiting = reading.is_alive()
    os.close(os.open(tmp_path / "swap", os.O_RDWR | os.O_NONBLOCK))  # lets go of who waits
    assert not is_waiting


def test_what_is_swapped_in_fits_and_leaves_the_limits_as_they_are(
    make_bundle: MakeBundle, spec: Spec, clock: FakeClock
) -> None:
    acting, fits = make_bundle(spec), make_bundle(spec, bias=np.array([1.0, 1.0]))
    tighter = make_bundle(spec, Limits(max_action_delta=0.1))
    slower = make_bundle(replace(spec, control_hz=spec.control_hz / 2))
    other = make_bundle(replace(spec, task="other"))
    answerer = Answerer(acting)
    asking = AskedHere(answerer, clock)
    for bundle, why in ((tighter, "other limits"), (slower, "control rate"), (other, "for task 'other'")):
        asking.swap(bundle.path)
        (line,) = asking.swapped()
        assert why in line["refused"]
        assert answerer.bundle is acting
    (fits.path / "policy.onnx").write_bytes(b"")
    asking.swap(fits.path)
    (line,) = asking.swapped()
    assert "changed since it was exported" in line["refused"]
    asking.swap(acting.path)
    assert asking.swapped() == [
        {"bundle": str(acting.path), "refused": None, "number": 1, "policy_hash": acting.policy_hash}
    ]
    assert asking.swapped() == []
    asking.back(1)
    assert answerer.bundle is acting


def test_what_somebody_did_who_had_taken_over_is_not_held_against_a_bundle(tmp_path: Path) -> None:
    """Two clamped ticks in ten would be the way back, and so would one bad episode."""
    process = Scripted()
    cfg = RollbackConfig(window=10, clamps=0.1, episodes=1, reward=0.2)
    log = AnswerLog(tmp_path / "answers.npz", 2)
    watch = Watch(process, Rollback(cfg), log)
    asking, recording = WatchedAsking(process, watch), WatchedRecording(None, watch)
    plan = [(0, FREE, 0.0, Actor.POLICY), *[(1, CLAMPED, -1.0, Actor.INTERVENTION)] * 2]
    for number, safety, reward, actor in plan:
        process.number = number
        asking.ask(np.zeros(1))
        asking.reply(0)
        recording.step(replace(step(safety, reward), actor=actor))
        if number == 0:
            recording.end("horizon")
    recording.end("horizon")
    assert process.orders == []
    assert log.columns()["actor"].tolist() == [Actor.POLICY, Actor.INTERVENTION, Actor.INTERVENTION]
    for _ in range(2):
        asking.ask(np.zeros(1))
        asking.reply(0)
        recording.step(step(CLAMPED))
    assert process.orders == [1], "those of its own are"
