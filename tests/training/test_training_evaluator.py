"""Evaluation in several processes: the same figures, and processes only where they save time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from training_toys import WatchedReplay, awac_config

from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.errors import RunError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.training.evaluate import evaluate, play, policy_of
from robot_orl.training.playing import evaluator as module
from robot_orl.training.playing.evaluator import Evaluator
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, new_state

Env = gymnasium.Env[Any, Any]
SEEDS = EVALUATION_SEEDS[:5]
NO_ENV: Any = None  # where nothing is played


@pytest.fixture
def state(replay: WatchedReplay) -> TrainingState:
    normalizer = Normalizer.fit(features_of(replay.observations(), replay.spec))
    return new_state(awac_config(), replay.spec, normalizer, seed=0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.save_config({"task": {"name": "fetch_reach"}})
    return run


def actions(measure: Evaluator, state: TrainingState, seeds: Sequence[int]) -> list[bytes]:
    """What the policy did in each episode."""
    return [episode.action.tobytes() for episode in measure._episodes(state, seeds, iter(seeds))]


@pytest.mark.e2e
def test_episodes_and_figures_do_not_depend_on_the_number_of_processes(
    env: Env, state: TrainingState, run: Run
) -> None:
    here = Evaluator(run, env, 1)
    assert here(state, SEEDS) == evaluate(env, policy_of(state), SEEDS)
    assert actions(here, state, SEEDS[:1]) == [play(env, policy_of(state), SEEDS[0]).action.tobytes()]
    with Evaluator(run, env, 9) as measure:
        assert actions(measure, state, SEEDS[:2]) == actions(here, state, SEEDS[:2])
        assert measure._players is not None
        assert measure._players.count == 2
        assert measure(state, SEEDS) == here(state, SEEDS)
        with torch.no_grad():
            for weight in state.agent.policy().parameters():
                weight.mul_(-3.0)
        assert actions(measure, state, SEEDS) == actions(here, state, SEEDS)  # with the weights of now


@pytest.mark.e2e
def test_it_stops_between_two_episodes_and_leaves_no_process(
    env: Env, state: TrainingState, run: Run
) -> None:
    stop = StopFlag()

    def stopped_at_third(seeds: Sequence[int]) -> Iterator[int]:
        for number, seed in enumerate(seeds):
            stop.requested = number == 2
            stop.check("so far")
            yield seed

    with Evaluator(run, env, 2) as measure:
        with pytest.raises(Interrupted, match="so far"):
            measure(state, SEEDS, stopped_at_third)
        assert measure._players is not None
        processes = [player._process for player in measure._players._players]
        assert all(process.is_alive() for process in processes)
    assert len(processes) == 2
    assert not any(process.is_alive() for process in processes)


@pytest.mark.e2e
def test_a_process_that_dies_ends_the_evaluation_in_one_line(
    env: Env, state: TrainingState, run: Run
) -> None:
    with Evaluator(run, env, 2) as measure:
        measure(state, SEEDS[:2])
        assert measure._players is not None
        measure._players._players[1]._process.kill()
        with pytest.raises(RunError, match=r"^evaluation process 1 \(process \d+\) was killed by SIGKILL"):
            measure(state, SEEDS)


# processes only where they pay


@pytest.mark.e2e
def test_no_process_is_started_for_little_work(env: Env, state: TrainingState, run: Run) -> None:
    shown: list[int] = []

    def show(seeds: Sequence[int]) -> Iterator[int]:
        for seed in seeds:
            shown.append(seed)
            yield seed

    with Evaluator(run, env) as measure:
        result = measure(state, SEEDS[:2], show)
        assert measure._players is None
    assert shown == list(SEEDS[:2])
    assert result.episodes == 2


def test_processes_are_started_once_they_would_have_saved_their_start(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(4)))
    measure = Evaluator(run, NO_ENV)
    assert measure._worth(0.1, 49) == 1  # on 4 cores 3/4 of 4.9 s = 3.7 s would be saved: less than 4 s
    assert measure._worth(0.2, 3) == 3  # 2/3 of 0.6 s more: with what was missed before it is enough
    assert Evaluator(run, NO_ENV)._worth(0.2, 3) == 1
    assert Evaluator(run, NO_ENV)._worth(0.1, 60) == 4
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {0})
    assert Evaluator(run, NO_ENV)._worth(100.0, 60) == 1
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(128)))
    assert Evaluator(run, NO_ENV)._worth(100.0, 60) == module.MOST
    assert Evaluator(run, NO_ENV)._worth(100.0, 0) == 1


@pytest.mark.e2e
def test_everybody_computes_on_one_thread_while_it_measures(env: Env, state: TrainingState, run: Run) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def look(seeds: Sequence[int]) -> Iterator[int]:
        seen.append(torch.get_num_threads())
        yield from seeds

    torch.set_num_threads(2)
    try:
        with Evaluator(run, env, 1) as measure:
            measure(state, SEEDS[:1], look)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
