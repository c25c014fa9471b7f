"""Compacting frees the disk of deleted episodes; killed at any moment, none is lost or there twice."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from curation_toys import numbers, same, toy_dataset, toy_episode, toy_spec

from robot_orl.curation.compacting import compact, plan
from robot_orl.curation.labels import history
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError
from robot_orl.interrupt import Interrupted, StopFlag

PROGRAM = Path(__file__).with_name("killed_compact.py")


def test_deleted_episodes_are_gone_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2, 3], [4, 5], [6])
    first = dataset.episodes[0]
    dataset.relabel(dataset.episodes[:3], "seen", quality=0.5)
    dataset.set_rewards([(first, np.array([5, 6, 7], "f4"))], "by hand")
    dataset.relabel([first], "seen again", {"by": "ann"}, quality=0.75)
    dataset.delete(dataset.episodes[1:2], "bad")
    dataset.delete(dataset.episodes[4:], "bad")  # the whole last segment
    dataset.relabel(dataset.records[-1:], "not so bad", deleted=False)
    dataset.delete(dataset.episodes[2:4], "bad")  # the whole second one
    assert [(one.deleted, numbers(one.kept)) for one in plan(dataset)] == [(1, [1, 3]), (2, [])]
    before, told = list(dataset.load_all()), history(dataset, dataset.episodes)
    print_before, untouched = dataset.fingerprint(), dataset.segments[2].path

    gone, freed = compact(str(tmp_path / "a"), StopFlag())
    assert gone == 3
    assert freed > 0
    after = Dataset.open(tmp_path / "a")
    assert numbers(after.records) == [6, 1, 3]
    assert after.segments[0].path == untouched
    assert len(list((tmp_path / "a" / "segments").iterdir())) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    found = sorted(after.load_all(), key=lambda episode: episode.meta.seed or 0)
    assert all(map(same, found, sorted(before, key=lambda episode: episode.meta.seed or 0)))
    assert [record.uid for record in after.records] == ["u6", "u1", "u3"]
    one = after.records[1]
    assert (one.meta.quality, one.episode_return) == (0.75, 18.0)
    again = history(after, after.records)
    assert sorted(map(str, again.values())) == sorted(map(str, told.values()))  # ids differ, changes do not
    assert [change.reason for change in again[one.id]] == ["seen", "by hand", "seen again"]
    after.relabel(after.records[1:2], "back", deleted=True)
    assert len(Dataset.open(tmp_path / "a").episodes) == 2
    assert print_before != after.fingerprint()


@pytest.mark.e2e
def test_compacting_again_changes_nothing(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2])
    dataset.delete(dataset.episodes[:1], "bad")
    compact(str(tmp_path / "a"), StopFlag())
    names = sorted(entry.name for entry in (tmp_path / "a" / "segments").iterdir())
    assert compact(str(tmp_path / "a"), StopFlag()) == (0, 0)
    assert sorted(entry.name for entry in (tmp_path / "a" / "segments").iterdir()) == names


@pytest.mark.e2e
def test_nothing_is_compacted_while_somebody_writes_or_recovers(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2])
    dataset.delete(dataset.episodes[:1], "bad")
    with SegmentWriter(tmp_path / "a", toy_spec(), "toy") as writer:
        writer.append(toy_episode(3, toy_spec()))
        with pytest.raises(DataError, match=r"is being written by process \d+: wait for it"):
            compact(str(tmp_path / "a"), StopFlag())
    (tmp_path / "a" / "journal").mkdir()
    (tmp_path / "a" / "journal" / "x.steps").write_text("")
    with pytest.raises(DataError, match="holds 1 journals of episodes: repair the dataset first"):
        compact(str(tmp_path / "a"), StopFlag())
    assert len(Dataset.open(tmp_path / "a").records) == 3


@pytest.mark.e2e
def test_a_damaged_episode_that_stays_stops_it_before_anything_goes(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2])
    dataset.delete(dataset.episodes[:1], "bad")
    chunk = next((tmp_path / "a").rglob("obs/cube/c/0/0"))
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="is damaged: episode 1 cannot be read"):
        compact(str(tmp_path / "a"), StopFlag())
    chunk.write_bytes(content)
    assert numbers(Dataset.open(tmp_path / "a").records) == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_an_interruption_keeps_every_episode(tmp_path: Path) -> None:
    dataset, stop = toy_dataset(tmp_path / "a", [1, 2]), StopFlag()
    dataset.delete(dataset.episodes[:1], "bad")
    stop.requested = True
    with pytest.raises(Interrupted, match="0 of 1 segments are compacted; the same command goes on"):
        compact(str(tmp_path / "a"), stop)
    assert numbers(Dataset.open(tmp_path / "a").records) == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.e2e
def test_killed_at_any_moment_no_episode_is_lost_or_twice(tmp_path: Path) -> None:
    """The process dies just before one of its changes to the file system; all kinds and the last ones."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    killed = done.stdout.split()
    assert {f"{when}{k}" for k in range(3) for when in ("move", "after")} < set(killed)
    expected = {n: toy_episode(n, toy_spec()) for n in (1, 3, 6)}
    both = 0  # died with a segment and its successor there
    for at in killed:
        root = tmp_path / at / "set"
        dataset = Dataset.open(root)
        assert sorted(map(str, numbers(dataset.episodes))) == ["1", "3", "6"], at
        assert all(same(episode, expected[episode.meta.seed or 0]) for episode in dataset.load_all()), at
        both += len(list((root / "segments").iterdir())) > len(dataset.segments)
        compact(str(root), StopFlag())
        again = Dataset.open(root)
        assert sorted(map(str, numbers(again.records))) == ["1", "3", "6"], at
        assert all(same(episode, expected[episode.meta.seed or 0]) for episode in again.load_all()), at
        assert len(list((root / "segments").iterdir())) == len(again.segments) == 2, at
        assert [entry.name for entry in root.parent.iterdir()] == ["set"], at
    assert both == 2  # after0, move1
