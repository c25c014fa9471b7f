"""What several commands take: datasets, and that things fit together."""

from collections.abc import Sequence
from typing import Any

import gymnasium

from robot_orl.data.query import select
from robot_orl.data.sampling.replay import Replay
from robot_orl.data.store.place import Location, location
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar, console
from robot_orl.tasks import TaskConfig, mirror_of_task, spec_of, task_env
from robot_orl.training.checks.data_checks import check_data, differences, require_finite
from robot_orl.training.checks.memory import available_memory, require_memory
from robot_orl.types import Spec


def data_paths(data: Any) -> list[Location]:
    """One folder or URL, or a list of them."""
    paths = [data] if isinstance(data, str) else data
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise UsageError(f"data={data} is not a folder or a list of folders such as [data/a,data/b]")
    return [location(path) for path in paths]


def open_datasets(paths: Sequence[Location], where: str | None = None) -> list[Dataset]:
    """where: only the episodes of which this query is true are in use; nothing is copied.

    Raises: DataError: one is missing, damaged, or of another task than the first.  UsageError: one is
    given twice, or is still growing, so that the same command would find other data in it later; the query
    is none, or true of no episode.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"data=[{','.join(map(str, paths))}] names a folder twice")
    datasets = [Dataset.open(path) for path in paths]
    for dataset in datasets[1:]:
        require_spec(datasets[0].spec, dataset.spec, f"dataset {dataset.path}")
    for dataset in datasets:
        if writers := [segment.writer for segment in dataset.segments if segment.writer]:
            raise UsageError(f"dataset {dataset.path} is being written by {', '.join(writers)}")
    return datasets if where is None else _selected(datasets, where)


def _selected(datasets: list[Dataset], where: str) -> list[Dataset]:
    chosen = [select(dataset, where) for dataset in datasets]
    if not any(dataset.episodes for dataset in chosen):
        count = sum(len(dataset.episodes) for dataset in datasets)
        raise UsageError(f"0 of {count:,} episodes match where={where}")
    return chosen


def task_of(dataset: Dataset) -> TaskConfig:
    """The task it was recorded in, without cameras: who learns from observations draws no frames."""
    kwargs = dict(dataset.segments[0].attributes["env_kwargs"])
    kwargs.pop("cameras", None)
    return TaskConfig(dataset.spec.task, kwargs)


def require_spec(wanted: Spec, found: Spec, what: str) -> None:
    """Cameras may differ: nothing here learns from frames or acts on them. Raises: DataError."""
    if found.task != wanted.task:
        raise DataError(f"{what} is of task '{found.task}', not '{wanted.task}'")
    if found.without_cameras() != wanted.without_cameras():
        said = "; ".join(differences(wanted, found)) or "a range or a unit differs"
        raise DataError(f"{what} is not of the task '{wanted.task}' as it is now: {said}")


def fingerprint_of(datasets: list[Dataset]) -> str:
    return "+".join(dataset.fingerprint() for dataset in datasets)


def load_replay(env: gymnasium.Env[Any, Any], datasets: list[Dataset], stop: StopFlag, agent: Any) -> Replay:
    """All episodes in RAM, each checksum verified, with the task's own rewards for other goals.

    agent: configuration of who learns from them; what is odd about the data is told once, before training.
    Raises: Interrupted: between two episodes.  UsageError: they do not fit into memory, or the agent as it
    is set cannot learn from them.  DataError: nothing can be learned from them.
    """
    spec = spec_of(env)
    replay = Replay(spec, task_env(env).reward_for if spec.desired_goal else None, mirror_of_task(env))
    for dataset in datasets:
        require_spec(spec, dataset.spec, f"dataset {dataset.path}")
        dataset.check_extent()
    lengths = [record.length for dataset in datasets for record in dataset.episodes]
    require_memory(spec, lengths, available_memory())
    replay.reserve(sum(lengths), len(lengths))
    with Bar("load data", len(lengths)) as bar:
        for dataset in datasets:
            for record, episode in zip(dataset.episodes, dataset.load_all(sim_state=False), strict=True):
                stop.check("the data was still being read; the same command goes on")
                require_finite(episode, spec, f"episode {record.id} of {dataset.path}")
                replay.add(episode)
                bar.advance()
    for line in check_data(datasets, replay, agent.for_task(spec)):
        console.print(f"warning: {line}", highlight=False, soft_wrap=True)
    return replay
