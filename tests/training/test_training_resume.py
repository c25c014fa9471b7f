"""An interrupted stage goes on bitwise as if nothing had happened: Ctrl-C, a crash, kill -9."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from training_toys import (
    CADENCE,
    RECIPE,
    WatchedReplay,
    assert_bitwise_equal,
    assert_same_runs,
    awac_config,
    figures,
    lines,
    offline,
    online,
    watched_replay,
)

from robot_orl.agents.bc import BCConfig
from robot_orl.data.sampling.replay import Sampling
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.seeds import finetune_seed
from robot_orl.training.finetune import finetune
from robot_orl.training.pretrain import pretrain
from robot_orl.training.runs.run import Run
from robot_orl.types import Batch, Episode

pytestmark = pytest.mark.e2e  # trains

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
        said = "is saved at step 100; " if batches == 0 else "is trained and saved; "
        with pytest.raises(Interrupted, match=f"^interrupted; online {said}the same command "):
            finetune(online(run, env, replay, flag), RECIPE)
    replay.before = None
    with run:
        assert finetune(online(run, env, replay), RECIPE) is not None
        assert finetune(online(run, env, replay), RECIPE) is None
        assert_same_online(run, undisturbed, replay)


@pytest.mark.parametrize(("batches", "committed"), [(10, 2), (60, 3)])
@pytest.mark.parametrize("checkpoint_every", [1, 1000])
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


# stops, settings and lost episodes


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
