"""What the tests of the command line share: small settings, fingerprints of folders, real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

TRAIN = ["agent.hidden=[16,16]", "agent.batch_size=16", "steps=20", "baseline_steps=10", "log_every=5"]
TRAIN += ["eval_every=10", "eval_episodes=1", "checkpoint_every=5", "final_episodes=2"]
TUNE = ["env_steps=100", "warmup_steps=50", "log_every=50", "eval_every=50", "eval_episodes=1"]
TUNE += ["final_episodes=2"]
TASKS = "adroit_door, adroit_hammer, adroit_pen, adroit_relocate, arm_lift, arm_push, arm_reach, fetch_pick"
DEADLINE_S = 300.0
Refused = Callable[..., str]


@dataclass(frozen=True)
class Made:
    """Folders that tests only read: `reach` and `push` are datasets, `push_run` is of another task."""

    root: Path

    @property
    def reach(self) -> Path:
        return self.root / "reach"

    @property
    def push(self) -> Path:
        return self.root / "push"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def push_run(self) -> Path:
        return self.root / "push_run"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"


def contents(path: Path) -> dict[str, str]:
    """Every file below `path` but locks, with the hash of its bytes."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and "lock" not in file.name]
    return {str(file.relative_to(path)): sha256(file.read_bytes()).hexdigest() for file in files}


def flip_byte(file: Path) -> None:
    """Damage one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def start(words: list[object], **options: Any) -> subprocess.Popen[str]:
    """`robot-orl WORDS` as a process in a group of its own."""
    command = [sys.executable, "-m", "robot_orl.cli", *map(str, words)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes | options)


def run(words: list[object], **options: Any) -> subprocess.CompletedProcess[str]:
    """`robot-orl WORDS` to its end."""
    process = start(words, **options)
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def stop_when(
    process: subprocess.Popen[str], is_time: Callable[[], bool], number: int = signal.SIGINT
) -> tuple[int, str]:
    """Send the signal as soon as `is_time`; returns exit code and stderr."""
    deadline = time.monotonic() + DEADLINE_S
    try:
        while not is_time():
            assert process.poll() is None, f"it ended by itself: {process.communicate()[1]}"
            assert time.monotonic() < deadline, "it did not come that far"
            time.sleep(0.01)
        process.send_signal(number)
        return process.wait(DEADLINE_S), process.communicate()[1]
    finally:
        process.kill()


def committed(dataset: Path) -> int:
    """Complete lines in the commit logs of a dataset."""
    return sum(log.read_bytes().count(b"\n") for log in dataset.glob("segments/*/episodes.jsonl"))


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The complete lines of a run's metrics.jsonl."""
    file = folder / "metrics.jsonl"
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
