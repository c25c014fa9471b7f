"""What a supervisor did survives whatever is done to a dataset."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from curation_toys import numbers, same, toy_episode, toy_spec

from robot_orl.curation.checking.mending import Mending
from robot_orl.curation.checking.repair import make_plan
from robot_orl.curation.checking.verify import verify
from robot_orl.curation.compacting import compact
from robot_orl.curation.copying import Copying, copy
from robot_orl.curation.merging import unite
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.places import place_at
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.types import Episode

SPEC = toy_spec()
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def episode(number: int) -> Episode:
    """Those of even numbers were supervised."""
    made = toy_episode(number, SPEC)
    return replace(made, safety=np.array([0, number, 1 << 14], "u2")) if number % 2 == 0 else made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Segments of episodes 0, 2 and of 1, 3."""
    with SegmentWriter(tmp_path / "set", SPEC, "toy") as writer:
        list(writer.extend((episode(n), f"u{n}") for n in (0, 2, 1, 3)))
    return tmp_path / "set"


def assert_holds(root: Path, *kept: int) -> None:
    dataset = Dataset.open(root)
    assert sorted(numbers(dataset.episodes)) == sorted(kept)  # type: ignore[type-var]
    for record, found in zip(dataset.episodes, dataset.load_all(verify=True), strict=True):
        assert same(found, episode(record.meta.seed or 0))
    assert list(verify(place_at(root)).findings) == []


def test_it_is_verified_like_any_array(root: Path) -> None:
    assert_holds(root, 0, 1, 2, 3)
    (file,) = root.glob("segments/*/steps/safety/c/0")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "steps/safety" in " ".join(map(str, verify(place_at(root)).findings))


@pytest.mark.parametrize("part", ["steps/safety/zarr.json", "zarr.json"])
def test_a_repair_keeps_it(root: Path, part: str) -> None:
    """With a damaged array's metadata, and with the segment's attributes lost."""
    segment = Dataset.open(root).segments[0]
    file = root / "segments" / segment.path.name / part
    document = json.loads(file.read_bytes())
    document["attributes"] = {"broken": True}
    file.write_text(json.dumps(document))
    Mending(make_plan(root), NOW).run()
    assert_holds(root, 0, 1, 2, 3)
    assert sum(bool(s.attributes.get("safety_bits")) for s in Dataset.open(root).segments) == 1


def test_compacting_keeps_it(root: Path) -> None:
    dataset = Dataset.open(root)
    dataset.delete([record for record in dataset.episodes if record.meta.seed in (0, 1)], "bad")
    assert compact(str(root), StopFlag())[0] == 2
    assert_holds(root, 2, 3)


def test_copies_and_unions_keep_it(root: Path, tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "other", SPEC, "toy") as writer:
        list(writer.extend((episode(n), f"u{n}") for n in (2, 4)))
    sources = [Dataset.open(root), Dataset.open(tmp_path / "other")]
    union = unite(sources)
    for source, chosen in zip(sources, union.chosen, strict=True):
        how = Copying("toy", StopFlag(), Bar("copy", len(chosen)))
        copy(source, chosen, tmp_path / "all", how, union.spec)
    assert_holds(tmp_path / "all", 0, 1, 2, 3, 4)
