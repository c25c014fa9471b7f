"""A run folder: what was asked, what happened, and where to go on.

config.yaml      the resolved configuration of pretraining
metrics.jsonl    one line per log step: stage, step, env_steps, wall_s, metrics
tensorboard/     the same for TensorBoard
checkpoints/     bc.ckpt, offline.ckpt, online.ckpt and what is kept beside them, see kept.py
online/          the dataset of finetuning
summary.json     the figures of the run
"""

import fcntl
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf

from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.tasks import TaskConfig
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.runs.kept import LAST, Checkpoints
from robot_orl.types import Metrics

STAGES = ("bc", "offline", "online")
BY_STAGE = ("wall_s", "best")  # entries of the summary that are merged stage by stage
EVALUATED = "eval/success"  # the metric that marks a line as an evaluation


class Run:
    """One writer at a time: opening for writing takes a lock. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checkpoints = Checkpoints(path / "checkpoints")
        self._lock: TextIO | None = None
        self._metrics: TextIO | None = None
        self._board: Any = None

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """An existing run. Raises: UsageError: there is none at `path`."""
        path = Path(path)
        if not (path / "config.yaml").is_file():
            raise UsageError(f"no run at '{path}': it has no config.yaml; `pretrain out={path}` makes one")
        return cls(path)

    def __enter__(self) -> "Run":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise UsageError(f"cannot write run folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "?"
            raise UsageError(f"run {self.path} is being written by process {owner}") from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._metrics, self._board, self._lock):
            if stream is not None:
                stream.close()
        self._metrics = self._board = self._lock = None

    # configuration

    @property
    def config(self) -> DictConfig:
        try:
            config = OmegaConf.load(self.path / "config.yaml")
        except Exception as error:  # a damaged YAML raises many kinds
            raise DataError(
                f"{self.path / 'config.yaml'} cannot be read: {str(error).splitlines()[0]}"
            ) from error
        if not isinstance(config, DictConfig):
            raise DataError(f"{self.path / 'config.yaml'} is damaged: it is not a mapping")
        return config

    def part(self, name: str) -> Any:
        """An entry of the configuration. Raises: DataError: it is not there, or has no name of its own."""
        part = self.config.get(name)
        if part is None or (name in ("task", "agent") and "name" not in part):
            raise DataError(f"{self.path / 'config.yaml'} is damaged: it has no whole '{name}'")
        return part

    @property
    def task(self) -> TaskConfig:
        """The task that the run learns."""
        task = self.part("task")
        return TaskConfig(task.name, dict(task.get("kwargs") or {}))

    def save_config(self, config: Any) -> None:
        write_whole(self.path / "config.yaml", OmegaConf.to_yaml(config))

    # checkpoints

    def checkpoint_path(self, stage: str, which: str = LAST) -> Path:
        return self._checkpoints.path(stage, which)

    def has(self, stage: str, which: str = LAST) -> bool:
        """Whether `load` would find a file; it may be damaged."""
        return self._checkpoints.has(stage, which)

    def save(self, stage: str, state: dict[str, Any]) -> None:
        """The stage's last checkpoint; the one before it is kept until the next."""
        self._checkpoints.save(stage, state)

    def save_best(self, stage: str, state: dict[str, Any], evaluation: Evaluation, step: int) -> bool:
        """Keep `state` if `evaluation`, made at `step`, has the best lower bound so far; tells whether.

        Before the evaluation is logged: what was killed in between does both again.
        """
        return self._checkpoints.save_best(stage, state, evaluation, step)

    def put_best(self, stage: str, state: dict[str, Any], evaluation: Evaluation, step: int) -> None:
        """Keep `state` as the stage's best, whatever `save_best` kept before."""
        self._checkpoints.put_best(stage, state, evaluation, step)

    def best(self, stage: str) -> tuple[Evaluation, int] | None:
        """How the stage's best policy was measured, and at which step; None: there is none."""
        return self._checkpoints.best(stage)

    def keep(self, stage: str, step: int) -> None:
        """Keep the checkpoint that `load` finds for good, as that of `step`."""
        self._checkpoints.keep(stage, step)

    def kept(self, stage: str) -> list[int]:
        """The steps whose checkpoints are kept for good."""
        return self._checkpoints.kept(stage)

    def load(self, stage: str, which: str = LAST) -> dict[str, Any]:
        """which: last, best, or a step. A damaged last one is replaced by the previous, with a warning.

        Raises: DataError: there is none that is whole.
        """
        return self._checkpoints.load(stage, which)

    def find(self, stage: str, which: str = LAST) -> tuple[Path, dict[str, Any]]:
        """Like `load`, with the file that it came from."""
        return self._checkpoints.find(stage, which)

    def latest_stage(self) -> str:
        """online, else offline, else bc. Raises: UsageError: nothing was trained."""
        for stage in reversed(STAGES):
            if self.has(stage):
                return stage
        raise UsageError(f"run {self.path} has no checkpoint yet; run `pretrain out={self.path}` first")

    # metrics

    def start_log(self, stage: str, step: int, measures_again: bool = False) -> None:
        """Go on logging `stage` from `step`: lines beyond it, of a killed process, are dropped.

        measures_again: nothing but the last evaluation will follow, so that of this step is dropped, too.
        """
        from torch.utils.tensorboard import SummaryWriter

        def is_kept(row: dict[str, Any]) -> bool:
            if row["stage"] != stage or row["step"] < step:
                return True
            return row["step"] == step and not (measures_again and EVALUATED in row)

        path = self.path / "metrics.jsonl"
        kept = [row for row in read_metrics(self.path) if is_kept(row)]
        write_whole(path, "".join(json.dumps(row) + "\n" for row in kept))
        if self._metrics is not None:
            self._metrics.close()
            self._board.close()
        self._metrics = path.open("a")
        board = self.path / "tensorboard" / stage
        self._board = SummaryWriter(str(board), purge_step=step + 1)

    def last_evaluation(self, stage: str) -> int:
        """The last step of `stage` at which its policy was measured; 0 if it never was."""
        rows = read_metrics(self.path)
        return max((row["step"] for row in rows if row["stage"] == stage and EVALUATED in row), default=0)

    def log(self, stage: str, step: int, env_steps: int, wall_s: float, metrics: Metrics) -> None:
        """metrics: numbers or one-element tensors. Raises: RunError: training diverged, or the disk."""
        assert self._metrics is not None, "start_log first"
        values = finite(stage, step, metrics)
        row = {"stage": stage, "step": step, "env_steps": env_steps, "wall_s": round(wall_s, 3), **values}
        try:
            self._metrics.write(json.dumps(row) + "\n")
            self._metrics.flush()
        except OSError as error:
            raise RunError(f"cannot write {self.path / 'metrics.jsonl'}: {error.strerror}") from error
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    # summary

    @property
    def summary(self) -> dict[str, Any]:
        try:
            summary = json.loads((self.path / "summary.json").read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DataError(f"{self.path / 'summary.json'} is damaged: {error}") from error
        if not isinstance(summary, dict):
            raise DataError(f"{self.path / 'summary.json'} is damaged: it is not an object")
        return summary

    def update_summary(self, values: Mapping[str, Any]) -> None:
        """Replace top-level entries; `wall_s` and `best` are merged stage by stage."""
        summary = self.summary
        for name, value in values.items():
            summary[name] = summary.get(name, {}) | value if name in BY_STAGE else value
        write_whole(self.path / "summary.json", json.dumps(summary, indent=2) + "\n")


class StageClock:
    """Seconds spent in a stage, earlier processes included."""

    def __init__(self, before_s: float = 0.0) -> None:
        self._start = time.monotonic() - before_s

    def __call__(self) -> float:
        return time.monotonic() - self._start


def finite(stage: str, step: int, metrics: Metrics) -> dict[str, float]:
    """The metrics as plain numbers. Raises: RunError: one is not finite, so training diverged."""
    values = {name: float(value) for name, value in metrics.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise RunError(
                f"{stage} diverged: {name} is {value} at step {step}; the checkpoint before it is kept, "
                "lower learning rates may help"
            )
    return values


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a run's metrics.jsonl; a torn last one, or a damaged one, is left out."""
    try:
        lines = (path / "metrics.jsonl").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"stage", "step"} <= row.keys():
            rows.append(row)
    return rows


def write_whole(path: Path, text: str) -> None:
    """The file is there complete or not at all. Raises: RunError: it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
