"""Finetuning with somebody who takes over: nothing of it is lost by a crash, nor learned from twice."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from finetuning_toys import Crash, on_call, tune
from training_toys import LONG, SPARSE, WatchedReplay, assert_bitwise_equal, lines

from data_collection.operators.expert import ExpertConfig
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.intervention import interventions
from robot_orl.training.runs.run import Run
from robot_orl.types import Actor

pytestmark = pytest.mark.e2e  # trains

Env = gymnasium.Env[Any, Any]
RECIPE = replace(LONG, intervention_share=0.5)
EXPERT = {"operator": ExpertConfig(), "cadence": replace(SPARSE, log_every=100)}


def test_a_crash_changes_nothing_of_what_was_learned_from_interventions(
    run: Run, env: Env, replay: WatchedReplay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint that it goes on from, at step 150, lies between two lines of the log."""
    undisturbed = Run(shutil.copytree(run.path, tmp_path / "undisturbed"))
    tune(undisturbed, env, replay, RECIPE, **EXPERT)
    with monkeypatch.context() as patch:
        on_call(SegmentWriter, "append", 5, True)(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, RECIPE, **EXPERT)
    tune(run, env, replay, RECIPE, **EXPERT)
    assert_bitwise_equal(run.load("online"), undisturbed.load("online"))
    assert run.summary["interventions"] == undisturbed.summary["interventions"]

    episodes = list(Dataset.open(run.path / "online").load_all())
    counted = [interventions(episode.actor) for episode in episodes]
    found = run.summary["interventions"]
    assert found["interventions"] == sum(counted) > 0
    assert [part["interventions"] for part in found["over_time"]] == counted
    theirs = np.concatenate([episode.actor == Actor.INTERVENTION for episode in episodes])
    assert found["step_share"] == round(float(theirs.mean()), 4)
    assert lines(run.path) == lines(undisturbed.path)
    logged = [row["interventions/per_episode"] for row in lines(run.path) if "episode/return" in row]
    assert [2 * mean for mean in logged] == [sum(counted[i : i + 2]) for i in range(0, 8, 2)]


def test_who_stood_by_may_leave_and_come_back(run: Run, env: Env, replay: WatchedReplay) -> None:
    """A run that is not finished goes on with nobody; what was counted stays."""
    tune(run, env, replay, replace(RECIPE, env_steps=200), **EXPERT)
    before = run.summary["interventions"]["interventions"]
    tune(run, env, replay, RECIPE)
    assert run.summary["interventions"]["interventions"] == before
    assert run.summary["interventions"]["episodes"] == 8
