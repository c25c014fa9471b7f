"""Shadows, swaps and comparisons as commands, in processes of their own, on a simulated robot."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import child
from deploy_toys import write_bundle

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Episode, Safety, Spec

pytestmark = pytest.mark.e2e
PATIENCE_S = 60.0
DELTA = 0.02
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def reach() -> Spec:
    env = make_env(TaskConfig("fetch_reach"))
    spec = spec_of(env)
    env.close()
    return spec


@pytest.fixture
def write(tmp_path: Path, reach: Spec) -> Write:
    """write(name, action): a bundle that always does the same. Its action may change by 0.02 per tick."""

    def write(name: str, action: float) -> Path:
        weight, bias = (
            np.zeros((reach.observation_size, reach.action_size)),
            np.full(reach.action_size, action),
        )
        limits = Limits(max_action_delta=DELTA, max_observation_age_s=5.0)
        return write_bundle(tmp_path / name, reach, limits, weight, bias)

    return write


def deployment(tmp_path: Path, *words: object) -> list[str]:
    command = [sys.executable, "-m", "robot_orl.cli", "deploy", "priority=0", f"record={tmp_path / 'data'}"]
    return [*command, *map(str, words)]


def recorded(tmp_path: Path) -> list[Episode]:
    return list(Dataset.open(tmp_path / "data").load_all())


def test_a_shadow_is_asked_and_compared_and_the_current_bundle_acts(tmp_path: Path, write: Write) -> None:
    new, current = write("new", 0.75), write("current", 0.25)
    words = deployment(tmp_path, f"bundle={new}", f"shadow={current}", "duration_s=1.2")
    with child(words, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert said.startswith(f"{current} acts; {new} is its shadow, which is asked and never acts")
    assert not (new / "deploy.json").exists()
    figures: dict[str, Any] = json.loads((new / "shadow.json").read_text())
    assert (figures["bundle"], figures["answers"]["shadow"]["bundle"]) == (str(current), str(new))
    assert figures["answers"]["shadow_distance"]["mean"] == pytest.approx(0.5)
    with np.load(new / "shadow.answers.npz") as answers:
        assert len(answers["action"]) == figures["ticks"] > 0
        assert (answers["action"] == 0.25).all()
        assert (answers["shadow_action"] == 0.75).all()
    episodes = recorded(tmp_path)
    assert all(episode.action.max() <= 0.25 for episode in episodes)
    assert {episode.meta.policy_hash for episode in episodes} == {Bundle.load(current).policy_hash}


def test_a_bundle_is_swapped_in_between_ticks_and_gives_way_when_it_is_clamped(
    tmp_path: Path, write: Write
) -> None:
    current, new = write("current", 0.25), write("new", -1.0)
    order = tmp_path / "swap"
    words = deployment(
        tmp_path, f"bundle={current}", f"swap_file={order}", "duration_s=6", "rollback.window=10",
        "rollback.clamps=0.3",
    )  # fmt: skip
    answer, end_s = tmp_path / "swap.answer", time.monotonic() + PATIENCE_S
    with child(words, stdout=subprocess.PIPE, text=True) as process:
        while not answer.exists() and process.poll() is None:
            order.write_text(f"{new}\n")  # what was written before it looked is not obeyed
            assert time.monotonic() < end_s
            time.sleep(2.0)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert answer.read_text() == f"{new}: taken\n"
    figures: dict[str, Any] = json.loads((current / "deploy.json").read_text())
    assert (figures["fault"], figures["stopped_by"]) == (None, "duration")
    changes = [(change["kind"], change["bundle"]) for change in figures["answers"]["changes"]]
    assert changes == [("swap", str(new)), ("regress", str(new)), ("rollback", str(current))]
    assert "regress at tick" in said
    with np.load(current / "deploy.answers.npz") as answers:
        assert np.unique(answers["bundle_number"]).tolist() == [0, 1]
        assert np.diff(answers["bundle_number"])[np.diff(answers["bundle_number"]) != 0].tolist() == [1, -1]
        bad = answers["bundle_number"] == 1
        assert (answers["action"][bad] == -1).all()
        assert (answers["action"][~bad] == 0.25).all()
        assert (answers["safety"][bad] & Safety.RATE_LIMITED).any()
    episodes = recorded(tmp_path)
    assert {episode.meta.policy_hash for episode in episodes} == {None}  # more than one bundle acted
    steps = [np.abs(np.diff(e.action, axis=0)).max() for e in episodes if len(e) > 1]
    assert max(steps) <= DELTA + 1e-6  # whoever acts, the supervisor is in charge


def test_bundles_are_compared_from_the_same_starts(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    new, current = write("new", 0.5), write("current", 0.5)
    assert main(["compare", f"bundle={new}", f"current={current}", "episodes=2"]) == 0
    assert "both bundles hold the same policy" in capsys.readouterr().out
    found = json.loads((new / "compare.json").read_text())
    assert found["pairs"]["only_new"] == found["pairs"]["only_current"] == 0
    assert (found["episodes"], found["return_difference"]) == (2, 0.0)
    assert (found["verdict"], found["may_be_promoted"]) == ("not enough episodes", False)
