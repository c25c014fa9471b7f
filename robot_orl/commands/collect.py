"""`robot-orl collect`: record demonstrations of a task into a dataset."""

from dataclasses import asdict
from pathlib import Path

from robot_orl.commands.inputs import differing
from robot_orl.commands.tables import out
from robot_orl.config import CollectConfig
from robot_orl.data.reader import Dataset
from robot_orl.data.writer import SegmentWriter
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.registry import factory
from robot_orl.tasks import make_env, spec_of


def run(cfg: CollectConfig) -> None:
    from data_collection.record import missing_seeds, record

    env = make_env(cfg.task)
    spec = spec_of(env)
    operator = factory("operator", cfg.operator.name)(cfg.operator, spec)
    path = Path(cfg.out)
    dataset = Dataset.open(path, allow_empty=True) if (path / "dataset.json").exists() else None
    if dataset is not None and (writers := dataset.info().writers):
        raise UsageError(f"dataset {path} is being written by {', '.join(writers)}")
    if dataset is not None:
        if dataset.spec.task != spec.task:
            raise UsageError(f"{path} holds episodes of task {dataset.spec.task}, not of {spec.task}")
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
