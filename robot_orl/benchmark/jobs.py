"""Plays jobs, each a few commands in processes of their own, at most so many at once; stops without loss.

What a job has behind it stands in its folder, so that the same job goes on after any end:

    spent.json    wall-clock and core-seconds of every process, also of those that were cut off
    log.txt       what the commands said
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robot_orl.errors import RunError
from robot_orl.interrupt import StopFlag, die_with_parent

POLL_S = 0.05


@dataclass(frozen=True)
class Command:
    """name: unique within its job."""

    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """Commands in their order. needs: names of jobs that have to be finished before."""

    name: str
    folder: Path
    commands: tuple[Command, ...]
    needs: tuple[str, ...] = ()


class Ledger:
    """What a job's processes did and took so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spent.json"
        try:
            self.processes: list[dict[str, Any]] = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.processes = []

    def has(self, command: Command) -> bool:
        return any(p["command"] == command.name and p["exit_code"] == 0 for p in self.processes)

    def add(self, command: Command, code: int, wall_s: float, core_s: float) -> None:
        """Raises: RunError: it cannot be written."""
        spent = {"wall_s": round(wall_s, 2), "core_s": round(core_s, 2)}
        self.processes.append({"command": command.name, "exit_code": code} | spent)
        partial = self.path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self.processes, indent=1) + "\n")
            partial.replace(self.path)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error

    def spent(self) -> dict[str, dict[str, float]]:
        """Per command, all of its processes together: wall_s, core_s [s]."""
        total: dict[str, dict[str, float]] = {}
        for process in self.processes:
            entry = total.setdefault(process["command"], {"wall_s": 0.0, "core_s": 0.0})
            for unit in entry:
                entry[unit] = round(entry[unit] + process[unit], 2)
        return total


@dataclass
class _Playing:
    job: Job
    ledger: Ledger
    command: Command
    process: subprocess.Popen[bytes]
    began: float
    is_asked: bool = False  # to stop


@dataclass
class Player:
    """show: told what begins and ends.  finished: called for a job whose last command has ended well."""

    at_once: int
    show: Callable[[str], None]
    finished: Callable[[Job], None]
    failed: dict[str, str] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _playing: list[_Playing] = field(default_factory=list)

    def play(self, jobs: Sequence[Job], stop: StopFlag) -> None:
        """Returns when all are finished or `failed`; after a request to stop, as soon as all are saved."""
        waiting = list(jobs)
        try:
            while self._playing or (waiting and not stop.requested):
                if stop.requested:
                    self._interrupt()
                while not stop.requested and len(self._playing) < self.at_once:
                    if (job := self._next(waiting)) is None:
                        break
                    self._start(job)
                self._reap(stop)
                time.sleep(POLL_S)
        finally:  # a second Ctrl-C, or a bug: no process outlives us
            for playing in self._playing:
                playing.process.terminate()

    def _next(self, waiting: list[Job]) -> Job | None:
        """Takes the first job out of `waiting` that can begin; those that never can are marked as failed."""
        for job in list(waiting):
            if broken := [need for need in job.needs if need in self.failed]:
                waiting.remove(job)
                self._fail(job, f"needs {broken[0]}, which failed")
            elif all(need in self._done for need in job.needs):
                waiting.remove(job)
                return job
        return None

    def _start(self, job: Job) -> None:
        """Begin the job's next command; without one it is finished."""
        ledger = Ledger(job.folder)
        left = [command for command in job.commands if not ledger.has(command)]
        if not left:
            self._done.add(job.name)
            self.finished(job)
            return
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            with (job.folder / "log.txt").open("ab") as log:
                log.write(f"$ {' '.join(left[0].argv)}\n".encode())
                log.flush()
                process = subprocess.Popen(
                    left[0].argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={"OMP_NUM_THREADS": "1"} | os.environ,
                    process_group=0,  # a Ctrl-C reaches it once, through us
                    preexec_fn=die_with_parent,
                )
        except OSError as error:
            self._fail(job, str(error))
            return
        self._playing.append(_Playing(job, ledger, left[0], process, time.monotonic()))
        self.show(f"{job.name}: {left[0].name}")

    def _interrupt(self) -> None:
        """Ask every process once to save its state and end."""
        for playing in self._playing:
            if not playing.is_asked:
                playing.process.send_signal(signal.SIGINT)
                playing.is_asked = True

    def _reap(self, stop: StopFlag) -> None:
        for playing in list(self._playing):
            pid, status, usage = os.wait4(playing.process.pid, os.WNOHANG)
            if not pid:
                continue
            code = playing.process.returncode = os.waitstatus_to_exitcode(status)
            self._playing.remove(playing)
            wall_s = time.monotonic() - playing.began
            playing.ledger.add(playing.command, code, wall_s, usage.ru_utime + usage.ru_stime)
            if code == 0 and not stop.requested:
                self._start(playing.job)
            elif code and not stop.requested:
                self._fail(playing.job, f"{playing.command.name}: {_last_line(playing.job.folder)}")

    def _fail(self, job: Job, reason: str) -> None:
        self.failed[job.name] = reason
        self.show(f"{job.name}: failed")


def _last_line(folder: Path) -> str:
    """What a failed command said last."""
    lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("robot-orl: ") if lines else "no word"
