"""Datasets of an older format, and tasks whose observations changed between two recordings."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_episodes import SIM_STATE, assert_same_bits, made_episode, made_spec, segment_folders

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.layout import guarded
from robot_orl.errors import DataError
from robot_orl.types import Camera, Signal, Spec

VERSION_1 = Path(__file__).with_name("version_1")  # made by the release that wrote format version 1
SPEC = made_spec()


def with_force() -> Spec:
    """The same task, now also showing a force."""
    return replace(SPEC, observation={**SPEC.observation, "force": (Signal("force_z", "N"),)})


def test_format_version_1_is_read_as_it_was_written() -> None:
    dataset = Dataset.open(VERSION_1)
    assert [record.deleted for record in dataset.records] == [False, False, True]
    first, second = dataset.load_all()
    expected = made_episode(0, 4)
    assert_same_bits(first, replace(expected, meta=replace(expected.meta, quality=0.5)))  # relabelled
    assert_same_bits(second, made_episode(1, 5))
    # what version 1 did not keep is unknown
    assert {(r.uid, r.actors, r.rate_hz) for r in dataset.records} == {(None, None, None)}
    assert dataset.info().format_version == 1


def test_a_run_trained_on_format_version_1_still_finds_its_data_unchanged() -> None:
    assert Dataset.open(VERSION_1).fingerprint() == (
        "0a3113d761c5eee5e03c3e7c4de4d5f70babc366d2ed4859869aa34470122b0f"  # as version 1 computed it
    )


def test_format_version_1_is_continued_and_its_labels_can_change(tmp_path: Path) -> None:
    root = shutil.copytree(VERSION_1, tmp_path / "set")
    with SegmentWriter(root, SPEC, "test") as writer:
        writer.append(made_episode(7, 3))
    dataset = Dataset.open(root)
    dataset.relabel(dataset.episodes[1:2], "looked again", quality=0.25)
    assert [record.meta.seed for record in dataset.episodes] == [0, 1, 7]
    assert Dataset.open(root).episodes[1].meta.quality == 0.25
    assert dataset.info().format_version == 2


def test_a_task_that_shows_more_than_before_adds_to_the_same_dataset(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, SPEC, "before") as writer:
        writer.append(made_episode(0, 3))
    with SegmentWriter(tmp_path, with_force(), "after") as writer:
        writer.append(made_episode(1, 3, spec=with_force()))
    dataset = Dataset.open(tmp_path)
    assert dataset.spec == SPEC
    _, second = dataset.load_all()
    assert list(second.obs) == list(SPEC.observation)  # what the dataset began with
    more = made_episode(1, 3, spec=with_force())
    assert_same_bits(second, replace(more, obs={key: more.obs[key] for key in SPEC.observation}))
    assert (segment_folders(tmp_path)[1] / "obs" / "force" / "c" / "0" / "0").exists()  # and is not lost


def test_a_task_that_shows_less_than_before_is_refused_by_name(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, with_force(), "before") as writer:
        writer.append(made_episode(0, 3, spec=with_force()))
    with pytest.raises(DataError, match="of another spec: observation 'force' differ"):
        SegmentWriter(tmp_path, SPEC, "after")
    other = replace(SPEC, observation={**SPEC.observation, "force": (Signal("force_z", "lbf"),)})
    with pytest.raises(DataError, match="of another spec: observation 'force' differ"):
        SegmentWriter(tmp_path, other, "after")


def test_a_camera_of_another_size_is_another_spec(tmp_path: Path) -> None:
    front = replace(SPEC, cameras={"front": Camera(4, 6)})
    with SegmentWriter(tmp_path, front, "before") as writer:
        writer.append(made_episode(0, 3, spec=front))
    with pytest.raises(DataError, match="of another spec: cameras 'front' differ"):
        SegmentWriter(tmp_path, replace(SPEC, cameras={"front": Camera(6, 4)}), "after")
    assert_same_bits(
        Dataset.open(tmp_path).load(Dataset.open(tmp_path).episodes[0]), made_episode(0, 3, spec=front)
    )


def test_a_frame_of_the_wrong_shape_or_type_is_refused_and_what_was_committed_stays(tmp_path: Path) -> None:
    front = replace(SPEC, cameras={"front": Camera(4, 6)})
    good = made_episode(0, 3, spec=front)
    with SegmentWriter(tmp_path, front, "test") as writer:
        writer.append(good)
        for frames, message in (
            (
                good.images["front"][:, :3],
                r"obs/images/front has shape \(4, 3, 6, 3\); expected \(4, 4, 6, 3\)",
            ),
            (good.images["front"].astype("f4"), "obs/images/front is float32; expected uint8"),
        ):
            with pytest.raises(DataError, match=message):
                writer.append(replace(good, images={"front": frames}))
        writer.append(good)
    assert len(Dataset.open(tmp_path).episodes) == 2


def test_a_declared_row_wider_than_any_sensor_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """A hand-made file, all its checksums right: 10^12 numbers of simulator state per step."""
    with SegmentWriter(tmp_path, SPEC, "test") as writer:
        writer.append(made_episode(0, 3))
    [segment] = segment_folders(tmp_path)
    document = json.loads((segment / "zarr.json").read_text())
    assert document["attributes"]["sim_state_size"] == SIM_STATE
    document["attributes"] = guarded({**document["attributes"], "sim_state_size": 10**12})
    (segment / "zarr.json").write_text(json.dumps(document))
    dataset = Dataset.open(tmp_path)
    with pytest.raises(DataError, match=r"sim/state has rows of \(1000000000000,\) float64: more than"):
        dataset.load(dataset.episodes[0])


@pytest.mark.parametrize("name", ["a/b", "..", "images", "", "a:b"])
def test_a_key_that_cannot_name_an_array_is_refused(tmp_path: Path, name: str) -> None:
    spec = replace(SPEC, observation={**SPEC.observation, name: (Signal("x"),)})
    with pytest.raises(DataError, match=f"'{name}' cannot name an observation or a camera"):
        SegmentWriter(tmp_path / "set", spec, "test").append(made_episode(0, 3, spec=spec))
    assert not (tmp_path / "set").exists()


def test_a_dataset_inside_a_dataset_is_refused(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 3))
    (tmp_path / "link").symlink_to(tmp_path / "set")
    for inner in ("set/inner", "set/segments/inner", "link/inner"):
        with pytest.raises(DataError, match=f"inner lies inside the dataset {tmp_path}/set: choose another"):
            SegmentWriter(tmp_path / inner, SPEC, "test")
    with SegmentWriter(tmp_path / "link", SPEC, "through a link to the dataset itself") as writer:
        writer.append(made_episode(1, 3))
    assert len(Dataset.open(tmp_path / "set").episodes) == 2


def test_many_short_episodes_are_committed_together_and_read_back(tmp_path: Path) -> None:
    count = 1200  # more than two groups
    with SegmentWriter(tmp_path, SPEC, "test") as writer:
        records = list(writer.extend((made_episode(seed, 1), f"uid-{seed}") for seed in range(count)))
    assert [record.uid for record in records] == [f"uid-{seed}" for seed in range(count)]
    dataset = Dataset.open(tmp_path)
    assert [(r.index, r.start, r.length) for r in dataset.episodes] == [(i, i, 1) for i in range(count)]
    for seed, episode in enumerate(dataset.load_all()):
        assert_same_bits(episode, made_episode(seed, 1))


def test_a_group_in_which_one_episode_does_not_fit_leaves_the_groups_before(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, SPEC, "test")
    episodes = [made_episode(seed, 1) for seed in range(600)]
    episodes[550] = replace(episodes[550], action=episodes[550].action[:, :1])
    with pytest.raises(DataError, match="steps/action has shape"):
        list(writer.extend((episode, None) for episode in episodes))
    writer.close()
    assert len(Dataset.open(tmp_path).episodes) == 512


def test_a_robot_without_actions_has_rows_of_no_width(tmp_path: Path) -> None:
    watched = replace(SPEC, action=())
    with SegmentWriter(tmp_path, watched, "test") as writer:
        writer.append(made_episode(0, 3, spec=watched))
        writer.append(made_episode(1, 4, spec=watched))
    dataset = Dataset.open(tmp_path)
    for seed, episode in enumerate(dataset.load_all()):
        assert episode.action.shape == (3 + seed, 0)
        assert_same_bits(episode, made_episode(seed, 3 + seed, spec=watched))
    assert_same_bits(dataset.load(dataset.episodes[1]), made_episode(1, 4, spec=watched))
