"""`finetune operator=browser` and `collect operator=mixed`: real processes, and a person at a real page."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import chromium
from children import child
from test_teleop_browser import Person, episodes_of

from robot_orl.cli import main
from robot_orl.types import Actor

pytestmark = pytest.mark.e2e
TRAIN = ["agent.hidden=[16,16]", "agent.batch_size=16", "steps=10", "baseline_steps=0", "eval_every=10"]
TRAIN += ["eval_episodes=1", "final_episodes=1"]
TUNE = ["warmup_steps=0", "eval_every=100000", "eval_episodes=1", "final_episodes=1", "log_every=50"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of fetch_reach, pretrained a little; its demonstrations lie beside it."""
    root = tmp_path_factory.mktemp("made")
    collect = ["collect", "task=fetch_reach", "operator=random", "episodes=3", f"out={root / 'data'}"]
    assert main(collect) == 0
    assert main(["pretrain", f"data={root / 'data'}", f"out={root / 'run'}", *TRAIN]) == 0
    return root / "run"


@contextmanager
def served(*words: object) -> Iterator[tuple[Any, Person]]:
    """The process of a command, and a person at its page."""
    command = [sys.executable, "-m", "robot_orl.cli", *words]
    with chromium() as browser, child(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = b""
        while (found := re.search(rb"drive at (\S+)", said)) is None:
            line = process.stdout.readline()
            assert line, said.decode()
            said += line
        yield process, Person(browser, found[1].decode())


def takes_over(person: Person) -> None:
    """Until the tool has moved, and then lets the policy go on."""
    before = person.tool().tolist()
    person.page.keyboard.down("w")
    person.is_in("person")
    person.until(f"size(sub(view.tool.at, {before})) > 0.02")
    person.page.keyboard.up("w")
    person.is_in("policy")


def test_a_person_takes_over_while_a_policy_is_finetuned(run: Path) -> None:
    """In the run: who acted, step by step, in real time; counted, and learned from. A stop loses none."""
    words = ["finetune", f"run={run}", "operator=browser", "port=0", "env_steps=5000", *TUNE]
    with served(*words) as (process, person):
        takes_over(person)
        before = person.tell("state.status.episodes")
        person.until(f"state.status.episodes >= {before + 2}")  # so that this one has been taken
        person.page.keyboard.down("w")  # and does not let go
        person.is_in("person")
        process.send_signal(signal.SIGINT)
        assert process.stdout.read()  # to its end
    assert process.returncode == 130
    assert person.errors == []
    summary = json.loads((run / "summary.json").read_text())
    episodes = episodes_of(run / "online")
    actor = np.concatenate([episode.actor for episode in episodes])
    assert set(actor) == {Actor.POLICY, Actor.INTERVENTION}
    theirs = np.concatenate([np.isfinite(episode.action_operator).all(axis=1) for episode in episodes])
    np.testing.assert_array_equal(theirs, actor == Actor.INTERVENTION)
    *learned, last = episodes
    assert last.meta.end_reason == "interrupt"
    assert last.actor[-1] == Actor.INTERVENTION, "it is learned from when the run goes on"
    found = summary["interventions"]
    assert found["interventions"] >= 1
    assert found["step_share"] == round(float(theirs[: -len(last)].mean()), 4)
    assert found["lateness_ms"]["ticks"] == sum(len(episode) - 1 for episode in learned)


def test_a_person_takes_over_from_a_policy_that_is_recorded(run: Path, tmp_path: Path) -> None:
    options = "{port: 0, countdown_s: 0, stop_at_success: false, seconds: 600}"
    words = ["collect", "task=fetch_reach", "operator=mixed", f"path={run}", f"operator.options={options}"]
    words += ["episodes=1", f"out={tmp_path / 'data'}"]
    with served(*words) as (process, person):
        person.press("Enter")
        person.is_in("recording")
        person.until("state.status.step > 5")
        person.moves_while_held("w")
        person.press("Backspace")
        person.is_in("reviewing")
        person.press("Shift+S")
        person.is_in("idle")
        person.page.click("[data-verb=quit]")
        process.stdout.read()
    (episode,) = episodes_of(tmp_path / "data")
    assert episode.meta.policy_hash
    assert episode.actor[0] == Actor.POLICY
    theirs = episode.actor == Actor.INTERVENTION
    assert 0 < theirs.sum() < len(episode)
    np.testing.assert_array_equal(np.isfinite(episode.action_operator).all(axis=1), theirs)
    assert np.isfinite(episode.action_policy).all()
