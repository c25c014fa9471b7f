"""An offline stage keeps what it should, ends where it should, and survives damage and kills bitwise."""

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from training_toys import (
    CADENCE,
    WatchedReplay,
    assert_bitwise_equal,
    assert_same_runs,
    awac_config,
    lines,
    offline,
)

from robot_orl.seeds import VALIDATION_SEEDS
from robot_orl.statistics import wilson_interval
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.playing.evaluator import Evaluator
from robot_orl.training.pretrain import Offline, is_ended_by, is_trained_for, pretrain
from robot_orl.training.runs.run import EVALUATED, Run
from robot_orl.training.state import Progress

Env = gymnasium.Env[Any, Any]
STEPS = 20
POINTS = replace(CADENCE, eval_every=5, eval_episodes=10, final_episodes=10)


class Crash(Exception):
    """Stands for a kill: nothing after it runs."""


def judged(successes: int, episodes: int) -> Evaluation:
    return Evaluation(successes / episodes, wilson_interval(successes, episodes), 1.0, -1.0, episodes)


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Successes of every 10 episodes by update, which a policy that has hardly learned would not have."""
    given: dict[int, int] = {}

    def mark(self: Evaluator, state: Any, seeds: Any, progress: Any = iter) -> Evaluation:
        for _ in progress(seeds):
            pass
        return judged(given.get(state.progress.updates, 0) * len(seeds) // 10, len(seeds))

    monkeypatch.setattr(Evaluator, "__call__", mark)
    return given


def points(run: Run) -> list[tuple[int, float]]:
    return [(row["step"], row[EVALUATED]) for row in lines(run.path) if EVALUATED in row]


def work(run: Run, env: Env, replay: WatchedReplay, **changes: Any) -> Offline:
    return replace(offline(run, env, replay), cadence=POINTS, **changes)


def names(run: Run) -> list[str]:
    return sorted(path.name for path in (run.path / "checkpoints").iterdir())


def test_a_stage_is_trained_by_its_updates_or_by_its_success() -> None:
    assert is_trained_for(Progress(updates=20), 20, None)
    assert not is_trained_for(Progress(updates=19), 20, None)
    assert is_trained_for(Progress(updates=5, reached=0.72), 20, 0.7)
    assert not is_trained_for(Progress(updates=5, reached=0.72), 20, 0.73)
    assert not is_trained_for(Progress(updates=5, reached=0.72), 20, None)  # asked to go on to the end
    assert not is_ended_by(None, 0.0)


@pytest.mark.e2e
def test_the_best_of_the_curve_and_the_last_is_kept(
    tmp_path: Path, env: Env, replay: WatchedReplay, marks: dict[int, int]
) -> None:
    marks |= {5: 3, 10: 9, 15: 9, 20: 8}
    with Run(tmp_path / "a") as run:
        pretrain(work(run, env, replay), "offline", awac_config(), STEPS)
        assert run.best("offline") == (
            judged(45, 50),
            15,
        )  # of two alike the later
        assert run.load("offline", "best")["progress"]["updates"] == 15
        assert run.summary["best"] == {"offline": {"step": 15, "curve": judged(45, 50).to_dict()}}
        assert points(run) == [(5, 0.3), (10, 0.9), (15, 0.9), (20, 0.8)]
    marks[20] = 10
    with Run(tmp_path / "b") as run:
        pretrain(work(run, env, replay), "offline", awac_config(), STEPS)
        assert run.best("offline") == (judged(10, 10), 20)
        best, last = run.load("offline", "best"), run.load("offline")
        del best["best"]
        assert_bitwise_equal(best, last)


@pytest.mark.e2e
@pytest.mark.parametrize(("lucky", "steady", "winner"), [(8, 9, 20), (9, 9, 20), (9, 8, 5)])
def test_a_lucky_point_of_the_curve_loses_the_run_off(
    lucky: int,
    steady: int,
    winner: int,
    tmp_path: Path,
    env: Env,
    replay: WatchedReplay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10 of 10 at update 5, then 9 of 10; in the run-off `lucky` and `steady` of every 10."""

    def play(self: Evaluator, state: Any, seeds: Any, progress: Any = iter) -> Evaluation:
        is_early = state.progress.updates == 5
        if len(seeds) == 10:
            return judged(10 if is_early else 9, 10)
        assert list(seeds) == list(VALIDATION_SEEDS[10:60])  # none of a point's
        assert [seed for seed in progress(seeds)] == list(seeds)
        return judged((lucky if is_early else steady) * 5, 50)

    monkeypatch.setattr(Evaluator, "__call__", play)
    with Run(tmp_path) as run:
        pretrain(work(run, env, replay), "offline", awac_config(), STEPS)
        assert run.best("offline") == (judged(max(lucky, steady) * 5, 50), winner)
        assert run.load("offline", "best")["progress"]["updates"] == winner
        assert run.summary["best"]["offline"]["step"] == winner


@pytest.mark.e2e
def test_checkpoints_every_so_many_updates_stay(
    tmp_path: Path, env: Env, replay: WatchedReplay, marks: dict[int, int]
) -> None:
    with Run(tmp_path) as run:
        pretrain(work(run, env, replay, keep_every=8), "offline", awac_config(), 16)
        run.checkpoint_path("offline", "16").unlink()  # as if killed between the save and this
        pretrain(work(run, env, replay, keep_every=8), "offline", awac_config(), STEPS)
        kept = ["offline.16.ckpt", "offline.8.ckpt"]
        assert names(run) == [*kept, "offline.best.ckpt", "offline.ckpt", "offline.previous.ckpt"]
        steps = [
            run.load("offline", which)["progress"]["updates"] for which in ("8", "16", "previous", "last")
        ]
        assert steps == [8, 16, 16, 20]  # nothing is saved twice at the same update


@pytest.mark.e2e
def test_a_stage_ends_with_a_point_whose_bound_is_good_enough(
    tmp_path: Path, env: Env, replay: WatchedReplay, marks: dict[int, int]
) -> None:
    marks |= {5: 9, 10: 10}  # lower bounds 60% and 72%
    with Run(tmp_path) as run:
        assert pretrain(work(run, env, replay), "offline", awac_config(), STEPS, 0.7) is not None
        progress = run.load("offline")["progress"]
        assert (progress["updates"], progress["target"]) == (10, 10)
        assert progress["reached"] == pytest.approx(0.7225, abs=1e-4)
        assert run.summary["offline"]["updates"] == 10
        assert run.best("offline") == (judged(10, 10), 10)
        before = lines(tmp_path)
        assert pretrain(work(run, env, replay), "offline", awac_config(), STEPS, 0.7) is None
        assert lines(tmp_path) == before
        marks |= {15: 0, 20: 0}
        assert pretrain(work(run, env, replay), "offline", awac_config(), STEPS, 0.8) is not None  # goes on
        assert run.load("offline")["progress"]["updates"] == STEPS
        assert run.load("offline")["progress"]["reached"] is None
        assert run.best("offline") == (judged(50, 50), 10)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("method", "last"),  # the so many-th call is the last thing that is done
    [("save", 2), ("save_best", 2), ("save", 3), ("log", 4), ("log", 5), ("update_summary", 1)],
)
def test_a_stage_killed_while_it_ends_with_success_ends_the_same_again(
    method: str,
    last: int,
    tmp_path: Path,
    env: Env,
    replay: WatchedReplay,
    marks: dict[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks |= {5: 3, 10: 10}
    with Run(tmp_path / "whole") as whole:
        pretrain(work(whole, env, replay), "offline", awac_config(), STEPS, 0.7)
    with Run(tmp_path / "run") as run, monkeypatch.context() as patch:
        original, calls = getattr(Run, method), []

        def killed_afterwards(self: Run, *args: Any) -> Any:
            calls.append(args)
            original(self, *args)
            if len(calls) == last:
                raise Crash

        patch.setattr(Run, method, killed_afterwards)
        with pytest.raises(Crash):
            pretrain(work(run, env, replay), "offline", awac_config(), STEPS, 0.7)
    with Run(tmp_path / "run") as run:
        pretrain(work(run, env, replay), "offline", awac_config(), STEPS, 0.7)
        assert_same_runs(run, whole, "offline", replay)
        assert_bitwise_equal(run.load("offline", "best"), whole.load("offline", "best"))
        assert run.load("offline")["progress"]["updates"] == 10


@pytest.mark.e2e
@pytest.mark.parametrize("batches", [14, math.inf])
def test_a_run_whose_last_checkpoint_is_damaged_ends_bitwise_as_it_would_have(
    batches: float,
    tmp_path: Path,
    env: Env,
    replay: WatchedReplay,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Run(tmp_path / "whole") as whole:
        pretrain(offline(whole, env, replay), "offline", awac_config(), STEPS)
    replay.drawn = 0

    def before(drawn: int) -> None:
        if drawn == batches:
            raise Crash

    replay.before = before
    with Run(tmp_path / "run") as run, suppress(Crash):
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
    replay.before = None
    path = run.checkpoint_path("offline")
    path.write_bytes(path.read_bytes()[:-100])
    capsys.readouterr()
    with Run(tmp_path / "run") as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        assert len(said) == 1
        assert said[0].endswith("offline.previous.ckpt, saved before it, is used")
        assert_same_runs(run, whole, "offline", replay)
