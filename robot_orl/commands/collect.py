"""`robot-orl collect`: record demonstrations of a task into a dataset."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium

from robot_orl.commands.tables import out
from robot_orl.config import CollectConfig
from robot_orl.data.store import lock
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.root import check_writable
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.registry import factory
from robot_orl.schema import differing
from robot_orl.tasks import make_env, spec_of
from robot_orl.types import Operator

SESSION_LOCK = ".collect.lock"


def run(cfg: CollectConfig) -> None:
    env = make_env(cfg.task)
    spec = spec_of(env)
    operator = factory("operator", cfg.operator.name)(cfg.operator, spec)
    path = Path(cfg.out)
    check_writable(place_at(path), spec)
    with _session(path):
        _collect(cfg, env, operator, path)


@contextmanager
def _session(path: Path) -> Iterator[None]:
    """One collecting session at a time, so that no two find the same seeds missing.

    Raises: UsageError: names the other process.  RunError: the folder cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = lock.hold(path, SESSION_LOCK)
    except BlockingIOError as error:
        owner = lock.holder(path, SESSION_LOCK) or "another process"
        raise UsageError(f"dataset {path} is being written by {owner}") from error
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _collect(cfg: CollectConfig, env: gymnasium.Env[Any, Any], operator: Operator, path: Path) -> None:
    from data_collection.record import missing_seeds, record

    spec = spec_of(env)
    dataset = Dataset.open(path, allow_empty=True) if (path / "dataset.json").exists() else None
    if dataset is not None and (writers := dataset.info().writers):
        raise UsageError(f"dataset {path} is being written by {', '.join(writers)}")
    if dataset is not None:
        _require_same_operator(cfg, dataset)
    seeds = missing_seeds(dataset, operator.name, cfg.seed, cfg.episodes)
    if not seeds:
        out.print(
            f"{path} already holds these {cfg.episodes} episodes of '{operator.name}' with seed={cfg.seed}; "
            "choose more episodes= or another seed="
        )
        return
    with (
        StopFlag() as stop,
        SegmentWriter(path, spec, operator.name, asdict(cfg), cfg.task.kwargs) as writer,
        Bar(f"collect: {operator.name}", cfg.episodes, cfg.episodes - len(seeds)) as bar,
    ):
        record(env, operator, writer, seeds, bar, stop, cfg.realtime)
    info = Dataset.open(path).info()
    out.print(
        f"{path}: {info.episodes} episodes, {info.transitions} transitions, {info.success:.0%} successful"
    )


def _require_same_operator(cfg: CollectConfig, dataset: Dataset) -> None:
    """Episodes are known by operator and start seed, so one seed goes with one way of acting."""
    for segment in dataset.segments:
        before = segment.attributes["config"]
        if (before.get("operator", {}).get("name"), before.get("seed")) != (cfg.operator.name, cfg.seed):
            continue
        if changed := differing(before["operator"], asdict(cfg.operator), "operator."):
            raise UsageError(
                f"{dataset.path} holds episodes of '{cfg.operator.name}' with seed={cfg.seed} and other "
                f"values of: {', '.join(changed)}; choose another seed= or out="
            )
