"""An interrupted stage goes on bitwise as if nothing had happened: Ctrl-C, a crash, kill -9."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from resume_toys import (
    CHILD,
    STEPS,
    Crash,
    Env,
    assert_same_online,
    assert_same_stage,
    crash_at,
    online_episodes,
    pretrained,
    stop_at,
)
from training_toys import (
    CADENCE,
    RECIPE,
    WatchedReplay,
    assert_bitwise_equal,
    assert_same_runs,
    awac_config,
    offline,
    online,
)

from robot_orl.agents.bc import BCConfig
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import Interrupted
from robot_orl.training.finetune import finetune
from robot_orl.training.pretrain import pretrain
from robot_orl.training.runs.run import Run

pytestmark = pytest.mark.e2e  # trains


# offline


@pytest.mark.parametrize(
    "batches", [0, pytest.param(7, marks=pytest.mark.slow), 10, pytest.param(18, marks=pytest.mark.slow)]
)
def test_pretraining_interrupted_and_resumed_is_bitwise_equal(
    batches: int, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    with Run(tmp_path) as run:
        flag = stop_at(replay, batches)
        with pytest.raises(Interrupted, match=f"^interrupted; offline is saved at update {batches + 1}; "):
            pretrain(offline(run, env, replay, flag), "offline", awac_config(), STEPS)
        assert run.load("offline")["progress"]["updates"] == batches + 1
        assert "offline" not in run.summary
    replay.before = None
    with Run(tmp_path) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        assert_same_stage(run, undisturbed, "offline", replay)


@pytest.mark.parametrize("batches", [3, 9, 14])
def test_pretraining_that_crashed_goes_on_from_its_last_checkpoint(
    batches: int, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    with Run(tmp_path) as run:
        crash_at(replay, batches)
        with pytest.raises(Crash):
            pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        kept = run.load("offline")["progress"]["updates"] if run.has("offline") else 0
        assert kept == batches // 5 * 5
    replay.before = None
    with Run(tmp_path) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        assert_same_stage(run, undisturbed, "offline", replay)


def test_a_finished_stage_is_not_repeated_and_goes_on_with_more_steps(
    tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    with Run(tmp_path) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS // 2)
        before = run.checkpoint_path("offline").read_bytes()
        drawn = replay.drawn
        assert pretrain(offline(run, env, replay), "offline", awac_config(), STEPS // 2) is None
        assert (replay.drawn, run.checkpoint_path("offline").read_bytes()) == (drawn, before)
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        assert_bitwise_equal(run.load("offline"), undisturbed.load("offline"))


def test_cloning_is_resumed_bitwise_too(tmp_path: Path, env: Env, replay: WatchedReplay) -> None:
    cfg = BCConfig(hidden=[8], batch_size=16)
    with Run(tmp_path / "a") as whole, Run(tmp_path / "b") as run:
        pretrain(offline(whole, env, replay), "bc", cfg, STEPS)
        replay.drawn = 0
        flag = stop_at(replay, 6)
        with pytest.raises(Interrupted):
            pretrain(offline(run, env, replay, flag), "bc", cfg, STEPS)
        replay.before = None
        pretrain(offline(run, env, replay), "bc", cfg, STEPS)
        assert_same_runs(run, whole, "bc", replay)


def test_other_data_than_the_run_began_with_is_refused(
    tmp_path: Path, env: Env, replay: WatchedReplay
) -> None:
    with Run(tmp_path) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), 2)
        changed = offline(run, env, replay)
        changed.fingerprint = "other"
        with pytest.raises(UsageError, match=r"^the data changed since run .* began; choose another out="):
            pretrain(changed, "offline", awac_config(), 3)


# online


@pytest.mark.parametrize("batches", [0, 99])
def test_finetuning_interrupted_and_resumed_is_bitwise_equal(
    batches: int, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    run = pretrained(tmp_path, env, replay)
    # the first episode is warm-up, so batch 0 is drawn in the second one and batch 99 in the third
    with run:
        flag = stop_at(replay, batches)
        said = "is saved at step 100; " if batches == 0 else "is trained and saved; "
        with pytest.raises(Interrupted, match=f"^interrupted; online {said}the same command "):
            finetune(online(run, env, replay, flag), RECIPE)
    replay.before = None
    with run:
        assert finetune(online(run, env, replay), RECIPE) is not None
        assert finetune(online(run, env, replay), RECIPE) is None
        assert_same_online(run, undisturbed, replay)


@pytest.mark.parametrize(
    ("batches", "committed", "checkpoint_every"),
    [
        (10, 2, 1000),
        (60, 3, 1),
        pytest.param(10, 2, 1, marks=pytest.mark.slow),
        pytest.param(60, 3, 1000, marks=pytest.mark.slow),
    ],
)
def test_episodes_committed_after_the_checkpoint_are_learned_from_again(
    batches: int,
    committed: int,
    checkpoint_every: int,
    tmp_path: Path,
    env: Env,
    replay: WatchedReplay,
    undisturbed: Run,
) -> None:
    run = pretrained(tmp_path, env, replay)
    cadence = replace(CADENCE, checkpoint_every=checkpoint_every)
    with run:
        crash_at(replay, batches)
        with pytest.raises(Crash):
            finetune(replace(online(run, env, replay), cadence=cadence), RECIPE)
        known = run.load("online")["progress"]["episodes"]
        assert known == (committed - 1 if checkpoint_every == 1 else 0)
        before = [record.uid for record in Dataset.open(tmp_path / "online").episodes]
        assert len(before) == committed
    replay.before = None
    with run:
        finetune(online(run, env, replay), RECIPE)
        assert_same_online(run, undisturbed, replay)
    after = [record.uid for record in Dataset.open(tmp_path / "online").records]
    assert (after[:committed], len(after)) == (before, 3)  # kept, and none was played twice


@pytest.mark.parametrize("has_dataset_file", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_kill_before_the_first_online_episode_is_committed_does_not_block_the_run(
    has_dataset_file: bool, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    run = pretrained(tmp_path, env, replay)
    (tmp_path / "online" / "segments" / "20260101T000000.000000Z_finetune_0").mkdir(parents=True)
    if has_dataset_file:
        shutil.copy(undisturbed.path / "online" / "dataset.json", tmp_path / "online")
    with run:
        finetune(online(run, env, replay), RECIPE)
        assert_same_online(run, undisturbed, replay)


def test_exploration_is_seeded_by_the_run_and_not_by_its_offline_stage(undisturbed: Run) -> None:
    for number, episode in enumerate(online_episodes(undisturbed)):
        rng = np.random.default_rng([0, 1, number])
        for step in range(len(episode)):
            noisy = episode.action_policy[step] + 0.2 * rng.standard_normal(4)
            np.testing.assert_array_equal(episode.action[step], np.clip(noisy, -1, 1).astype(np.float32))


def test_finetuning_counts_its_own_steps_and_keeps_the_offline_normalisation(undisturbed: Run) -> None:
    before, after = undisturbed.load("offline"), undisturbed.load("online")
    assert after["progress"]["episodes"] == 3
    assert after["progress"]["env_steps"] == 150
    assert after["progress"]["updates"] == 100  # the first 50 steps are warm-up
    assert after["agent_config"]["n_step"] == 2  # what changes online is derived, not stored over it
    assert_bitwise_equal(
        (after["mean"], after["std"], after["spec"]), (before["mean"], before["std"], before["spec"])
    )


# a real kill


@pytest.mark.parametrize(("stage", "batches"), [("offline", 13), ("online", 70)])
def test_kill_9_and_resume_is_bitwise_equal(
    stage: str, batches: int, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    run = Run(tmp_path) if stage == "offline" else pretrained(tmp_path, env, replay)
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), stage, str(batches)], capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert stage not in run.summary
    with run:
        if stage == "offline":
            pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
            assert_same_stage(run, undisturbed, "offline", replay)
        else:
            finetune(online(run, env, replay), RECIPE)
            assert_same_online(run, undisturbed, replay)
