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
from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journals, folder_of
from robot_orl.data.store.layout import DATASET_FILE
from robot_orl.data.store.place import Location
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import recover
from robot_orl.data.store.root import check_writable
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.intervention import StandsBy
from robot_orl.progress import Bar
from robot_orl.registry import factory
from robot_orl.schema import differing
from robot_orl.tasks import make_env, spec_of
from robot_orl.types import Operator


def run(cfg: CollectConfig) -> None:
    env = make_env(cfg.task)
    spec = spec_of(env)
    operator = factory("operator", cfg.operator.name)(cfg.operator, spec)
    _require_actor(operator, cfg.operator.name)
    root = place_at(cfg.out)
    check_writable(root, spec)
    with _session(cfg, root.path):
        _collect(cfg, env, operator, root.path)


def _require_actor(operator: Any, name: str) -> None:
    """Raises: UsageError: it only takes over from a policy."""
    from data_collection.teleop.hands import Interactive

    if isinstance(operator, StandsBy) and not isinstance(operator, Interactive):
        raise UsageError(
            f"operator={name} takes over from a policy, and alone does nothing: finetune and deploy take it"
        )


def lock_name(operator: str, seed: int) -> str:
    """Of the file that a session of this operator and seed holds in the dataset's folder."""
    return f".collect-{operator}-{seed}.lock"


@contextmanager
def _session(cfg: CollectConfig, root: Location) -> Iterator[None]:
    """One session per operator and seed at a time, so that no two find the same seeds missing.

    Of a dataset in an object store, one on this machine; others show in their segments.
    Raises: UsageError: names the other process.  RunError: the folder cannot be written.
    """
    path = root if isinstance(root, Path) else folder_of(root).parent
    name = lock_name(cfg.operator.name, cfg.seed)
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = lock.hold(path, name)
    except BlockingIOError as error:
        raise _taken(cfg, root, lock.holder(path, name) or "another process") from error
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _collect(cfg: CollectConfig, env: gymnasium.Env[Any, Any], operator: Operator, path: Location) -> None:
    from data_collection.record import missing_seeds, record
    from data_collection.teleop.hands import Interactive

    spec = spec_of(env)
    if cut_off := recover(path).summary():
        out.print(f"{path}: {cut_off}")
    dataset = Dataset.open(path, allow_empty=True) if place_at(path).has(DATASET_FILE) else None
    if dataset is not None:
        _require_nobody_else(cfg, dataset, isinstance(operator, Interactive))
    if isinstance(operator, Interactive):
        return _teleoperate(cfg, env, operator, path, dataset)
    seeds = missing_seeds(dataset, operator.name, cfg.seed, cfg.episodes)
    if not seeds:
        out.print(
            f"{path} already holds these {cfg.episodes} episodes of '{operator.name}' with seed={cfg.seed}; "
            "choose more episodes= or another seed="
        )
        return
    made_by = spec, operator.name, asdict(cfg), cfg.task.kwargs
    journals = Journals(path, *made_by)
    try:
        with (
            StopFlag() as stop,
            BackgroundWriter(SegmentWriter(path, *made_by), journals) as writer,
            Bar(f"collect: {operator.name}", cfg.episodes, cfg.episodes - len(seeds)) as bar,
        ):
            record(env, operator, writer, seeds, bar, stop, cfg.realtime)
    finally:
        if failed := journals.told():
            out.print(failed)
    _tell(path)


def _teleoperate(
    cfg: CollectConfig,
    env: gymnasium.Env[Any, Any],
    operator: Any,
    path: Location,
    dataset: Dataset | None,
) -> None:
    """A person records until they quit; `episodes` is how many good ones are wanted.

    operator: an Interactive one, see data_collection/teleop/hands.py.
    """
    from data_collection.record import recorded, unrecorded_seeds
    from data_collection.teleop.drive import hold_session
    from data_collection.teleop.session import RecordingSession
    from data_collection.teleop.shelf import Shelf

    before = recorded(dataset, operator.name, cfg.seed)
    session = RecordingSession(
        cfg.episodes,
        good=sum(bool(meta.success) for meta in before),
        episodes=len(before),
        countdown_s=operator.cfg.countdown_s,
        instruction=operator.cfg.instruction,
        stop_at_success=operator.cfg.stop_at_success,
    )
    seeds = unrecorded_seeds(before, cfg.seed)
    with StopFlag() as stop, Shelf(path, spec_of(env), operator.name, asdict(cfg), cfg.task.kwargs) as shelf:
        try:
            hold_session(env, operator, shelf, session, seeds, stop)
        finally:
            if failed := shelf.journals.told():
                out.print(failed)
    progress = f"{session.good} of {session.target} good episodes of '{operator.name}' with seed={cfg.seed}"
    stop.check(f"{progress} are committed; the same command goes on")
    out.print(progress)
    _tell(path)


def _tell(path: Location) -> None:
    if not place_at(path).has(DATASET_FILE):
        return out.print(f"{path}: nothing was recorded")
    info = Dataset.open(path, allow_empty=True).info()
    if not info.episodes:
        return out.print(f"{path}: no episodes")
    out.print(
        f"{path}: {info.episodes} episodes, {info.transitions} transitions, {info.success:.0%} successful"
    )


def _require_nobody_else(cfg: CollectConfig, dataset: Dataset, may_change: bool) -> None:
    """Episodes are known by operator and start seed, so one seed goes with one way of acting, once at a time.

    may_change: it is a person, who does not act the same way anyhow.
    Raises: UsageError.
    """
    for segment in dataset.segments:
        before = segment.attributes["config"]
        if (before.get("operator", {}).get("name"), before.get("seed")) != (cfg.operator.name, cfg.seed):
            continue
        if segment.writer:
            raise _taken(cfg, dataset.path, segment.writer)
        changed = differing(before["operator"], asdict(cfg.operator), "operator.")
        if changed and not may_change:
            raise UsageError(
                f"{dataset.path} holds episodes of '{cfg.operator.name}' with seed={cfg.seed} and other "
                f"values of: {', '.join(changed)}; choose another seed= or out="
            )


def _taken(cfg: CollectConfig, root: Location, writer: str) -> UsageError:
    return UsageError(
        f"{writer} collects '{cfg.operator.name}' with seed={cfg.seed} into {root}; choose another seed="
    )
