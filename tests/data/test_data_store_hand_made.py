"""Files whose checksums are right and whose content is not: made by hand, or by a caller's mistake."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_episodes import made_episode, made_spec, segment_folders

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.layout import guarded, node_checksum
from robot_orl.data.store.records import from_line, to_line
from robot_orl.errors import DataError
from robot_orl.types import EpisodeMeta

SPEC = made_spec()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one segment with two episodes."""
    folder = tmp_path_factory.mktemp("sealed")
    with SegmentWriter(folder, SPEC, "test") as writer:
        for seed in range(2):
            writer.append(made_episode(seed, 5))
    return folder


@pytest.fixture
def root(sealed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(sealed, tmp_path / "set")


def change_line(root: Path, number: int, **changes: Any) -> None:
    log = segment_folders(root)[0] / "episodes.jsonl"
    contents = [from_line(line) or {} for line in log.read_bytes().splitlines()]
    contents[number] |= changes
    log.write_bytes(b"".join(map(to_line, contents)))


def change_attributes(root: Path, **changes: Any) -> None:
    file = segment_folders(root)[0] / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"] = guarded({**document["attributes"], **changes})
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        {"length": 0},
        {"length": -5},
        {"length": "5"},
        {"length": float("inf")},
        {"id": None},
        {"id": "somewhere:-1"},
        {"crc32c": None},
        {"crc32c": {"steps/reward": "x"}},
        {"quality": "high"},
        {"operator": []},
        {"reset_options": 3},
        {"rate_hz": "fast"},
        {"actors": 7},
        {"uid": 1},
        {"return": "none"},
    ],
    ids=str,
)
def test_a_value_that_no_writer_writes_makes_the_line_damaged(root: Path, change: dict[str, Any]) -> None:
    change_line(root, 1, **change)
    with pytest.raises(DataError, match=r"episodes.jsonl: line 2 is damaged"):
        Dataset.open(root)


def test_a_huge_declared_length_is_refused_before_memory_is_reserved(root: Path) -> None:
    change_attributes(root, sealed=False)
    change_line(root, 1, length=10**12)
    dataset = Dataset.open(root)
    with pytest.raises(DataError, match=r"steps/reward/zarr.json is damaged: it says \(10,\)"):
        dataset.check_extent()
    with pytest.raises(DataError, match=r"zarr.json is damaged"):
        list(dataset.load_all())
    dataset.choose(dataset.records[:1]).check_extent()


@pytest.mark.parametrize("shape", [[], [2, 3], [10**15], None, "x"], ids=str)
def test_an_array_of_another_shape_than_the_spec_says_is_refused(root: Path, shape: object) -> None:
    file = segment_folders(root)[0] / "steps" / "reward" / "zarr.json"
    document = json.loads(file.read_text())
    document["shape"] = shape
    file.write_text(json.dumps(document))
    nodes = Dataset.open(root).segments[0].attributes["nodes"]
    change_attributes(root, sealed=False, nodes={**nodes, "steps/reward": node_checksum(document)})
    dataset = Dataset.open(root)
    if shape == [10**15]:  # nobody asks for more rows than the log tells of
        assert len(list(dataset.load_all())) == 2
        return
    with pytest.raises(DataError, match=r"steps/reward/zarr.json is damaged"):
        list(dataset.load_all())


@pytest.mark.parametrize(
    "change", [{"nodes": None}, {"packages": 3}, {"sealed": "yes"}, {"steps": []}], ids=str
)
def test_an_attribute_of_another_kind_is_refused_by_name(root: Path, change: dict[str, Any]) -> None:
    change_attributes(root, **change)
    with pytest.raises(DataError, match=rf"zarr.json is damaged: {next(iter(change))} is "):
        Dataset.open(root)


def test_what_could_not_be_read_again_is_not_written(root: Path) -> None:
    dataset = Dataset.open(root)
    with pytest.raises(DataError, match=r"cannot be changed: quality is 'high'"):
        dataset.relabel(dataset.episodes, "by mistake", quality="high")
    with SegmentWriter(root, SPEC, "test") as writer:
        with pytest.raises(DataError, match="an episode whose operator is 3 cannot be recorded"):
            writer.append(replace(made_episode(2, 5), meta=EpisodeMeta(operator=3)))  # type: ignore[arg-type]
        numbers: Any = {"seed": np.int64(4), "quality": np.float32(0.5), "success": np.bool_(True)}
        writer.append(replace(made_episode(2, 5), meta=EpisodeMeta(**numbers)))
    meta = Dataset.open(root).records[-1].meta
    assert (meta.seed, meta.quality, meta.success) == (4, 0.5, True)
