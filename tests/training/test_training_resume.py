"""An interrupted stage goes on bitwise as if nothing had happened: Ctrl-C, a crash, kill -9."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from training_toys import (
    RECIPE,
    WatchedReplay,
    assert_bitwise_equal,
    assert_same_runs,
    awac_config,
    lines,
    offline,
    online,
    watched_replay,
)

from robot_orl.agents.bc import BCConfig
from robot_orl.data.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.seeds import finetune_seed
from robot_orl.training.finetune import finetune
from robot_orl.training.pretrain import pretrain
from robot_orl.training.run import Run
from robot_orl.types import Episode

Env = gymnasium.Env[Any, Any]
STEPS = 20
CHILD = Path(__file__).with_name("killed_training.py")


class Crash(Exception):
    """Stands for a kill: nothing after it runs."""


def stop_at(replay: WatchedReplay, batches: int) -> StopFlag:
    """As if Ctrl-C came while the update after so many batches ran."""
    flag = StopFlag()

    def before(drawn: int) -> None:
        flag.requested = flag.requested or drawn == batches

    replay.before = before
    return flag


def crash_at(replay: WatchedReplay, batches: int) -> None:
    def before(drawn: int) -> None:
        if drawn == batches:
            raise Crash

    replay.before = before


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, env: Env, episodes: list[Episode]) -> Run:
    """A whole run: offline, then online."""
    replay = watched_replay(env, episodes)
    with Run(tmp_path_factory.mktemp("undisturbed")) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        finetune(online(run, env, replay), RECIPE)
    return run


def pretrained(path: Path, env: Env, replay: WatchedReplay) -> Run:
    run = Run(path)
    with run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
    replay.drawn = 0
    return run


def assert_same_stage(found: Run, expected: Run, stage: str, replay: WatchedReplay) -> None:
    """Like `assert_same_runs` for a run that stopped after `stage`."""
    assert_bitwise_equal(found.load(stage), expected.load(stage))
    mine, its = (
        [row for row in rows if row["stage"] == stage] for rows in (lines(found.path), lines(expected.path))
    )
    assert mine == its
    assert found.summary[stage] == expected.summary[stage]


# offline


@pytest.mark.parametrize("batches", [0, 7, 10, 18])
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


def online_episodes(run: Run) -> list[Episode]:
    return list(Dataset.open(run.path / "online").load_all())


def assert_same_online(run: Run, undisturbed: Run, replay: WatchedReplay) -> None:
    """Everything of the whole run, the episodes that it recorded included."""
    assert_same_runs(run, undisturbed, "online", replay)
    found, expected = online_episodes(run), online_episodes(undisturbed)
    assert [e.meta.seed for e in found] == [finetune_seed(0, number) for number in range(3)]
    for left, right in zip(found, expected, strict=True):
        assert left.meta == right.meta
        for name in ("action", "action_policy", "reward", "truncated", "t_ns", "sim_state"):
            assert getattr(left, name).tobytes() == getattr(right, name).tobytes()
        for key in right.obs:
            assert left.obs[key].tobytes() == right.obs[key].tobytes()


@pytest.mark.parametrize("batches", [0, 99])
def test_finetuning_interrupted_and_resumed_is_bitwise_equal(
    batches: int, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    run = pretrained(tmp_path, env, replay)
    # the first episode is warm-up, so batch 0 is drawn in the second one and batch 99 in the third
    with run:
        flag = stop_at(replay, batches)
        if batches == 99:
            assert finetune(online(run, env, replay, flag), RECIPE) is not None  # nothing left to stop
        else:
            with pytest.raises(Interrupted, match=r"^interrupted; online is saved at step 100; "):
                finetune(online(run, env, replay, flag), RECIPE)
    replay.before = None
    with run:
        again = finetune(online(run, env, replay), RECIPE)
        assert (again is None) == (batches == 99)
        assert_same_online(run, undisturbed, replay)


@pytest.mark.parametrize("batches", [10, 60])
def test_an_episode_committed_after_the_checkpoint_is_retired_and_collected_again(
    batches: int, tmp_path: Path, env: Env, replay: WatchedReplay, undisturbed: Run
) -> None:
    run = pretrained(tmp_path, env, replay)
    with run:
        crash_at(replay, batches)
        with pytest.raises(Crash):
            finetune(online(run, env, replay), RECIPE)
        committed, known = len(Dataset.open(tmp_path / "online").episodes), run.load("online")["progress"]
        assert committed == known["episodes"] + 1
    replay.before = None
    with run:
        finetune(online(run, env, replay), RECIPE)
        assert_same_online(run, undisturbed, replay)
    records = Dataset.open(tmp_path / "online").records
    assert [record.deleted for record in records] == [i == committed - 1 for i in range(4)]
    np.testing.assert_array_equal(
        [record.meta.seed for record in records if record.deleted], [finetune_seed(0, committed - 1)]
    )


@pytest.mark.parametrize("has_dataset_file", [False, True])
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
    episode, rng = online_episodes(undisturbed)[0], np.random.default_rng([0, 1])
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


@pytest.mark.e2e
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
