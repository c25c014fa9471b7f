"""Later lines of the log override earlier ones; the figures of `info` follow them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_episodes import assert_same_bits, made_episode, made_spec, segment_folders

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.layout import FORMAT_VERSION
from robot_orl.data.store.records import encode_rewards
from robot_orl.data.store.segment import override
from robot_orl.errors import DataError
from robot_orl.types import Episode, EpisodeMeta

SPEC = made_spec()
METAS = [
    EpisodeMeta(seed=1, success=True, success_any=True, quality=0.25, operator="ann"),
    EpisodeMeta(
        seed=2, success=False, success_any=True, quality=0.75, operator="bob", end_reason="interrupt"
    ),
    EpisodeMeta(seed=3, success=False, success_any=False, operator="ann"),
]
LENGTHS = [4, 8, 6]
REWARDS = [[-1, -1, 0, 0], [-1] * 8, [0] * 6]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model") / "set"
    with SegmentWriter(root, SPEC, "test") as writer:
        for seed, (meta, length, reward) in enumerate(zip(METAS, LENGTHS, REWARDS, strict=True)):
            made = vars(made_episode(seed, length))
            writer.append(Episode(**{**made, "meta": meta, "reward": np.array(reward, "f4")}))
    return root


@pytest.fixture
def dataset(model: Path, tmp_path: Path) -> Dataset:
    """A copy that a test may relabel."""
    return Dataset.open(shutil.copytree(model, tmp_path / "set"))


def test_info_counts_what_is_in_use(dataset: Dataset) -> None:
    info = dataset.info().to_dict()
    expected = {
        "task": "toy_push",
        "episodes": 3,
        "transitions": 18,
        "success": 1 / 3,
        "success_any": 2 / 3,
        "control_hz": 25.0,
        "horizon": 50,
        "segments": 1,
        "writers": (),
        "unsealed": 0,
        "deleted": 0,
        "success_unknown": 0,
        "cameras": {},
        "operators": {
            "ann": {
                "episodes": 2,
                "transitions": 10,
                "success": 0.5,
                "quality": 0.25,
                "length": 5.0,
                "episode_return": -1.0,
            },
            "bob": {
                "episodes": 1,
                "transitions": 8,
                "success": 0.0,
                "quality": 0.75,
                "length": 8.0,
                "episode_return": -8.0,
            },
        },
        "end_reasons": {"horizon": 2, "interrupt": 1},
        "quality": {"min": 0.25, "mean": 0.5, "max": 0.75},
        "lengths": {"min": 4, "mean": 6.0, "max": 8},
        "returns": {"min": -8.0, "mean": -10 / 3, "max": 0.0},
        "format_version": FORMAT_VERSION,
    }
    assert {key: info[key] for key in expected} == expected
    files = [file for file in dataset.path.rglob("*") if file.is_file()]
    assert info["size_bytes"] == sum(file.stat().st_size for file in files)


def test_unknown_success_is_left_out_of_the_share_and_counted(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, SPEC, "test") as writer:
        for success in (True, None, False, None):
            meta = EpisodeMeta(success=success, success_any=None)
            writer.append(replace(made_episode(0, 3), meta=meta))
    info = Dataset.open(tmp_path).info()
    assert (info.success, info.success_any, info.success_unknown) == (0.5, None, 2)
    assert ("success at the last step", "50.0% (unknown of 2)") in info.rows()


def test_the_realised_rate_is_the_median_over_the_steps_and_unknown_without_times(tmp_path: Path) -> None:
    times_ns = np.array([0, 40, 80, 200, 240], "i8") * 10**6  # one gap of 120 ms among periods of 40 ms
    with SegmentWriter(tmp_path, SPEC, "test") as writer:
        records = [
            writer.append(replace(made_episode(0, 5), t_ns=times)).rate_hz
            for times in (times_ns, 2 * times_ns, np.full(5, -1, "i8"))
        ]
        records.append(writer.append(replace(made_episode(0, 1), t_ns=np.zeros(1, "i8"))).rate_hz)
    assert records == [25.0, 12.5, None, None]
    found = Dataset.open(tmp_path).info().realised_hz
    assert found is not None
    assert (found.min, found.mean, found.max) == (12.5, 18.75, 25.0)


def test_who_acted_is_known_without_reading_arrays(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, SPEC, "test") as writer:
        writer.append(replace(made_episode(0, 3), actor=np.array([2, 3, 2], "u1")))
        writer.append(replace(made_episode(0, 2), actor=np.array([255, 77], "u1")))
    assert [record.actors for record in Dataset.open(tmp_path).records] == [
        ("policy", "intervention"),
        ("unknown",),
    ]
    assert Dataset.open(tmp_path).info().actors == {"policy": 1, "intervention": 1, "unknown": 1}


def test_relabelled_rewards_replace_the_stored_ones_and_their_sum(dataset: Dataset) -> None:
    first = dataset.episodes[0]
    before = dataset.fingerprint()
    text = encode_rewards(np.array([0.5, 0.25, 0, -1], "f4"))
    override(dataset.segments[0], [{"id": first.id, "reward": text, "reason": "another reward"}])
    reopened = Dataset.open(dataset.path)
    assert reopened.load(reopened.episodes[0]).reward.tolist() == [0.5, 0.25, 0, -1]
    assert next(reopened.load_all()).reward.tolist() == [0.5, 0.25, 0, -1]
    assert reopened.episodes[0].episode_return == -0.25
    assert reopened.fingerprint() != before


def test_rewards_of_another_length_in_a_log_line_are_refused(dataset: Dataset) -> None:
    line = {"id": dataset.episodes[0].id, "reward": encode_rewards(np.zeros(5, "f4")), "reason": "?"}
    with pytest.raises(DataError, match=r"line 4 is damaged .*not 4 rewards"):
        override(dataset.segments[0], [line])
    assert dict(dataset.info().rows())["success at the last step"] == "33.3%"


def test_a_deleted_episode_is_out_of_use_until_that_is_overridden_again(dataset: Dataset) -> None:
    first, second, third = dataset.episodes
    dataset.delete([first, third], "arm hit the table")
    for seen in (dataset, Dataset.open(dataset.path)):
        assert [record.id for record in seen.episodes] == [second.id]
        assert [record.deleted for record in seen.records] == [True, False, True]
        assert [len(episode) for episode in seen.load_all()] == [8]
        assert (seen.info().episodes, seen.info().deleted, seen.info().success) == (1, 2, 0.0)
    dataset.relabel([third], "looked again", deleted=False)
    assert [record.id for record in Dataset.open(dataset.path).episodes] == [second.id, third.id]


def test_a_relabelled_episode_has_its_last_label_and_its_old_arrays(dataset: Dataset) -> None:
    second = dataset.episodes[1]
    before = dataset.load(second)
    dataset.relabel([second], "video seen", success=True, quality=0.5)
    dataset.relabel([second], "video seen twice", quality=0.9)
    reopened = Dataset.open(dataset.path)
    meta = reopened.episodes[1].meta
    assert (meta.success, meta.quality, meta.operator, meta.seed) == (True, 0.9, "bob", 2)
    assert_same_bits(
        reopened.load(reopened.episodes[1]), Episode(**{**vars(before), "meta": reopened.episodes[1].meta})
    )
    log = (segment_folders(dataset.path)[0] / "episodes.jsonl").read_text().splitlines()
    assert len(log) == 5  # the history stays
    assert '"reason":"video seen twice"' in log[4]


def test_the_fingerprint_follows_data_and_labels_but_not_the_place(dataset: Dataset, tmp_path: Path) -> None:
    print_before = dataset.fingerprint()
    assert Dataset.open(dataset.path).fingerprint() == print_before == dataset.info().fingerprint
    with SegmentWriter(tmp_path / "copy", SPEC, "elsewhere") as writer:
        for episode in dataset.load_all():
            writer.append(episode)
    assert Dataset.open(tmp_path / "copy").fingerprint() == print_before
    dataset.relabel(dataset.episodes[:1], "doubt", quality=0.1)
    relabelled = dataset.fingerprint()
    dataset.delete(dataset.episodes[:1], "worse than thought")
    assert len({print_before, relabelled, dataset.fingerprint()}) == 3


def test_labels_wait_until_the_segment_is_no_longer_written(dataset: Dataset) -> None:
    with SegmentWriter(dataset.path, SPEC, "test") as writer:
        writer.append(made_episode(9, 4))
        during = Dataset.open(dataset.path)
        with pytest.raises(DataError, match=r"is being written by process \d+: wait for it"):
            during.delete(during.episodes[-1:], "too early")
        during.delete(during.episodes[:1], "another segment: fine")
    assert len(Dataset.open(dataset.path).episodes) == 3


def test_an_override_repairs_a_torn_line_before_it_adds_its_own(dataset: Dataset) -> None:
    log = segment_folders(dataset.path)[0] / "episodes.jsonl"
    log.write_bytes(log.read_bytes() + b'{"id":"torn')
    dataset.delete(dataset.episodes[:1], "slipped")
    assert len(Dataset.open(dataset.path).episodes) == 2
    assert b"torn" not in log.read_bytes()
