"""Laws of a recording session with a task, a dataset and hands that follow a script."""

from pathlib import Path

import numpy as np
import pytest
from teleop_toys import AWAY, MS, Person, ScriptedHands, drive, order, pushes, reach, until

from data_collection.record import recorded
from data_collection.teleop.hands import Jog, Verb
from robot_orl.curation.resimulate import Resimulator
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import recover
from robot_orl.errors import RunError
from robot_orl.interrupt import StopFlag
from robot_orl.types import Actor

pytestmark = pytest.mark.e2e  # a dataset for each


def test_what_was_done_is_what_is_recorded(tmp_path: Path) -> None:
    """Three steps of pushing, two of hands off; then the person says that it was good."""

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.INSTRUCTION, "reach the ball")
        yield order(Verb.START)
        yield from pushes(3)
        yield from pushes(2, None)
        yield order(Verb.SUCCESS)
        yield order(Verb.QUALITY, 4)
        yield order(Verb.NOTE, "neat")
        yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    _, session = drive(tmp_path / "data", script, ramp_s=0.0)
    dataset = Dataset.open(tmp_path / "data")
    (record,) = dataset.episodes
    episode = dataset.load(record)
    push = 0.1 / 25 / (0.05 * 0.65)
    # The step before the script's first push is taken at once: an episode has a step at least.
    np.testing.assert_allclose(episode.action[:, 0], [0, push, push, push, 0, 0], rtol=1e-6)
    assert (episode.action[:, 1:] == 0).all()
    assert np.isnan(episode.action_operator[[0, 4, 5]]).all()  # nobody proposed anything
    np.testing.assert_array_equal(episode.action_operator[1:4], episode.action[1:4])
    assert (episode.actor == Actor.HUMAN).all()
    np.testing.assert_array_equal(episode.t_ns, np.arange(6) * 40 * MS)
    np.testing.assert_array_equal(episode.truncated, [False] * 5 + [True])
    meta = record.meta
    assert (meta.operator, meta.seed, meta.end_reason) == ("person", 0, "operator")
    assert (meta.success, meta.success_any, meta.quality) == (True, True, 0.75)
    assert (meta.notes, meta.instruction) == ("neat", "reach the ball")
    assert (session.good, session.episodes) == (1, 1)


def test_the_time_ends_an_episode_whatever_the_tasks_horizon_is(tmp_path: Path) -> None:
    """Fetch's own is 50 steps; 3 s at 25 Hz are 75."""

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from until(hands, "reviewing", AWAY)
        yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    hands, _ = drive(tmp_path / "data", script, seconds=3.0)
    (record,) = Dataset.open(tmp_path / "data").episodes
    assert (record.length, record.meta.end_reason) == (75, "horizon")
    assert max(status.step for status in hands.seen) == 75
    assert {status.horizon for status in hands.seen} == {75}


def test_the_tasks_success_ends_an_episode(tmp_path: Path) -> None:
    """Held against the gripper's goal: the script pushes towards it until the task says so."""
    env = reach()
    obs, _ = env.reset(seed=0)
    way = obs["desired_goal"] - obs["achieved_goal"]

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from until(hands, "reviewing", Jog(way / np.linalg.norm(way), np.zeros(3)))
        yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    hands, session = drive(tmp_path / "data", script, speed_m_s=0.5)
    dataset = Dataset.open(tmp_path / "data")
    (record,) = dataset.episodes
    assert (record.meta.end_reason, record.meta.success, record.meta.quality) == ("success", True, None)
    np.testing.assert_array_equal(dataset.load(record).reward, [-1.0] * (record.length - 1) + [0.0])
    assert session.good == 1
    assert {status.success for status in hands.seen if status.state == "reviewing"} == {True}


def test_redo_begins_where_it_began_and_discard_elsewhere(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        for verb in (Verb.REDO, Verb.DISCARD):
            yield order(Verb.START)
            yield from until(hands, "recording")
            yield from pushes(2)
            yield order(verb)
            yield from until(hands, "recording" if verb == Verb.REDO else "idle")
            if verb == Verb.REDO:
                yield order(Verb.STOP)
                yield order(Verb.SAVE)
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield order(Verb.QUIT)

    drive(tmp_path / "data", script)
    metas = [record.meta for record in Dataset.open(tmp_path / "data").episodes]
    assert [(meta.seed, meta.end_reason) for meta in metas] == [(0, "operator"), (2, "interrupt")]
    assert list((tmp_path / "data" / "journal").iterdir()) == []


def test_the_last_save_is_taken_back_and_its_start_comes_again(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        for _ in range(2):
            yield order(Verb.START)
            yield from until(hands, "recording")
            yield order(Verb.STOP)
            yield order(Verb.SAVE)
        yield order(Verb.UNDO)
        for _ in range(2):
            yield order(Verb.START)
            yield from until(hands, "recording")
            yield order(Verb.STOP)
            yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    _, session = drive(tmp_path / "data", script)
    dataset = Dataset.open(tmp_path / "data")
    assert [record.meta.seed for record in dataset.records] == [0, 1, 2, 1]
    assert [record.meta.seed for record in dataset.episodes] == [0, 2, 1]
    assert session.episodes == 3


def test_what_is_trimmed_is_saved_without_its_ends_and_can_be_played_again(tmp_path: Path) -> None:
    """Its start is not the seed's any more, but its simulator state is there to begin from."""

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(9)
        yield order(Verb.STOP)
        yield order(Verb.SUCCESS)
        yield order(Verb.TRIM, (4, 8))
        yield order(Verb.SAVE)
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(3)
        yield order(Verb.STOP)
        yield order(Verb.SAVE)
        yield order(Verb.UNDO)
        yield order(Verb.UNDO)
        for seed in (2, 1, 0):
            yield order(Verb.START)
            yield from until(hands, "recording")
            assert hands.seen[-1].seed == seed, "what was taken back comes again"
            yield order(Verb.STOP)
            yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    hands, session = drive(tmp_path / "data", script)
    dataset = Dataset.open(tmp_path / "data")
    part = dataset.records[0]
    assert (part.length, part.meta.seed, part.meta.success) == (4, None, True)
    assert part.meta.origin == "seed 0, steps 4 to 8 of 10"
    assert [record.meta.seed for record in dataset.episodes] == [2, 1, 0]
    assert session.episodes == 3
    kept = [status for status in hands.seen if status.label.get("trim") == (4, 8)]
    assert {(status.state, status.said) for status in kept} == {("reviewing", "keeps 4 of 10 steps")}
    with Resimulator(dataset) as resimulator:
        again = resimulator.replay(part)
    assert (again.is_equal, again.start, again.steps) == (True, "stored state", 4)


def test_the_task_is_asked_again_where_an_episode_ends_earlier(tmp_path: Path) -> None:
    """It pushes through the goal and away from it: a success at the moment it was there."""
    env = reach()
    obs, _ = env.reset(seed=0)
    way = obs["desired_goal"] - obs["achieved_goal"]
    through = Jog(way / np.linalg.norm(way), np.zeros(3))

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        while not hands.seen[-1].success:
            yield through, []
        reached = hands.seen[-1].step
        while hands.seen[-1].success:
            yield through, []
        yield order(Verb.STOP)
        assert not hands.seen[-1].success
        yield order(Verb.TRIM, (2, reached))
        assert hands.seen[-1].success
        yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    _, session = drive(tmp_path / "data", script, speed_m_s=0.5, stop_at_success=False)
    dataset = Dataset.open(tmp_path / "data")
    (record,) = dataset.episodes
    assert (record.meta.success, record.meta.end_reason, session.good) == (True, "operator", 1)
    assert dataset.load(record).reward.tolist()[-2:] == [-1.0, 0.0]


def test_leaving_while_reviewing_saves_what_is_kept(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(6)
        yield order(Verb.STOP)
        yield order(Verb.TRIM, (0, 3))
        yield order(Verb.QUIT)

    drive(tmp_path / "data", script)
    (record,) = Dataset.open(tmp_path / "data").episodes
    assert (record.length, record.meta.seed, record.meta.end_reason) == (3, 0, "operator")


def test_a_chosen_start_is_recorded_and_the_others_come_in_their_order(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        for seed in (77, 400, 401, 3, None):
            if seed is not None:
                yield order(Verb.SEED, seed)
            if seed == 400:
                continue  # and changes its mind
            yield order(Verb.START)
            yield from until(hands, "recording")
            yield order(Verb.STOP)
            yield order(Verb.SAVE)
        yield order(Verb.SEED)  # another one
        for _ in range(2):
            yield order(Verb.START)
            yield from until(hands, "recording")
            yield order(Verb.STOP)
            yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    drive(tmp_path / "data", script)
    dataset = Dataset.open(tmp_path / "data")
    assert [record.meta.seed for record in dataset.episodes] == [77, 401, 3, 0, 2, 4]
    assert len(recorded(dataset, "person", 0)) == 6, "they count when the session goes on"
    assert recorded(dataset, "person", 1) == []


def test_who_is_gone_leaves_a_saved_episode_and_may_come_back(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(3)
        hands.is_there = False
        yield from until(hands, "idle")
        yield from pushes(5, None)
        hands.is_there = True
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield order(Verb.STOP)
        yield order(Verb.SAVE)
        yield order(Verb.QUIT)

    drive(tmp_path / "data", script)
    metas = [record.meta for record in Dataset.open(tmp_path / "data").episodes]
    assert [(meta.seed, meta.end_reason) for meta in metas] == [(0, "disconnect"), (1, "operator")]


def test_a_signal_saves_what_was_recorded(tmp_path: Path) -> None:
    stop = StopFlag()

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(4)
        stop.requested = True
        yield from pushes(10)

    drive(tmp_path / "data", script, stop=stop)
    (record,) = Dataset.open(tmp_path / "data").episodes
    assert record.meta.end_reason == "interrupt"


def test_what_is_not_saved_comes_back_from_its_journal(tmp_path: Path) -> None:
    """Whatever goes wrong in the middle: here hands that fail."""

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(4)
        raise RunError("the device is on fire")

    with pytest.raises(RunError, match="on fire"):
        drive(tmp_path / "data", script)
    assert [found.steps for found in recover(tmp_path / "data").recovered] == [5]
    (record,) = Dataset.open(tmp_path / "data").episodes
    assert (record.meta.end_reason, record.meta.operator, record.meta.seed) == ("crash", "person", 0)
