"""The journal of the episode under way: what is in it, who holds it, and that it never stands in the way."""

import json
import os
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lives import SPEC, assert_lived, header_size, known_before, live, made_life
from made_episodes import SIM_STATE, assert_same_bits

from robot_orl.data.store import BackgroundWriter, Dataset, SegmentWriter
from robot_orl.data.store import journal as journal_module
from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journals, folder_of, row_dtype, row_fields
from robot_orl.data.store.place import Url
from robot_orl.data.store.recovery import pending, recover
from robot_orl.errors import DataError, RunError
from robot_orl.types import EpisodeMeta

ROW = 152  # bytes


def journal_files(root: Path) -> list[Path]:
    return sorted((root / "journal").iterdir())


def test_a_row_lies_as_drawn() -> None:
    dtype = row_dtype(row_fields(SPEC, SIM_STATE, images=False))
    assert dtype.names is not None
    assert dtype.names[:5] == ("crc32c", "number", "success", "obs/observation", "obs/achieved_goal")
    assert [dtype.fields[name][1] for name in dtype.names[:5]] == [0, 4, 8, 12, 32]  # type: ignore[index]
    # 44 behind the observations; 7 states of 8 bytes from 48; 3 actions of 2 and a reward of 4 bytes; 2 ends
    assert dtype.fields["sim/state"][1] == 48  # type: ignore[index]
    assert dtype.fields["steps/t_ns"][1] == 136  # type: ignore[index]
    assert dtype.itemsize == ROW


def test_the_file_holds_after_each_step_what_was_recorded_by_then(tmp_path: Path) -> None:
    seen = []
    journal = Journals(tmp_path / "set", SPEC, "test", {"speed": 2}, {"width": 8}).open(EpisodeMeta(seed=4))
    assert journal is not None
    buffer = EpisodeBuffer(SPEC, 3)
    live(buffer, journal, 4, steps=5, after_step=lambda n: seen.append(journal.path.read_bytes()))
    header, start, rows = seen[-1].split(b"\n", 2)
    end = seen[-1].index(rows) + 6 * ROW
    for step, content in enumerate(seen, 1):  # all rows so far, and zeros that make room for more
        assert content == seen[-1][: end - (5 - step) * ROW].ljust(len(content), b"\0")
    content = json.loads(header)
    assert (content["uid"], content["config"], content["env_kwargs"]) == (
        journal.uid,
        {"speed": 2},
        {"width": 8},
    )
    assert (content["meta"]["seed"], content["format_version"]) == (4, 1)
    layout = json.loads(start)
    assert (layout["sim_state_size"], layout["images"], layout["row_bytes"]) == (SIM_STATE, False, ROW)
    assert not any(rows[6 * ROW :])
    offset = next(column["offset"] for column in layout["row"] if column["name"] == "steps/t_ns")
    for number in range(6):  # by the header alone
        row = rows[number * ROW : (number + 1) * ROW]
        assert int.from_bytes(row[4:8], "little") == number
        if number:
            assert int.from_bytes(row[offset : offset + 8], "little") == made_life(4)[0].t_ns[number - 1]


def test_a_journal_does_not_change_the_episode_and_goes_once_it_is_committed(tmp_path: Path) -> None:
    root, buffer = tmp_path / "set", EpisodeBuffer(SPEC, 2)
    with BackgroundWriter(SegmentWriter(root, SPEC, "test"), Journals(root, SPEC, "test")) as writer:
        uids = []
        for seed in (1, 2):
            journal = writer.begin(known_before(made_life(seed)[0].meta))
            assert journal is not None
            uids.append(journal.uid)
            assert journal_files(root) == [journal.path]
            episode = live(buffer, journal, seed)
            assert episode is not None
            writer.append(episode)
            writer.flush()
            assert journal_files(root) == []
    dataset = Dataset.open(root)
    assert [record.uid for record in dataset.records] == uids
    for seed, found in zip((1, 2), dataset.load_all(), strict=True):
        assert_same_bits(found, made_life(seed)[0])


def test_a_journal_of_a_living_recorder_is_nobody_elses_business(tmp_path: Path) -> None:
    journals = Journals(tmp_path / "set", SPEC, "test")
    journal = journals.open(EpisodeMeta(seed=1))
    live(EpisodeBuffer(SPEC), journal, 1, steps=2)
    assert pending(tmp_path / "set") == ()
    assert journal is not None
    journal.close()
    assert [found.steps for found in pending(tmp_path / "set")] == [2]


def test_an_episode_of_no_step_leaves_no_journal_and_one_that_broke_off_leaves_its_own(
    tmp_path: Path,
) -> None:
    root = tmp_path / "set"
    with BackgroundWriter(SegmentWriter(root, SPEC, "test"), Journals(root, SPEC, "test")) as writer:
        writer.begin(EpisodeMeta(seed=1))
        writer.drop()
        assert journal_files(root) == []
        live(EpisodeBuffer(SPEC), writer.begin(EpisodeMeta(seed=2)), 2, steps=2)
        writer.begin(EpisodeMeta(seed=3))
        writer.drop()
    assert [(found.seed, found.steps) for found in pending(root)] == [(2, 2)]


def test_what_could_not_be_committed_stays_in_its_journal(tmp_path: Path) -> None:
    root = tmp_path / "set"
    writer = BackgroundWriter(SegmentWriter(root, SPEC, "test"), Journals(root, SPEC, "test"))
    for seed in (1, 2):
        episode = live(EpisodeBuffer(SPEC), writer.begin(known_before(made_life(seed)[0].meta)), seed)
        (root / "segments").touch()  # in the way
        assert episode is not None
        if seed == 1:  # the second one had no time
            writer.append(episode)
    with pytest.raises(RunError, match="cannot write"):
        writer.close()
    assert [(found.seed, found.steps) for found in pending(root)] == [(1, 2), (2, 3)]
    with pytest.raises(DataError):
        recover(root)
    (root / "segments").unlink()
    recover(root)
    for seed, found in zip((1, 2), Dataset.open(root).load_all(), strict=True):
        assert_same_bits(found, made_life(seed)[0])


def test_names_are_unique_and_in_order_whatever_the_clock_does(tmp_path: Path) -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    times = iter([noon, noon - timedelta(hours=5), noon])
    names = []
    for _ in range(3):
        journals = Journals(tmp_path, SPEC, "a b/c", now=lambda: next(times))
        opened = [journals.open(EpisodeMeta()) for _ in range(11)]
        session = [journal.path.name for journal in opened if journal is not None]
        assert session == sorted(session)
        names += session
    assert len(set(names)) == 33
    assert names[0].startswith("20300101T120000.000000Z_a-b-c_")


def test_a_folder_that_cannot_be_had_is_told_and_recording_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "set"
    with SegmentWriter(root, SPEC, "test") as writer:
        writer.append(made_life(8)[0])
    (root / "journal").write_text("in the way")
    journals = Journals(root, SPEC, "test")
    with BackgroundWriter(SegmentWriter(root, SPEC, "test"), journals) as background:
        assert background.begin(EpisodeMeta()) is None
        episode = live(EpisodeBuffer(SPEC), None, 1)
        assert episode is not None
        background.append(episode)
    assert len(Dataset.open(root).records) == 2
    told = journals.told()
    assert told is not None
    assert told.startswith(f"no journal: cannot write {root}/journal/")
    assert "\n" not in told


def test_a_journal_that_fails_is_given_up_and_the_episode_is_whole_in_ram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WINDOW_BYTES", 0)  # each row is a write
    journals = Journals(tmp_path / "set", SPEC, "test")
    journal = journals.open(known_before(made_life(5)[0].meta))
    assert journal is not None

    def break_it(step: int) -> None:
        if step == 3:
            os.dup2(os.open("/dev/full", os.O_WRONLY), journal._descriptor)

    episode = live(EpisodeBuffer(SPEC), journal, 5, after_step=break_it)
    assert episode is not None
    assert_same_bits(episode, made_life(5)[0])
    assert [line.rpartition(": ")[2] for line in journals.failures] == ["No space left on device"]


def test_a_row_that_was_written_in_part_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "WINDOW_BYTES", 0)  # each row is a write
    journals = Journals(tmp_path / "set", SPEC, "test")
    journal = journals.open(known_before(made_life(5)[0].meta))
    assert journal is not None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def room_for_half_a_row(step: int) -> None:
        """In step 4; from step 5 on there is room again."""
        size = journal.path.stat().st_size + 70 if step == 3 else limits[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    live(EpisodeBuffer(SPEC), journal, 5, after_step=room_for_half_a_row)
    journal.close()
    assert len(journals.failures) == 1
    [found] = pending(tmp_path / "set")
    assert (found.steps, found.problem) == (3, None)


@pytest.mark.parametrize("window_bytes", [0, 2 * ROW, 5 * ROW + 7, 2**19])
def test_rows_lie_without_a_gap_however_they_come_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_bytes: int
) -> None:
    monkeypatch.setattr(journal_module, "WINDOW_BYTES", window_bytes)
    journal = Journals(tmp_path, SPEC, "test").open(known_before(made_life(7)[0].meta))
    assert journal is not None
    live(EpisodeBuffer(SPEC, 4), journal, 7, steps=290)
    journal.close()
    recover(tmp_path)
    [episode] = Dataset.open(tmp_path).load_all()
    assert len(episode) == 290
    assert_lived(episode, 7)


def test_a_window_that_finds_no_room_leaves_no_gap_for_the_rows_that_still_fit(tmp_path: Path) -> None:
    journals = Journals(tmp_path, SPEC, "test")
    journal = journals.open(known_before(made_life(7)[0].meta))
    assert journal is not None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        live(EpisodeBuffer(SPEC), journal, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    size = journal.path.stat().st_size
    journal.close()
    assert len(journals.failures) == 1
    [found] = pending(tmp_path)
    assert (found.steps, found.problem) == ((size - header_size(journal.path)) // ROW - 1, None)
    assert found.steps > 100


def test_journals_of_an_object_store_lie_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = folder_of(Url("s3://bucket/a-b")), folder_of(Url("s3://bucket/a/b"))
    assert one != other
    assert one.parent.parent == tmp_path / "robot_orl"
    assert folder_of(tmp_path / "set") == tmp_path / "set" / "journal"
    assert not (tmp_path / "robot_orl").exists()
