"""What a killed recording left comes back as far as it was acknowledged, once, and nothing wrong with it."""

import fcntl
import json
import os
from pathlib import Path

import numpy as np
import pytest
from lives import SPEC, assert_lived, header_size, known_before, live, made_life
from made_episodes import made_spec

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.recovery import pending, recover
from robot_orl.types import Actor, Camera, EpisodeMeta, Proposal, Signal, Spec

SEED, STEPS = 34, 6  # 35 steps long
ROW = 152


def left_behind(root: Path, seed: int = SEED, steps: int | None = STEPS) -> Path:
    """The journal of a recording that was killed after these steps."""
    journal = Journals(root, SPEC, "test", {"a": 1}, {"b": 2}).open(known_before(made_life(seed)[0].meta))
    assert journal is not None
    live(EpisodeBuffer(SPEC, 4), journal, seed, steps)
    journal.close()
    return journal.path


def test_a_killed_episode_comes_back_truncated_and_marked_as_a_crash(tmp_path: Path) -> None:
    path = left_behind(tmp_path / "set")
    [found] = pending(tmp_path / "set")
    assert (found.path, found.state, found.steps, found.seed, found.problem) == (
        path,
        "recovered",
        6,
        SEED,
        None,
    )
    assert path.exists()
    report = recover(tmp_path / "set")
    assert report.found == (found,)
    assert report.summary() == "recovered 1 episode (6 steps) of a recording that was cut off"
    assert not path.exists()
    dataset = Dataset.open(tmp_path / "set")
    [record] = dataset.records
    assert (record.uid, record.meta.end_reason, record.length) == (found.uid, "crash", 6)
    assert_lived(dataset.load(record), SEED)
    attributes = dataset.segments[0].attributes
    assert (attributes["source"], attributes["config"], attributes["env_kwargs"]) == (
        "recovered",
        {"a": 1},
        {"b": 2},
    )
    assert dataset.segments[0].is_sealed
    assert (recover(tmp_path / "set").found, recover(tmp_path / "set").summary()) == ((), None)


def test_an_episode_that_had_ended_comes_back_whole(tmp_path: Path) -> None:
    left_behind(tmp_path / "set", steps=35)
    recover(tmp_path / "set")
    [episode] = Dataset.open(tmp_path / "set").load_all()
    assert (len(episode), episode.meta.end_reason) == (35, "horizon")
    assert_lived(episode, SEED)


@pytest.mark.parametrize("steps", [0, None])
def test_nothing_comes_back_where_there_was_no_step(tmp_path: Path, steps: int | None) -> None:
    if steps is None:
        path = left_behind(tmp_path)
        path.write_bytes(b"")
    else:
        left_behind(tmp_path, steps=0)
    assert [found.state for found in recover(tmp_path).found] == ["empty"]
    assert list((tmp_path / "journal").iterdir()) == []
    assert Dataset.open(tmp_path, allow_empty=True).records == []


def test_a_kill_between_commit_and_removal_gives_no_second_episode(tmp_path: Path) -> None:
    path = left_behind(tmp_path, steps=35)
    content = path.read_bytes()
    recover(tmp_path)
    path.write_bytes(content)
    assert [found.state for found in recover(tmp_path).found] == ["committed"]
    assert not path.exists()
    assert len(Dataset.open(tmp_path).records) == 1


def test_of_two_recoveries_at_once_one_leaves_the_journal_to_the_other(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert recover(tmp_path).found == ()
    assert len(recover(tmp_path).recovered) == 1


def test_every_cut_of_the_file_gives_the_whole_steps_before_it(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    start = header_size(path)
    content = path.read_bytes()[: start + (1 + STEPS) * ROW]  # without the room behind them
    for size in [*range(start, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:size])
        [found] = pending(tmp_path)
        assert found.problem is None
        assert found.steps == max(0, (size - start) // ROW - 1)
    path.write_bytes(content[: -ROW // 2])
    recover(tmp_path)
    [episode] = Dataset.open(tmp_path).load_all()
    assert len(episode) == STEPS - 1
    assert_lived(episode, SEED)


def test_a_row_that_was_being_stored_never_counts_and_is_no_damage(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    content, start = path.read_bytes(), header_size(path)
    last = start + STEPS * ROW
    for stored in (0, 1, 60, ROW - 4):  # the checksum, which comes last, is still missing
        row = bytes(4) + content[last + 4 : last + 4 + stored]
        path.write_bytes(content[:last] + row.ljust(ROW, b"\0") + content[last + ROW :])
        [found] = pending(tmp_path)
        assert (found.steps, found.problem) == (STEPS - 1, None)
    path.write_bytes(content[: last - ROW] + bytes(4) + content[last - ROW + 4 :])
    [found] = pending(tmp_path)  # a later row is there: it was stored, and something took it away
    assert (found.steps, found.problem) == (STEPS - 2, "damaged: step 4 does not match its checksum")


def test_a_header_that_was_cut_off_promised_no_step(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    content = path.read_bytes()
    end = content.index(b"\n") + 1
    path.write_bytes(content[: end + 20])  # killed in the second line: nothing had begun
    assert [(found.state, found.problem) for found in pending(tmp_path)] == [("empty", None)]
    path.write_bytes(content[: end - 20])
    [found] = recover(tmp_path).found
    assert (found.state, found.steps) == ("empty", 0)
    assert found.problem is not None
    assert found.quarantined == tmp_path / "quarantine" / path.name
    assert found.quarantined.read_bytes() == content[: end - 20]


def test_a_flipped_byte_anywhere_is_found_and_the_steps_before_it_come_back(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    content, start = path.read_bytes(), header_size(path)
    rng = np.random.default_rng(0)
    places = [0, start // 2, start - 1, *rng.integers(0, start, 12).tolist()]
    places += [
        start + row * ROW + at for row in range(STEPS + 1) for at in (0, 5, 8, 10, 20, 60, 137, ROW - 1)
    ]
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        [found] = pending(tmp_path)
        assert found.problem is not None, place
        assert found.steps == max(0, (place - start) // ROW - 1), place
    place = start + 4 * ROW + 60
    path.write_bytes(content[:place] + b"?" + content[place + 1 :])
    report = recover(tmp_path)
    assert report.summary() == (
        "recovered 1 episode (3 steps) of a recording that was cut off; "
        f"{path.name}: an episode of 3 steps; damaged: step 3 does not match its checksum"
    )
    [episode] = Dataset.open(tmp_path).load_all()
    assert_lived(episode, SEED)
    assert [file.name for file in (tmp_path / "quarantine").iterdir()] == [path.name]
    assert recover(tmp_path).found == ()


def test_a_row_that_is_missing_in_the_middle_ends_the_episode_there(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    content, start = path.read_bytes(), header_size(path)
    path.write_bytes(content[: start + 3 * ROW] + content[start + 4 * ROW :])
    [found] = pending(tmp_path)
    assert found.steps == 2
    assert found.problem == "damaged: step 2 does not match its checksum"


def test_a_newer_journal_is_left_to_a_newer_version(tmp_path: Path) -> None:
    from robot_orl.data.store.layout import guarded

    path = left_behind(tmp_path)
    first, rest = path.read_bytes().split(b"\n", 1)
    document = guarded({**json.loads(first), "format_version": 99})
    path.write_bytes(json.dumps(document).encode() + b"\n" + rest)
    [found] = recover(tmp_path).found
    assert found.state == "kept"
    assert found.problem is not None
    assert "format version 99; this robot_orl reads up to 1: update it" in found.problem
    assert path.exists()


def test_a_journal_of_another_task_is_left_where_it_is(tmp_path: Path) -> None:
    path = left_behind(tmp_path / "other")
    root = tmp_path / "set"
    with SegmentWriter(root, made_spec("toy_pull"), "test") as writer:
        writer.append(made_life(1)[0])
    (root / "journal").mkdir()
    path.rename(root / "journal" / path.name)
    [found] = recover(root).found
    assert found.state == "kept"
    assert "holds episodes of task toy_pull, not of toy_push" in str(found.problem)
    assert len(Dataset.open(root).records) == 1


def test_success_that_nobody_could_tell_comes_back_as_unknown(tmp_path: Path) -> None:
    spec = Spec("toy", {"o": (Signal("x"),)}, (Signal("a"),), 10, 5, cameras={"front": Camera(2, 3)})
    buffer, frame = EpisodeBuffer(spec), np.arange(18, dtype="u1").reshape(2, 3, 3)
    for flags, last, any_ in (
        ([None, None], None, None),
        ([True, None], None, True),
        ([None, False], False, False),
    ):
        journal = Journals(tmp_path, spec, "test").open(EpisodeMeta())
        assert journal is not None
        buffer.begin({"o": np.zeros(1)}, images={"front": frame}, journal=journal)
        for i, flag in enumerate(flags):
            act = Proposal(np.ones(1), Actor.POLICY)
            buffer.append(
                act, {"o": np.ones(1)}, None, False, False, i, images={"front": frame + i}, success=flag
            )
        journal.close()
        recover(tmp_path)
        dataset = Dataset.open(tmp_path)
        episode = dataset.load(dataset.records[-1])
        assert (episode.meta.success, episode.meta.success_any) == (last, any_)
        assert np.isnan(episode.reward).all()
        assert episode.sim_state is None
        np.testing.assert_array_equal(episode.images["front"], [frame, frame, frame + 1])


def test_a_journal_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    path = left_behind(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(Exception, match=rf"cannot recover {path}: {os.strerror(21)}"):
        recover(tmp_path)
