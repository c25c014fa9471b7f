"""Environment processes beside the learner: ask for episodes, go on learning, take them when they are there.

    with Players(task, spec, agent.policy(), count=2) as players:
        weights = players.weights(agent.policy())            # what the next episodes are played with
        players.start(0, Request(seed=7, noise=0.1, noise_seed=(0, 1, 7)), weights)
        ...                                                  # learn
        episode = players.take(0)                            # waits until it has been played

The processes are forked from a server that has imported everything once, so that a second one costs little
time and memory. They leave Ctrl-C to the learner, and end with it, however it ends.
"""

import mmap
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from types import TracebackType
from typing import Any

import gymnasium
from torch import nn

from robot_orl.errors import RunError, unknown
from robot_orl.interrupt import STOP_SIGNALS
from robot_orl.tasks import TaskConfig
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.online.desk import Desk
from robot_orl.training.playing.player import Failed, Measure, Played, Ready, Request, Setting, Stop, serve
from robot_orl.training.playing.shared_memory import Room, Weights
from robot_orl.types import Array, Episode, Spec

__all__ = ["Players", "Request", "warm_up"]

ENDS_S = 5.0  # how long a player that was told to end may take
_CONTEXT = get_context("forkserver")


def warm_up(task: TaskConfig) -> None:
    """Begin to import what players need; returns at once. Optional: the first `Players` does it as well."""
    entry = _registration(task).entry_point
    modules = [serve.__module__, *([entry.split(":")[0]] if isinstance(entry, str) else [])]
    _CONTEXT.set_forkserver_preload(modules)
    resource_tracker.ensure_running()  # it unblocks signals
    with _signals_blocked(), _one_thread():
        ensure_running()


class Players:
    """A context manager. task: made in each process.  spec: the task's.  policy: the module that acts.

    count: how many processes.  what: their name in errors.  operator: settings of who may take over there
    while the policy acts; None: nobody.  desk: at which they sit, where there is one player.
    """

    def __init__(
        self,
        task: TaskConfig,
        spec: Spec,
        policy: nn.Module,
        count: int,
        what: str = "environment process",
        operator: Any = None,
        desk: Desk | None = None,
    ) -> None:
        self.count = count
        self._desk = desk
        self._weights = Weights(policy)
        packed = pickle.dumps(deepcopy(policy).cpu())
        self._setting = Setting(task, _registration(task), spec, packed, operator)
        self._what = what
        self._players: list[_Player] = []

    def __enter__(self) -> "Players":
        warm_up(self._setting.task)
        try:
            for number in range(self.count):
                self._players.append(_Player(f"{self._what} {number}", self._setting, self._desk))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for player in self._players:
            player.close()
        self._players.clear()

    def weights(self, policy: nn.Module) -> Array:
        """A copy of its weights as they are now, (bytes,) uint8."""
        return self._weights.of(policy)

    def name_of(self, weights: Array) -> str:
        """12 hex digits that name these weights."""
        return self._weights.name(weights)

    def start(self, player: int, request: Request, weights: Array) -> None:
        """Ask an idle player for an episode with these weights; waits only while it is being made."""
        self._players[player].start(request, weights)

    def take(self, player: int) -> Episode:
        """The episode that this player was asked for, once it is played.

        Raises: RunError: the process failed or died; nothing else is lost.
        """
        return self._players[player].take(self._weights.size)

    def interrupt(self, player: int) -> Episode | None:
        """The episode under way, which ends now; None: no person acts in it. Raises: as `take`."""
        return self._players[player].interrupt(self._weights.size)

    def measure(self, player: int, seeds: Sequence[int], weights: Array) -> None:
        """Ask an idle player for an evaluation on these seeds."""
        self._players[player].start(Measure(seeds), weights)

    def measured(self, player: int) -> Evaluation:
        """The evaluation that this player was asked for, once it is made. Raises: as `take`."""
        return self._players[player].answer()

    def played(self, timeout_s: float | None = None) -> list[int]:
        """Busy players whose answer is there; waits for one. timeout_s: 0: does not wait; None: for ever."""
        busy = {player.connection: n for n, player in enumerate(self._players) if player.is_busy}
        ready = wait(list(busy), timeout_s) if busy else []
        return sorted(busy[connection] for connection in ready)  # type: ignore[index]

    def is_played(self, player: int, timeout_s: float) -> bool:
        """Whether the answer of this busy player is there, or it failed; waits for that at most so long."""
        return self._players[player].connection.poll(timeout_s)

    def play_all(self, requests: Sequence[Request], weights: Array) -> Iterator[Episode]:
        """The episodes in the order of the requests, all players at work. They must be idle before."""
        for number, request in enumerate(requests[: self.count]):
            self.start(number, request, weights)
        for number in range(len(requests)):
            episode = self.take(number % self.count)
            if number + self.count < len(requests):
                self.start(number % self.count, requests[number + self.count], weights)
            yield episode


class _Player:
    """One process, its pipe and its memory."""

    def __init__(self, name: str, setting: Setting, desk: Desk | None) -> None:
        self.name, self.is_busy, self.is_paced = name, False, False
        self._setting = setting
        self._room: Room | None = None  # known once its environment is made
        self._memory: mmap.mmap | None = None
        self._descriptor = os.memfd_create("player")
        self.connection, theirs = _CONTEXT.Pipe()
        try:
            with _signals_blocked():
                # Read while the process is being made: that is when a descriptor can be given to it.
                seat = None if desk is None else tuple(map(_Given, desk.descriptors))
                given = (theirs, _Given(self._descriptor), setting, seat)
                self._process: BaseProcess = _CONTEXT.Process(
                    target=serve, args=given, daemon=True, name=name
                )
                self._process.start()
        except BaseException:
            self.connection.close()
            os.close(self._descriptor)
            raise
        finally:
            theirs.close()

    def start(self, request: Request | Measure, weights: Array) -> None:
        assert not self.is_busy, f"{self.name} is playing"
        if self._memory is None:
            ready = self._receive()
            assert isinstance(ready, Ready)
            self._room = Room(self._setting.spec, ready.sim_state_size, ready.steps)
            self.is_paced = ready.is_paced
            self._memory = mmap.mmap(self._descriptor, len(weights) + self._room.size)
        self._memory[: len(weights)] = weights.data
        try:
            self.connection.send(request)
        except OSError:
            raise self._death() from None
        self.is_busy = True

    def take(self, start: int) -> Episode:
        """start: where the episode begins in the memory [bytes]."""
        return self._read(start, self.answer())

    def interrupt(self, start: int) -> Episode | None:
        if not (self.is_busy and self.is_paced):
            return None
        try:
            self.connection.send(Stop())
        except OSError:
            raise self._death() from None
        if not self.connection.poll(ENDS_S):
            return None
        played = self.answer()
        return None if played is None else self._read(start, played)

    def _read(self, start: int, played: Played) -> Episode:
        assert self._room is not None
        return self._room.read(self._memory, start, played.length, played.has_state, played.meta)

    def answer(self) -> Any:
        """What it was asked for."""
        assert self.is_busy, f"{self.name} was asked for nothing"
        answer = self._receive()
        self.is_busy = False
        return answer

    def _receive(self) -> Any:
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(answer, Failed):
            raise RunError(f"{self.name} failed: {answer.line}")
        return answer

    def _death(self) -> RunError:
        self._process.join(ENDS_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        return RunError(f"{self.name} (process {self._process.pid}) {how}; the same command goes on")

    def close(self) -> None:
        """An episode under way is given up."""
        with suppress(OSError):
            self.connection.close()
        if self.is_busy:
            self._process.kill()
        self._process.join(ENDS_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        if self._memory is not None:
            self._memory.close()
        os.close(self._descriptor)


class _Given:
    """A descriptor that is given to a process as it is started."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> Any:
        return _received, (DupFd(self._descriptor),)


def _received(duplicate: Any) -> int:
    """In the new process: the descriptor's number there."""
    return int(duplicate.detach())


def _registration(task: TaskConfig) -> Any:
    if task.name not in gymnasium.registry:
        raise unknown("task", task.name, [i for i, s in gymnasium.registry.items() if s.version is None])
    return gymnasium.registry[task.name]


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started inside never answers them: they reach the whole group of a terminal's processes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """What is started inside computes on one thread; a server that forks must have no others."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
