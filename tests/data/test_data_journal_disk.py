"""A disk that fills up or refuses while a journal is written: a small tmpfs that the test mounts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lives import SPEC, assert_lived, known_before, live, made_life
from made_episodes import assert_same_bits
from small_disk import small_disk

from robot_orl.data.store import BackgroundWriter, Dataset, SegmentWriter
from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.recovery import pending, recover
from robot_orl.errors import RunError

pytestmark = pytest.mark.e2e
LONG = 7  # a life of 300 steps, 46 kB of rows


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 1 MB."""
    with small_disk(tmp_path / "disk", megabytes=1) as folder:
        yield folder


def fill(disk: Path, spare: int) -> Path:
    """Leave so many bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(file.tell() - spare)
    return ballast


def test_a_full_disk_ends_the_journal_and_not_the_episode(disk: Path) -> None:
    root = disk / "set"
    journals = Journals(root, SPEC, "test")
    with BackgroundWriter(SegmentWriter(root, SPEC, "test"), journals) as writer:
        journal = writer.begin(known_before(made_life(LONG)[0].meta))
        ballast = fill(disk, 8192)
        episode = live(EpisodeBuffer(SPEC), journal, LONG)
        assert episode is not None
        assert_same_bits(episode, made_life(LONG)[0])
        assert [line.rpartition(": ")[2] for line in journals.failures] == ["No space left on device"]
        ballast.unlink()
        writer.append(episode)
    [found] = Dataset.open(root).load_all()
    assert_same_bits(found, episode)
    assert list((root / "journal").iterdir()) == []


def test_killed_on_a_full_disk_the_steps_that_fitted_come_back_once_there_is_room(disk: Path) -> None:
    root = disk / "set"
    journal = Journals(root, SPEC, "test").open(known_before(made_life(LONG)[0].meta))
    assert journal is not None
    ballast = fill(disk, 8192)
    live(EpisodeBuffer(SPEC), journal, LONG, steps=200)
    journal.close()
    [waiting] = pending(root)
    assert 10 < waiting.steps < 200
    with pytest.raises(RunError, match="No space left on device"):
        recover(root)
    assert pending(root) == (waiting,)
    ballast.unlink()
    assert [found.steps for found in recover(root).recovered] == [waiting.steps]
    [episode] = Dataset.open(root).load_all()
    assert_lived(episode, LONG)


def test_on_a_read_only_medium_what_is_pending_can_be_seen_and_recovery_says_why_it_cannot_be(
    disk: Path,
) -> None:
    root = disk / "set"
    journal = Journals(root, SPEC, "test").open(known_before(made_life(LONG)[0].meta))
    assert journal is not None
    live(EpisodeBuffer(SPEC), journal, LONG, steps=20)
    journal.close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert [found.steps for found in pending(root)] == [20]
    with pytest.raises(RunError, match=r"cannot (write|recover) .*: Read-only file system"):
        recover(root)
    journals = Journals(root, SPEC, "test")
    assert journals.open(known_before(made_life(1)[0].meta)) is None
    assert len(journals.failures) == 1
