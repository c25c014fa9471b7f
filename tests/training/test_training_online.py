"""Finetuning ends with the same weights however it came there: killed, extended, or undisturbed."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from children import child
from finetuning_toys import TWO, Crash, on_call, tune
from training_toys import (
    LONG,
    WatchedReplay,
    assert_bitwise_equal,
    assert_same_runs,
)

from robot_orl.agents.base import act
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import DataError, RunError
from robot_orl.seeds import finetune_seed
from robot_orl.training.playing.players import Players
from robot_orl.training.playing.shared_memory import Weights
from robot_orl.training.runs.run import Run
from robot_orl.training.state import unpack
from robot_orl.types import Episode

pytestmark = pytest.mark.e2e  # trains

Env = gymnasium.Env[Any, Any]
CHILD = Path(__file__).with_name("killed_finetuning.py")
EPISODES = 8  # of LONG


def recorded(run: Run) -> list[Episode]:
    return list(Dataset.open(run.path / "online").load_all())


def assert_same(found: Run, expected: Run, replay: WatchedReplay) -> None:
    """Checkpoint, metrics, figures, the best policy kept, and every recorded episode."""
    assert_same_runs(found, expected, "online", replay)
    assert_bitwise_equal(found.load("online", "best"), expected.load("online", "best"))
    mine, its = recorded(found), recorded(expected)
    assert [e.meta for e in mine] == [e.meta for e in its]
    assert [e.action.tobytes() for e in mine] == [e.action.tobytes() for e in its]
    assert [e.meta.seed for e in mine] == [finetune_seed(0, number) for number in range(len(mine))]


def test_an_episode_is_played_with_the_weights_of_one_round_before(
    two: Run, run: Run, env: Env, replay: WatchedReplay
) -> None:
    """Those after learning from all but the last N + 1 = 3 episodes; the first one is warm-up."""
    names: list[str | None] = []
    for steps in (50, 100, 150, 200, 250):  # extended episode by episode: each of these states is saved
        tune(run, env, replay, replace(TWO, env_steps=steps))
        names.append(hash_of(run))
    assert len(set(names)) == 5
    played_with = [episode.meta.policy_hash for episode in recorded(two)]
    assert played_with == [names[0]] * 3 + names  # nothing was learned in the warm-up
    tune(run, env, replay, TWO)
    assert_bitwise_equal(run.load("online"), two.load("online"))  # so it may be extended at any time
    assert_bitwise_equal(run.load("online", "best"), two.load("online", "best"))


def hash_of(run: Run) -> str:
    policy = unpack(run.load("online")).agent.policy()
    weights = Weights(policy)
    return weights.name(weights.of(policy))


def test_recorded_actions_are_those_of_the_named_policy(one: Run) -> None:
    """The first two episodes were played with the offline policy, bitwise as the learner would act."""
    state = unpack(one.load("offline"))
    for episode in recorded(one)[:2]:
        flat = state.spec.flatten(episode.obs)
        for step in range(len(episode)):
            expected = act(state.agent.policy(), flat[step])
            assert episode.action_policy[step].tobytes() == expected.tobytes()


# crashes at chosen moments


# The first save is that of the beginning; the second comes at step 150, the third at 300.
MOMENTS = {
    "before the first episode is there": (Players, "take", 1, False),
    "before the first commit": (SegmentWriter, "append", 1, False),
    "at the border of the warm-up": (SegmentWriter, "append", 1, True),
    "between a commit and its checkpoint": (SegmentWriter, "append", 3, True),
    "before a checkpoint": (Run, "save", 2, False),
    "after a checkpoint": (Run, "save", 2, True),
    "long after a checkpoint": (SegmentWriter, "append", 5, True),
    "before a best policy is kept": (Run, "save_best", 1, False),
    "after a best policy is kept": (Run, "save_best", 2, True),
    "before the last checkpoint": (Run, "save", 4, False),
    "after the last checkpoint": (Run, "save", 4, True),
}


RARER = {  # like one of the others
    "before the first commit",
    "between a commit and its checkpoint",
    "after a best policy is kept",
    "after the last checkpoint",
}


@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=pytest.mark.slow) if name in RARER else name for name in MOMENTS]
)
def test_a_crash_at_any_moment_changes_nothing(
    moment: str, two: Run, run: Run, env: Env, replay: WatchedReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        on_call(*MOMENTS[moment])(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, TWO)
    tune(run, env, replay, TWO)
    assert_same(run, two, replay)
    assert run.summary["engine"]["environments"] == 2


# real kills


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_no_committed_episode_and_changes_nothing(
    two: Run, run: Run, env: Env, replay: WatchedReplay
) -> None:
    kept: list[str] = []
    for more in (1, 4):
        command = [sys.executable, CHILD, run.path, 2]
        with child(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as training:
            while len(committed(run)) < more and training.poll() is None:
                time.sleep(0.005)
            time.sleep(random.random() * 0.2)
            assert training.poll() is None, "it ended before it was killed"
            training.kill()
            training.communicate()  # until its players have gone, which hold the other end, too
        assert training.returncode == -signal.SIGKILL
        now = committed(run)
        assert now[: len(kept)] == kept
        kept = now
    tune(run, env, replay, TWO)
    assert_same(run, two, replay)
    assert committed(run)[: len(kept)] == kept


def committed(run: Run) -> list[str]:
    folder = run.path / "online"
    if not (folder / "dataset.json").exists():
        return []
    return [record.uid for record in Dataset.open(folder, allow_empty=True).episodes]


# the order of arrival


def test_in_the_order_of_arrival_every_episode_is_learned_from_once(
    run: Run, env: Env, replay: WatchedReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(TWO, deterministic=False)
    with monkeypatch.context() as patch:
        on_call(SegmentWriter, "append", 5, True)(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, recipe)
    kept = committed(run)
    tune(run, env, replay, recipe)
    assert committed(run)[:5] == kept
    numbers = {(episode.meta.seed or 0) - finetune_seed(0, 0) for episode in recorded(run)}
    assert len(numbers) == EPISODES  # none twice
    assert max(numbers) <= EPISODES  # the last but one may still have been under way
    progress = run.load("online")["progress"]
    assert (progress["env_steps"], progress["episodes"], progress["updates"]) == (400, EPISODES, 350)


def test_another_episode_than_the_checkpoint_learned_from_is_noticed(
    run: Run, env: Env, replay: WatchedReplay
) -> None:
    tune(run, env, replay, replace(LONG, env_steps=200))
    dataset = Dataset.open(run.path / "online")
    dataset.delete(dataset.episodes[1:2], "not wanted")
    with pytest.raises(
        DataError, match=r"online holds 1 of the 4 episodes that the checkpoint learned from$"
    ):
        tune(run, env, replay, LONG)


def test_an_environment_process_that_dies_is_named_and_the_run_goes_on(
    one: Run, run: Run, env: Env, replay: WatchedReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    original = Players.start

    def watched(self: Players, *args: Any) -> None:
        original(self, *args)
        started.append(1)
        if len(started) == 4:
            self._players[0]._process.kill()

    with monkeypatch.context() as patch:
        patch.setattr(Players, "start", watched)
        with pytest.raises(RunError) as caught:
            tune(run, env, replay, LONG)
    assert str(caught.value).startswith("environment process 0 (process ")
    assert str(caught.value).endswith(") was killed by SIGKILL; the same command goes on")
    tune(run, env, replay, LONG)
    assert_same(run, one, replay)
