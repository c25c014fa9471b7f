"""A full disk and a read-only medium, both real: a small tmpfs that the test mounts."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_episodes import assert_same_bits, made_episode, made_spec
from small_disk import small_disk

from robot_orl.data.store import BackgroundWriter, Dataset, SegmentWriter
from robot_orl.errors import RunError

SPEC = made_spec()
pytestmark = pytest.mark.e2e


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 1 MB."""
    with small_disk(tmp_path / "disk", megabytes=1) as folder:
        yield folder


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def fill(writer: SegmentWriter, limit: int = 200) -> int:
    """Append until the disk is full; returns how many episodes were acknowledged."""
    failure, seed = None, 0
    while failure is None and seed < limit:
        try:
            writer.append(made_episode(seed, 30))
            seed += 1
        except RunError as error:
            failure = error
    assert failure is not None
    assert failure.exit_code == 1
    assert str(failure).endswith("No space left on device; committed episodes are safe")
    assert "\n" not in str(failure)
    return seed


def assert_holds(root: Path, count: int) -> None:
    found = list(Dataset.open(root).load_all())
    assert len(found) == count
    for seed, episode in enumerate(found):
        assert_same_bits(episode, made_episode(seed, 30))


@pytest.mark.parametrize("spare", [0, 5_000, 11_000, 17_000, 23_000])
def test_a_full_disk_is_one_line_and_loses_no_committed_episode(disk: Path, spare: int) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(600_000 + spare))  # the disk fills up at different places of an append
    writer = SegmentWriter(disk / "set", SPEC, "test")
    count = fill(writer)
    writer.close()
    assert count > 2
    assert_holds(disk / "set", count)
    ballast.unlink()
    with SegmentWriter(disk / "set", SPEC, "test") as writer:  # room again: it goes on
        writer.append(made_episode(count, 30))
    assert_holds(disk / "set", count + 1)


def test_the_same_writer_goes_on_once_there_is_room_again(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(600_000))
    with SegmentWriter(disk / "set", SPEC, "test") as writer:
        count = fill(writer)
        (disk / "ballast").unlink()
        writer.append(made_episode(count, 30))
    assert_holds(disk / "set", count + 1)


def test_a_disk_that_is_full_from_the_start_leaves_no_half_dataset(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(1024 * 1024 - os.sysconf("SC_PAGESIZE") * 4))
    with pytest.raises(RunError, match="No space left"), SegmentWriter(disk / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 30))
    (disk / "ballast").unlink()
    with SegmentWriter(disk / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 30))
    assert_holds(disk / "set", 1)


def test_the_background_writer_tells_of_a_full_disk_at_the_next_append_and_at_close(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(600_000))
    writer = BackgroundWriter(SegmentWriter(disk / "set", SPEC, "test"))
    for seed in range(200):
        try:
            writer.append(made_episode(seed, 30))
        except RunError:
            break
    with pytest.raises(RunError, match=r"No space left on device.*\(\d+ episodes? not recorded\)"):
        writer.close()
    count = len(Dataset.open(disk / "set").episodes)
    assert 0 < count < 200
    assert_holds(disk / "set", count)


def test_a_read_only_medium_is_read_and_refused_for_writing_in_one_line(disk: Path) -> None:
    with SegmentWriter(disk / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 30))
    remount(disk, "ro")
    assert_holds(disk / "set", 1)
    dataset = Dataset.open(disk / "set")
    assert (dataset.info().episodes, dataset.info().writers) == (1, ())
    reason = os.strerror(errno.EROFS)
    with pytest.raises(RunError, match=f"cannot write .*: {reason}"):
        SegmentWriter(disk / "set", SPEC, "test").append(made_episode(1, 30))
    with pytest.raises(RunError, match=f"cannot write .*: {reason}"):
        SegmentWriter(disk / "new", SPEC, "test").append(made_episode(1, 30))
    with pytest.raises(RunError, match=f"cannot write .*: {reason}"):
        dataset.delete(dataset.episodes, "cannot be")
