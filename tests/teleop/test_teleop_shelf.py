"""What a session keeps, and takes back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from teleop_toys import reach

from data_collection.teleop.shelf import TAKEN_BACK, Shelf
from robot_orl.data.store.reader import Dataset
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, EpisodeMeta, Proposal


@pytest.mark.e2e
def test_what_is_taken_back_is_the_latest_even_of_a_start_that_was_recorded_before(tmp_path: Path) -> None:
    """As after a kill: its episode came back as 'crash', and its start was recorded again."""
    env = reach()
    still = Proposal(np.zeros(4, np.float32), Actor.HUMAN)
    whole = rollout(env, lambda obs: still, seed=5, meta=EpisodeMeta(operator="ann"), steps=3)
    crashed = replace(whole, meta=replace(whole.meta, end_reason="crash"))
    with Shelf(tmp_path / "data", spec_of(env), "ann", {}, {}) as shelf:
        shelf.keep(crashed)
        shelf.keep(whole)
        assert shelf.undo() == 5
        shelf.keep(whole)
    dataset = Dataset.open(tmp_path / "data")
    reasons = [(record.meta.end_reason, record.deleted) for record in dataset.records]
    assert reasons == [("crash", False), ("recording", True), ("recording", False)]
    logs = sorted((tmp_path / "data").rglob("episodes.jsonl"))
    assert TAKEN_BACK in logs[0].read_text()
