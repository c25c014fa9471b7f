"""What a supervisor did goes to every format and comes back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from finite_episodes import assert_returned, exported, finite_episode, imported

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError
from robot_orl.interop.base import left_out, names
from robot_orl.types import Episode
from tests.data.made_episodes import made_spec

FORMATS = sorted({*names("write")} - {"video"})


Stored = tuple[Dataset, list[Episode]]


def dataset(root: Path, *is_supervised: bool) -> Stored:
    """An episode for each, in this order."""
    spec = made_spec()
    episodes = [finite_episode(spec, seed, length=3) for seed in range(len(is_supervised))]
    for seed, watched in enumerate(is_supervised):
        if watched:
            episodes[seed] = replace(episodes[seed], safety=np.array([0, seed, 1 << 14], "u2"))
    with SegmentWriter(root, spec, "deploy") as writer:
        list(writer.extend((episode, None) for episode in episodes))
    return Dataset.open(root), episodes


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return dataset(tmp_path_factory.mktemp("watched") / "set", True, True)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return dataset(tmp_path_factory.mktemp("mixed") / "set", False, True, False)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_brings_it_back(tmp_path: Path, watched: Stored, name: str) -> None:
    stored, episodes = watched
    _, found = imported(name.split("_")[0], exported(name, stored, tmp_path / "x-v0"))
    assert_returned(found, episodes)


@pytest.mark.parametrize("name", FORMATS)
def test_where_only_some_have_it_each_format_keeps_what_it_can(
    tmp_path: Path, mixed: Stored, name: str
) -> None:
    """D4RL has one array for all episodes, so there it is left out."""
    stored, episodes = mixed
    _, found = imported(name.split("_")[0], exported(name, stored, tmp_path / "x-v0"))
    expected = [replace(e, safety=None) for e in episodes] if name == "d4rl" else episodes
    assert_returned(found, expected)


def test_an_export_says_where_it_leaves_out_what_the_supervisor_did(watched: Stored, mixed: Stored) -> None:
    lost = {name: left_out(name, mixed[0]) for name in FORMATS}
    assert lost.pop("d4rl") == "what the supervisor did (safety), which 1 of 3 episodes tell"
    assert set(lost.values()) == {None}
    assert left_out("d4rl", watched[0]) is None


def test_a_lerobot_export_from_before_there_were_supervisors_is_read(tmp_path: Path, mixed: Stored) -> None:
    stored, episodes = mixed
    path = exported("lerobot", stored, tmp_path / "x")
    (file,) = path.glob("meta/robot_orl/chunk-*/file-*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["safety"]), file)
    assert_returned(imported("lerobot", path)[1], [replace(e, safety=None) for e in episodes])


@pytest.mark.parametrize("masks", [np.array([0.5, 1, 2]), np.array([-1, 0, 0]), np.array([0, 0, 70_000])])
def test_masks_that_are_none_are_refused(tmp_path: Path, masks: np.ndarray) -> None:
    rows = {"obs/arm": np.zeros((4, 1)), "actions": np.zeros((3, 1)), "episode_ends": np.array([3])}
    np.savez(tmp_path / "x.npz", **rows, safety=masks, control_hz=20, task="arm")
    with pytest.raises(DataError, match=r"'safety' holds .*; expected masks of 16 bits"):
        imported("npz", tmp_path / "x.npz")
