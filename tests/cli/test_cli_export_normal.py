"""Which of a run's episodes are normal, and set the alarm of its bundle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot_orl.commands import export
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.types import Episode, EpisodeMeta, Signal, Spec

SPEC = Spec("toy", {"x": (Signal("x", "m"),)}, (Signal("a", "1", -1, 1),), 10.0, horizon=5)


def dataset(path: Path, *episodes: tuple[float, bool | None]) -> Dataset:
    """Episodes of one step that stay at x, and whether they went well."""
    zeros = np.zeros((1, 1), np.float32)
    no = np.zeros(1, bool)
    with SegmentWriter(path, SPEC, "test") as writer:
        for x, success in episodes:
            writer.append(
                Episode(
                    obs={"x": np.full((2, 1), x, np.float32)},
                    action=zeros,
                    action_policy=zeros,
                    action_operator=zeros,
                    reward=np.zeros(1, np.float32),
                    terminated=no,
                    truncated=~no,
                    t_ns=np.zeros(1, np.int64),
                    actor=np.zeros(1, np.uint8),
                    sim_state=None,
                    meta=replace(EpisodeMeta(), success=success, end_reason="horizon"),
                )
            )
    return Dataset.open(path)


def normal(*datasets: Dataset) -> list[float]:
    return sorted(float(flat[0, 0]) for flat in export._normal(datasets, SPEC))


def test_failures_of_one_dataset_are_not_normal_where_another_has_successes(tmp_path: Path) -> None:
    good = dataset(tmp_path / "good", (1, True), (2, False), (3, True))
    bad = dataset(tmp_path / "bad", (4, False), (5, False))
    assert normal(good, bad) == [1, 3]
    assert normal(bad) == [4, 5]  # nothing is known to go well


def test_each_dataset_gives_its_latest_episodes_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dataset(tmp_path / "one", *((x, True) for x in range(4)))
    other = dataset(tmp_path / "other", *((x, True) for x in range(10, 14)))
    few = dataset(tmp_path / "few", (20, True))
    assert len(normal(one, other, few)) == 9
    monkeypatch.setattr(export, "MOST", 5)
    assert normal(one, other, few) == [2, 3, 12, 13, 20]
