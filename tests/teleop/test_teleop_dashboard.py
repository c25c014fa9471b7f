"""A person at the page of a policy that is finetuned: what is shown, what is ordered, what comes of it."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsers import PATIENCE_S
from page_toys import Person, episodes_of
from test_teleop_finetune import TUNE, run, served

from robot_orl.intervention import interventions
from robot_orl.training.runs.run import Run
from robot_orl.training.state import unpack
from robot_orl.types import Actor

__all__ = ["run"]  # a fixture
pytestmark = pytest.mark.e2e
BOARD = "dashboard.board"


def grabs_the_arm(person: Person) -> None:
    """By its upward arrow, wherever the policy has moved it meanwhile."""
    for _ in range(50):
        at = person.tell("view.project(add(view.tool.at, scaled(HANDLES.up, 0.6 * gizmo.scale)))")
        person.page.mouse.move(*at)
        person.page.mouse.down()
        if person.tell("gizmo.grabbed?.name") == "up":
            person.page.mouse.move(at[0], at[1] - 60, steps=3)
            return
        person.page.mouse.up()
    raise AssertionError("the arm was never grabbed")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; its name is short, for the browser's sockets."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def board(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = person.tell(BOARD)
    return found


def test_a_person_watches_helps_and_orders_while_a_policy_learns(run: Path, temporary: Path) -> None:
    words = ["finetune", f"run={run}", "operator=browser", "port=0", "env_steps=5000"]
    words += ["checkpoint_every=5000"] + [
        word.replace("eval_every=100000", "eval_every=100") for word in TUNE
    ]
    with served(*words) as (process, person):
        person.until(f"{BOARD}?.recent.length")
        assert person.page.is_visible("#training")
        assert not person.page.is_visible("#record")
        person.until("state.status.state === 'policy' && state.status.step < 20")
        grabs_the_arm(person)
        person.is_in("person")
        person.until("gizmo.grabbed && size(sub(gizmo.grabbed.to, view.tool.at)) < 0.05")
        person.page.mouse.up()
        person.is_in("policy")
        person.until(f"{BOARD}.recent.some(one => one.interventions > 0)")
        person.until(f"{BOARD}.replay.interventions > 0 && {BOARD}.batch.interventions > 0")
        person.until(f"{BOARD}.curve.length")
        person.until("dashboard.worth.length")

        person.page.click("[data-verb=pause]")
        person.until(f"{BOARD}.phase === 'paused'")
        updates = board(person)["updates"]
        person.until("state.status.state === 'waiting'")  # the episode under way is played to its end
        assert board(person)["updates"] == updates
        episodes = person.tell("state.status.episodes")
        assert person.page.inner_text("#phase") == "Paused"
        assert not person.page.is_visible("[data-verb=pause]")
        person.page.click("[data-verb=checkpoint]")
        person.until(f"{BOARD}.said.startsWith('Saved at step')")
        assert board(person)["phase"] == "paused"
        saved = Run(run).load("online")
        assert unpack(saved).progress.env_steps == board(person)["env_steps"]
        assert person.tell("state.status.episodes") == episodes, "no other one has begun"
        updates = board(person)["updates"]

        helped = f"{BOARD}.recent.find(one => one.interventions > 0)"
        person.page.click(f".bars button[data-seed='{person.tell(helped)['seed']}']")
        person.until("replay.isOn")
        assert person.tell("Array.from(replay.timeline.take.actor)").count(Actor.INTERVENTION) > 0
        assert person.tell("replay.timeline.take.value.length") == person.tell("replay.timeline.take.steps")
        live = "replay.live === view.poses"
        person.until(f"!({live})")
        assert list(temporary.glob("robot-orl-*/*.take"))
        person.page.click("#replay p button")
        assert not person.tell("replay.isOn")

        person.page.click("[data-verb=resume]")
        person.until(f"!{BOARD}.is_paused && {BOARD}.updates > {updates}")
        person.page.click("#steer [data-verb=quit]")
        person.until("isOver")
        said = process.stdout.read().decode()
        assert "Training has stopped" in person.page.inner_text("#lost")
        assert person.page.inner_text("#phase") == "Ended"
        assert len({urlsplit(asked).netloc for asked in person.asked}) == 1, "nothing else is asked"
        assert person.errors == []
    assert process.returncode == 130
    assert "online is saved at step" in said
    end_s = time.monotonic() + PATIENCE_S
    while list(temporary.glob("robot-orl-*")):  # the process that serves the page is the last to go
        assert time.monotonic() < end_s, "episodes to see again are left behind"
        time.sleep(0.05)
    found = json.loads((run / "summary.json").read_text())["interventions"]
    actors = [episode.actor for episode in episodes_of(run / "online")]
    learned = actors[: unpack(Run(run).load("online")).progress.episodes]
    assert found["episodes"] == len(learned)
    counts = [interventions(actor) for actor in learned]  # a busy machine may have let go for them
    assert found["interventions"] == sum(counts) > 0
    assert found["episodes_with"] == sum(count > 0 for count in counts)
    theirs = np.concatenate(learned) == Actor.INTERVENTION
    assert found["step_share"] == round(float(theirs.mean()), 4)
