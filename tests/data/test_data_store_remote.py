"""A dataset in an object store: a real S3-compatible server, written and read by real processes."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from children import child
from made_episodes import assert_same_bits, made_episode, made_spec
from object_store import BUCKET, object_store

from robot_orl.data.store import Dataset, SegmentWriter, remote
from robot_orl.data.store.places import place_at
from robot_orl.data.store.remote import RemotePlace
from robot_orl.errors import DataError, RunError, UsageError

pytestmark = pytest.mark.e2e
pytest.importorskip("obstore")
pytest.importorskip("moto")

RECORDER = Path(__file__).with_name("many_recorders.py")


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with object_store() as environment:
        yield environment


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}"


def test_what_was_appended_is_read_back_bit_for_bit_also_while_it_is_written(bucket: str) -> None:
    url = f"{bucket}/data/pick and würfel"
    with SegmentWriter(url, made_spec(), "test") as writer:
        for seed in range(3):
            writer.append(made_episode(seed, 20))
            during = Dataset.open(url)
            assert len(during.episodes) == seed + 1
        assert during.info().writers != ()
        with pytest.raises(DataError, match="is being written by process"):
            during.delete(during.episodes[:1], "not while it is written")
    dataset = Dataset.open(url)
    assert dataset.info().writers == ()
    assert dataset.info().unsealed == 0
    for seed, episode in enumerate(dataset.load_all()):
        assert_same_bits(episode, made_episode(seed, 20))
    assert_same_bits(dataset.load(dataset.episodes[2]), made_episode(2, 20))


def test_labels_in_an_object_store_are_changed_without_touching_arrays(bucket: str) -> None:
    url = f"{bucket}/labels"
    with SegmentWriter(url, made_spec(), "test") as writer:
        for seed in range(3):
            writer.append(made_episode(seed, 4))
    dataset = Dataset.open(url)
    dataset.delete(dataset.episodes[:1], "fell over")
    dataset.relabel(dataset.episodes[:1], "looked again", quality=0.5)
    reopened = Dataset.open(url)
    assert [record.meta.seed for record in reopened.episodes] == [1, 2]
    assert reopened.episodes[0].meta.quality == 0.5
    assert_same_bits(reopened.load(reopened.episodes[1]), made_episode(2, 4))


def test_a_long_log_is_continued_in_parts(bucket: str) -> None:
    """A line is about 1 kB, a part 64 kB: 150 short episodes need several."""
    url = f"{bucket}/long"
    with SegmentWriter(url, made_spec(), "test") as writer:
        uids = [record.uid for record in writer.extend((made_episode(seed, 1), None) for seed in range(90))]
        uids += [writer.append(made_episode(seed, 1)).uid for seed in range(90, 92)]
        uids += [record.uid for record in writer.extend((made_episode(seed, 1), None) for seed in range(80))]
    parts = Dataset.open(url).segments[0].place.child("episodes.jsonl").entries()
    assert parts == [f"{number:06d}" for number in range(len(parts))]
    assert len(parts) > 1
    assert [record.uid for record in Dataset.open(url).records] == uids


@pytest.mark.parametrize("is_remote", [False, True])
def test_four_recorders_write_one_dataset_at_once(
    bucket: str, server: dict[str, str], tmp_path: Path, is_remote: bool
) -> None:
    root = f"{bucket}/together" if is_remote else str(tmp_path / "together")
    with ExitStack() as ended:
        commands = ([sys.executable, RECORDER, root, 100 * number, 6] for number in range(4))
        recorders = [ended.enter_context(child(command, env=server)) for command in commands]
    assert [recorder.returncode for recorder in recorders] == [0, 0, 0, 0]
    dataset = Dataset.open(root)
    assert len(dataset.segments) == 4
    found = {episode.meta.seed: episode for episode in dataset.load_all()}
    expected = {100 * number + step for number in range(4) for step in range(6)}
    assert found.keys() == expected
    for seed in expected:
        assert_same_bits(found[seed], made_episode(seed, 5 + seed % 7))


def test_the_lease_of_a_killed_writer_stands_in_nobodys_way_on_its_machine(
    bucket: str, server: dict[str, str]
) -> None:
    url = f"{bucket}/killed"
    command = [sys.executable, str(RECORDER.with_name("recorder_process.py")), "append", url, "1"]
    with child(command, env=server, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "1 2\n"
        assert Dataset.open(url).info().writers == (f"process {recorder.pid} on {socket.gethostname()}",)
        recorder.kill()
    dataset = Dataset.open(url)
    assert (dataset.info().writers, dataset.info().unsealed) == ((), 1)
    dataset.delete(dataset.episodes[:1], "at once")


def test_of_a_writer_elsewhere_it_is_told_until_when_it_counts(bucket: str) -> None:
    url = f"{bucket}/elsewhere"
    with SegmentWriter(url, made_spec(), "test") as writer:
        writer.append(made_episode(0, 4))
        [segment] = Dataset.open(url).segments
        assert isinstance(segment.place, RemotePlace)
        segment.place.lease(b'{"pid": 7, "host": "robot7", "machine": "another"}')
        [told] = Dataset.open(url).info().writers
        assert re.fullmatch(r"process 7 on robot7 \(if it was killed, until \d\d:\d\d:\d\d UTC\)", told)
        segment.place.lease(b"[]")
        assert Dataset.open(url).info().writers == ()


def test_a_writer_that_was_taken_for_dead_writes_over_nothing(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{bucket}/slow"
    with SegmentWriter(url, made_spec(), "test") as writer:
        writer.append(made_episode(0, 4))
        with monkeypatch.context() as patch:
            patch.setattr(remote, "LEASE_S", -1.0)  # it pauses for long
            dataset = Dataset.open(url)
            dataset.relabel(dataset.episodes, "looked at it", quality=0.5)
        writer.append(made_episode(1, 4))
        writer.append(made_episode(2, 4))
    dataset = Dataset.open(url)
    assert [record.meta.seed for record in dataset.records] == [0, 1, 2]
    assert dataset.records[0].meta.quality == 0.5
    assert [len(segment.records) for segment in dataset.segments] == [1, 2]
    assert dataset.info().writers == ()


def test_of_two_that_want_a_lease_at_once_one_gets_it(bucket: str) -> None:
    place = place_at(f"{bucket}/leased").child("segment")
    held = place.hold()
    with pytest.raises(BlockingIOError):
        place.hold()
    assert held.renew()
    held.close()
    place.hold().close()


def test_what_is_not_there_is_told_in_one_line(bucket: str) -> None:
    with pytest.raises(DataError, match=f"no dataset at {bucket}/nothing: it does not exist"):
        Dataset.open(f"{bucket}/nothing")
    with pytest.raises(DataError, match=r"cannot read s3://nowhere/set: .*404"):
        Dataset.open("s3://nowhere/set")
    with pytest.raises(UsageError, match="name a bucket and a folder in it, such as s3://bucket/data/pick"):
        Dataset.open(bucket)
    with pytest.raises(UsageError, match=r"a dataset lies in a folder or at s3://, gs:// or az://"):
        Dataset.open("ftp://host/set")


def test_a_server_that_goes_away_fails_the_append_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        writer = SegmentWriter(f"s3://{BUCKET}/set", made_spec(), "test")
        writer.append(made_episode(0, 4))
    with pytest.raises(RunError, match=r"cannot write s3://bucket/set: .*committed episodes are safe"):
        writer.append(made_episode(1, 4))
