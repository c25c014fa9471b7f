"""Copies, parts and unions: every bit of an episode, each once, and all of it or nothing."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from curation_toys import files, numbers, same, toy_dataset, toy_episode, toy_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_orl.curation.copying import Copying, NewFolder, copy
from robot_orl.curation.dividing import check_parts, divide
from robot_orl.curation.merging import unite
from robot_orl.data.store import Dataset, EpisodeRecord, SegmentWriter, blocks
from robot_orl.data.store.places import place_at
from robot_orl.errors import DataError, UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.progress import Bar
from robot_orl.types import Camera, EpisodeMeta, Spec


def made(
    dataset: Dataset,
    records: Sequence[EpisodeRecord],
    out: Path,
    spec: Spec | None = None,
    stop: StopFlag | None = None,
) -> Dataset:
    """A copy, as the tools make it."""
    how = Copying("toy", stop or StopFlag(), Bar("copy", len(records)), told={"where": "some"})
    with NewFolder(str(out), [dataset.path]) as draft:
        copy(dataset, records, draft, how, spec)
    return Dataset.open(out)


def test_a_copy_is_the_episode_with_its_uid_labels_and_segment(tmp_path: Path) -> None:
    spec = toy_spec(cameras={"top": Camera(4, 5)})
    source = toy_dataset(tmp_path / "a", [1, 2, 3], [4, 5], spec=spec)
    source.relabel(source.episodes[2:3], "seen", quality=0.25)
    source.set_rewards([(source.episodes[4], np.array([7, 8, 9], "f4"))], "by hand")
    source.delete(source.episodes[:1], "bad")
    before = files(tmp_path / "a")
    found = made(source, source.episodes[1:], tmp_path / "b")
    assert files(tmp_path / "a") == before
    assert numbers(found.records) == [3, 4, 5]
    assert [record.uid for record in found.records] == ["u3", "u4", "u5"]
    assert all(
        map(same, found.load_all(images=True), source.choose(source.episodes[1:]).load_all(images=True))
    )
    assert found.episodes[0].meta.quality == 0.25
    assert found.load(found.episodes[2]).reward.tolist() == [7, 8, 9]
    assert [s.attributes["env_kwargs"] for s in found.segments] == [{"part": 0}, {"part": 1}]
    config = found.segments[1].attributes["config"]
    assert (config["where"], config["copied_from"]["segment"]) == ("some", source.segments[1].path.name)
    assert found.segments[1].attributes["packages"] == source.segments[1].attributes["packages"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.e2e
def test_blocks_read_what_single_loads_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = toy_dataset(tmp_path / "a", range(9))
    wanted = [source.records[i] for i in (0, 1, 4, 5, 8)]
    for size in (1, 200):  # singly; three at a time
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        found = made(source, wanted, tmp_path / f"b{size}")
        assert all(map(same, found.load_all(), map(source.load, wanted)))


@pytest.mark.e2e
def test_a_segment_keeps_what_others_lack(tmp_path: Path) -> None:
    rich = toy_spec("arm", "cube", "extra")
    toy_dataset(tmp_path / "a", [1])
    with SegmentWriter(tmp_path / "a", rich, "toy") as writer:
        writer.append(toy_episode(2, rich))
    source = Dataset.open(tmp_path / "a")
    found = made(source, source.episodes, tmp_path / "b")
    assert found.spec == toy_spec()
    assert "obs/extra" in found.episodes[1].crc32c
    assert [list(episode.obs) for episode in found.load_all()] == [["arm", "cube"]] * 2


def test_a_damaged_episode_ends_the_copy_and_leaves_nothing(tmp_path: Path) -> None:
    source = toy_dataset(tmp_path / "a", [1, 2], [3, 4])
    chunk = source.segments[1].place.path / "obs" / "cube" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"obs/cube/c/0/0 is damaged: episode 0 cannot be read"):
        made(source, source.episodes, tmp_path / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert numbers(made(source, source.episodes[:2], tmp_path / "b").episodes) == [1, 2]  # intact ones


def test_an_interrupted_copy_leaves_nothing(tmp_path: Path) -> None:
    source, stop = toy_dataset(tmp_path / "a", [1, 2]), StopFlag()
    stop.requested = True
    with pytest.raises(Interrupted, match="nothing was made"):
        made(source, source.episodes, tmp_path / "b", stop=stop)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.e2e
def test_a_copy_replaces_nothing_and_lies_beside_its_source(tmp_path: Path) -> None:
    source = toy_dataset(tmp_path / "deep" / "a", [1])
    (tmp_path / "file").write_text("")
    for out, message in (
        (source.path / "b", "lies inside the dataset"),
        (source.path, "lies inside the dataset"),
        (tmp_path / "deep", r"the dataset .*/a lies inside out="),
        (tmp_path / "file", "exists already"),
    ):
        with pytest.raises(UsageError, match=message):
            made(source, source.episodes, Path(out))
    (tmp_path / "empty").mkdir()
    assert len(made(source, source.episodes, tmp_path / "empty").episodes) == 1
    other = toy_dataset(tmp_path / "other", [2])
    with pytest.raises(DataError, match="lies inside the dataset"):
        made(source, source.episodes, Path(other.path) / "b")


@pytest.mark.e2e
def test_what_a_killed_copy_left_is_begun_anew_but_not_while_it_runs(tmp_path: Path) -> None:
    source = toy_dataset(tmp_path / "a", [1, 2])
    toy_dataset(tmp_path / ".b.partial", [7])
    assert numbers(made(source, source.episodes, tmp_path / "b").episodes) == [1, 2]
    with NewFolder(str(tmp_path / "c")), pytest.raises(UsageError, match=r"/c is being made by process \d+"):
        made(source, source.episodes, tmp_path / "c")


# Parts


def record(number: int, uid: str | None = None, segment: str = "s") -> EpisodeRecord:
    sums = {"obs/arm": number, "steps/reward": 0}
    return EpisodeRecord(segment, 0, 0, 3, 0.0, EpisodeMeta(seed=number), sums, uid=uid or f"u{number}")


@settings(max_examples=50, deadline=None, database=None)
@given(st.integers(5, 60), st.integers(0, 5), st.sampled_from([(0.8, 0.2), (0.5, 0.3, 0.2)]), st.randoms())
def test_every_episode_comes_into_one_part_whatever_their_order(
    count: int, seed: int, shares: tuple[float, ...], shuffler: random.Random
) -> None:
    records, names = [record(i) for i in range(count)], [f"p{i}" for i in range(len(shares))]
    parts = divide(records, shares, names, seed)
    assert sorted(numbers([r for part in parts.values() for r in part])) == list(range(count))
    for name, share in zip(names, shares, strict=True):
        assert abs(len(parts[name]) - share * count) <= 1
        assert numbers(parts[name]) == sorted(numbers(parts[name]))
    shuffler.shuffle(records)
    moved = [replace(r, segment="t", index=i, uid=None) for i, r in enumerate(records)]
    again = divide(moved, shares, names, seed)
    assert {n: set(numbers(p)) for n, p in again.items()} == {n: set(numbers(p)) for n, p in parts.items()}


def test_the_seed_decides_and_equal_episodes_stay_together() -> None:
    records = [record(i) for i in range(40)]
    parts = [numbers(divide(records, (0.5, 0.5), ("a", "b"), seed)["a"]) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    twice = [record(i // 2, uid=f"v{i}") for i in range(40)]
    for seed in range(5):
        found = divide(twice, (0.3, 0.7), ("a", "b"), seed)
        assert not set(numbers(found["a"])) & set(numbers(found["b"]))


@pytest.mark.parametrize(
    ("shares", "names", "message"),
    [
        ([1.0], ["a"], "need two or more entries"),
        ([0.5, 0.5], ["a"], "need two or more entries, as many of each"),
        ([0.5, 0.6], ["a", "b"], "with the sum 1"),
        ([1.5, -0.5], ["a", "b"], "are not positive numbers"),
        ([0.5, float("nan")], ["a", "b"], "are not positive numbers"),
        ([0.5, 0.5], ["a", "a"], "cannot name folders"),
        ([0.5, 0.5], ["a", "../b"], "cannot name folders"),
        ([0.5, 0.5], ["a", ".."], "cannot name folders"),
    ],
)
def test_parts_that_cannot_be_are_refused(shares: list[float], names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_parts(shares, names)


def test_a_part_without_an_episode_is_refused() -> None:
    with pytest.raises(UsageError, match=r"of 2 episodes none is left for b: change shares="):
        divide([record(1), record(2)], (0.9, 0.1), ("a", "b"), 0)


# Unions


def test_a_union_holds_each_episode_once(tmp_path: Path) -> None:
    one, other = toy_dataset(tmp_path / "a", [1, 2, 3]), toy_dataset(tmp_path / "b", [3, 4])
    copied_elsewhere = toy_dataset(tmp_path / "c", [2, 5], uids="other")  # 2: equal content, other uid
    other.relabel(other.episodes[:1], "seen", quality=0.5)
    one.delete(one.episodes[:1], "bad")
    union = unite([one, other, copied_elsewhere])
    assert [numbers(part) for part in union.chosen] == [[2, 3], [4], [5]]
    assert (union.repeated, union.disagreeing, union.left_out) == (2, 1, [])


@pytest.mark.e2e
def test_rewards_do_not_make_an_episode_another_one(tmp_path: Path) -> None:
    one = toy_dataset(tmp_path / "a", [1])
    one.set_rewards([(one.episodes[0], np.zeros(3, "f4"))], "why not")
    copied = made(one, one.episodes, tmp_path / "b")
    renamed = Dataset(copied.place, copied.spec, copied.segments)
    renamed.segments[0].records[0] = replace(copied.records[0], uid=None)
    assert unite([toy_dataset(tmp_path / "c", [1], uids="v"), renamed]).repeated == 1


@pytest.mark.e2e
def test_a_union_has_what_all_share_and_says_what_is_left_out(tmp_path: Path) -> None:
    top = {"top": Camera(4, 5)}
    one = toy_dataset(tmp_path / "a", [1], spec=toy_spec("arm", "cube", "extra", cameras=top, horizon=5))
    other = toy_dataset(tmp_path / "b", [2], spec=toy_spec("cube", "arm", cameras={"top": Camera(4, 6)}))
    union = unite([one, other])
    assert list(union.spec.observation) == ["arm", "cube"]  # in the order of the first
    assert (dict(union.spec.cameras), union.spec.horizon) == ({}, 9)
    assert union.left_out == [
        f"observation 'extra': not in {tmp_path}/b",
        "camera 'top': it is not the same in all of them",
    ]
    out = tmp_path / "m"
    how = Copying("merge", StopFlag(), Bar("copy", 2))
    with NewFolder(str(out)) as draft:
        for source, records in zip([one, other], union.chosen, strict=True):
            copy(source, records, draft, how, union.spec)
    found = list(Dataset.open(out).load_all(images=True))
    assert [list(episode.obs) for episode in found] == [["arm", "cube"]] * 2
    assert found[1].obs["arm"].tobytes() == other.load(other.episodes[0]).obs["arm"].tobytes()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(toy_spec(), task="other"), "task differ"),
        (replace(toy_spec(), control_hz=20.0), "control_hz differ"),
        (toy_spec("wrist"), "share too few observations"),
        (toy_spec(width=3), "share too few observations"),
    ],
)
def test_what_cannot_be_united_is_refused(tmp_path: Path, spec: Spec, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unite([Dataset(place_at(tmp_path / name), one, []) for name, one in (("a", toy_spec()), ("b", spec))])
