"""What the tests of interrupted training share: stops, crashes, and runs that nothing disturbed."""

from pathlib import Path
from typing import Any

import gymnasium
from training_toys import (
    WatchedReplay,
    assert_bitwise_equal,
    assert_same_runs,
    awac_config,
    lines,
    offline,
)

from robot_orl.data.store.reader import Dataset
from robot_orl.interrupt import StopFlag
from robot_orl.seeds import finetune_seed
from robot_orl.training.pretrain import pretrain
from robot_orl.training.runs.run import Run
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
