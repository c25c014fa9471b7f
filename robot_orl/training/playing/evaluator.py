"""Evaluation in this process or in several: the figures are the same, whatever the number.

Every episode starts from its own seed, and every process computes on one thread, so that who plays which
episode changes nothing.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import gymnasium
import torch

from robot_orl.training.evaluate import Evaluation, figures_of, play, policy_of
from robot_orl.training.playing.players import Players, Request
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState
from robot_orl.types import Episode

STARTING_S = 4.0  # about what it takes to start processes
MOST = 16  # processes that are started unless more are asked for

Progress = Callable[[Sequence[int]], Iterable[int]]


class Evaluator:
    """A context manager. env: of the run's task, which is made once more in each process.

    workers: how many processes play; 1: this one.  None: as many as there are cores, once they would have
    saved what it takes to start them.
    Processes stay for the next evaluation; all evaluations are of policies with networks of the same shape.
    """

    def __init__(self, run: Run, env: gymnasium.Env[Any, Any], workers: int | None = None) -> None:
        self._run, self._env, self._workers = run, env, workers
        self._players: Players | None = None
        self._missed_s = 0.0  # what processes would have saved until now

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        players, self._players = self._players, None
        if players is not None:
            players.__exit__(kind, error, trace)

    def __call__(self, state: TrainingState, seeds: Sequence[int], progress: Progress = iter) -> Evaluation:
        """The deterministic policy of an agent, one episode per seed.

        progress: wraps the seeds, to show how far it is; each is taken before its episode is waited for.
        Raises: RunError: a process failed or died.
        """
        with _one_thread():
            return figures_of(self._episodes(state, seeds, iter(progress(seeds))))

    def _episodes(
        self, state: TrainingState, seeds: Sequence[int], progress: Iterator[int]
    ) -> Iterator[Episode]:
        count, choose = self._workers, policy_of(state)
        if self._players is None and count is None:
            begin_s = time.monotonic()
            first = play(self._env, choose, next(progress))
            seeds = seeds[1:]
            count = self._worth(time.monotonic() - begin_s, len(seeds))
            yield first
        if self._players is None and (count == 1 or not seeds):
            yield from (play(self._env, choose, seed) for seed in progress)
            return
        policy = state.agent.policy()
        if self._players is None:
            assert count is not None
            count = min(count, len(seeds))
            self._players = Players(self._run.task, state.spec, policy, count, "evaluation process")
            self._players.__enter__()
        requests = [Request(seed) for seed in seeds]
        played = self._players.play_all(requests, self._players.weights(policy))
        yield from (episode for _, episode in zip(progress, played, strict=False))

    def _worth(self, episode_s: float, episodes: int) -> int:
        """How many processes are worth starting for the rest, if each episode takes so long [s]."""
        count = max(1, min(len(os.sched_getaffinity(0)), MOST, episodes))
        saved_s = episode_s * episodes * (1 - 1 / count)
        if self._missed_s + saved_s >= STARTING_S:
            return count
        self._missed_s += saved_s
        return 1


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
