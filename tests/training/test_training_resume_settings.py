"""When a stage may go on: stops in the middle of an evaluation, other settings, lost episodes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from resume_toys import STEPS, Env, assert_same_online, pretrained, stop_at
from training_toys import (
    CADENCE,
    RECIPE,
    WatchedReplay,
    assert_same_runs,
    awac_config,
    figures,
    lines,
    offline,
    online,
)

from robot_orl.data.sampling.replay import Sampling
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.training.finetune import finetune
from robot_orl.training.pretrain import pretrain
from robot_orl.training.runs.run import Run
from robot_orl.types import Batch, Episode

pytestmark = pytest.mark.e2e  # trains


def stopping(env: Env, flag: StopFlag, resets: int) -> Env:
    """The same task; the stop comes as an episode is reset for the so many-th time."""

    class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
        count = 0

        def reset(self, **words: Any) -> Any:
            self.count += 1
            flag.requested = flag.requested or self.count == resets
            return self.env.reset(**words)

    return Watched(env)


TWICE = replace(CADENCE, eval_episodes=2, final_episodes=2)


def twice(work: Any, resets: int = 0) -> Any:
    """The same work with two episodes for each evaluation, stopped in the so many-th episode played."""
    return replace(work, cadence=TWICE, env=stopping(work.env, work.stop, resets))


# pretraining plays 2 episodes at update 12, and at the end 2 for the best and 2 for its figures
@pytest.mark.parametrize(
    ("resets", "said"),
    [
        (1, "is saved at update 12; the same"),
        (3, "is saved at update 20; the same"),
        (5, "is trained and saved; the same"),
    ],
)
def test_pretraining_stopped_between_two_evaluation_episodes_goes_on_bitwise(
    resets: int, said: str, tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    with Run(tmp_path / "a") as whole, Run(tmp_path / "b") as run:
        pretrain(twice(offline(whole, env, replay)), "offline", awac_config(), STEPS)
        with pytest.raises(Interrupted, match=f"^interrupted; offline {said}"):
            pretrain(twice(offline(run, env, replay), resets), "offline", awac_config(), STEPS)
        pretrain(twice(offline(run, env, replay)), "offline", awac_config(), STEPS)
        assert_same_runs(run, whole, "offline", replay)
        assert [row["step"] for row in lines(run.path) if "eval/success" in row] == [12, STEPS]


# while finetuning, evaluations are played elsewhere; at the end it plays 2 episodes itself
def test_finetuning_stopped_between_two_final_episodes_goes_on_bitwise(
    tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    whole, run = pretrained(tmp_path / "a", env, replay), pretrained(tmp_path / "b", env, replay)
    with whole, run:
        finetune(twice(online(whole, env, replay)), RECIPE)
        with pytest.raises(
            Interrupted, match=r"^interrupted; online is trained and saved; the same command "
        ):
            finetune(twice(online(run, env, replay), 1), RECIPE)
        finetune(twice(online(run, env, replay)), RECIPE)
        assert_same_online(run, whole, replay)


def test_a_last_evaluation_that_is_repeated_is_logged_once(
    tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    with Run(tmp_path) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        before = lines(tmp_path)
        (tmp_path / "summary.json").unlink()  # as a kill between the line and the summary leaves it
        assert pretrain(offline(run, env, replay), "offline", awac_config(), STEPS) is not None
        assert lines(tmp_path) == before


def half_finetuned(path: Path, env: Env, replay: WatchedReplay) -> Run:
    """100 of 150 steps."""
    run = pretrained(path, env, replay)
    with run, pytest.raises(Interrupted):
        finetune(online(run, env, replay, stop_at(replay, 0)), RECIPE)
    replay.before = None
    return run


def test_an_unfinished_stage_goes_on_only_as_it_began(
    tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    run = half_finetuned(tmp_path, env, replay)
    before = run.checkpoint_path("online").read_bytes(), figures(run)
    other = online(run, env, replay, config=awac_config(discount=0.5))
    other.fingerprint = "other"
    with run:
        with pytest.raises(
            UsageError, match=r"other values of: data, noise, agent\.discount; finish it with"
        ):
            finetune(other, replace(RECIPE, noise=0.1))
        assert (run.checkpoint_path("online").read_bytes(), figures(run)) == before
        assert finetune(online(run, env, replay), replace(RECIPE, env_steps=100)) is not None  # fewer will do
        assert run.load("online")["progress"]["target"] == 100


def test_a_finished_stage_may_go_on_otherwise_and_all_its_settings_are_kept(
    tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    run = pretrained(tmp_path, env, replay)

    def asked(env_steps: int, noise: float, fingerprint: str = "fingerprint") -> Any:
        values = {"env_steps": env_steps, "noise": noise}
        work = replace(online(run, env, replay), asked=values, fingerprint=fingerprint)
        return finetune(work, replace(RECIPE, env_steps=env_steps, noise=noise))

    with run:
        asked(50, 0.2)
        asked(100, 0.2)
        assert run.summary["finetune"] == {"env_steps": 100, "noise": 0.2}  # one command leads here
        asked(150, 0.1, "with deployed episodes")
        expected = {"env_steps": 150, "noise": 0.1, "before": [{"env_steps": 100, "noise": 0.2}]}
        assert run.summary["finetune"] == expected
        assert asked(150, 0.3) is None  # nothing was done that way
        assert run.summary["finetune"] == expected
        assert run.load("online")["fingerprint"] == "with deployed episodes"
        (tmp_path / "summary.json").unlink()  # trained, but not measured: not finished under others
        with pytest.raises(UsageError, match="began with other values of: noise; "):
            asked(150, 0.3, "with deployed episodes")
        asked(150, 0.1, "with deployed episodes")
        assert run.summary["finetune"] == expected


def test_an_online_stage_belongs_to_the_offline_agent_that_it_began_from(
    tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    run = half_finetuned(tmp_path, env, replay)
    with run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS + 1)
        with pytest.raises(DataError, match=rf"^run {tmp_path} was finetuned from another offline agent "):
            finetune(online(run, env, replay), RECIPE)


@pytest.mark.parametrize("left", [0, 1])
def test_online_episodes_that_are_lost_are_counted_and_missed(
    left: int, tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    run = half_finetuned(tmp_path, env, replay)
    if left:
        dataset = Dataset.open(tmp_path / "online")
        dataset.delete(dataset.episodes[left:], "lost")
    else:
        shutil.rmtree(tmp_path / "online")
    message = f"^{tmp_path}/online holds {left} of the 2 episodes that the checkpoint learned from$"
    with run, pytest.raises(DataError, match=message):
        finetune(online(run, env, replay), RECIPE)


class Spoiled(WatchedReplay):
    """Rewards that are not finite, from a batch on: what the critic makes of them is not finite either."""

    good = 0

    def sample(self, sampling: Sampling, rng: np.random.Generator) -> Batch:
        batch = super().sample(sampling, rng)
        return batch if self.drawn <= self.good else replace(batch, reward=batch.reward + np.float32("nan"))


def test_training_that_diverges_ends_with_the_metric_and_the_checkpoint_before(
    tmp_path: Path, env: Env, replay: WatchedReplay, episodes: list[Episode]
) -> None:
    spoiled = Spoiled(replay.spec, replay.reward_for)
    spoiled.extend(episodes)
    spoiled.good = 5
    with Run(tmp_path / "offline") as run:
        with pytest.raises(RunError, match=r"^offline diverged at update 6: reward is nan in 16 of the 16 "):
            pretrain(offline(run, env, spoiled), "offline", awac_config(), STEPS)
        assert run.load("offline")["progress"]["updates"] == 5
        assert [row["step"] for row in lines(run.path)] == [4]
    run = pretrained(tmp_path / "online", env, replay)
    spoiled.good = spoiled.drawn
    with run:
        with pytest.raises(RunError, match=r"^online diverged at update 1: reward is nan in 8 of the 16 "):
            finetune(online(run, env, spoiled), RECIPE)
        assert run.load("online")["progress"]["env_steps"] == 50
