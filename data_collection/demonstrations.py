"""Recorded demonstrations that can be acted out again: where each began, and what was done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import gymnasium
import numpy as np

from robot_orl.data.query import select
from robot_orl.data.store.place import location
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.tasks import task_env
from robot_orl.types import Array, Observation, Spec

REPLAYER = "replay"  # name of the operator that acts demonstrations out
Start = Mapping[str, list[float]]


class Restartable(Protocol):
    """What a task offers whose episodes can be begun where others were.

    movable: coordinates of what is handled that differ between starts, by its name in a start.
    """

    movable: Mapping[str, tuple[int, ...]]

    def start_state(self) -> dict[str, list[float]]:
        """Where things are now: as reset option `initial_state_dict` it begins an episode so."""

    def set_sim_state(self, state: Array) -> Observation: ...


@dataclass(frozen=True)
class Demonstration:
    """name: uid in its dataset, or its id where that has none.  action: (T, A) float32, as executed.

    sim_state: (S,) float64 at the start, or None; then seed and options are those of its reset.
    """

    name: str
    action: Array
    sim_state: Array | None
    seed: int | None
    options: Mapping[str, Any]


def load_demonstrations(source: str, spec: Spec, where: str | None) -> list[Demonstration]:
    """Those of a dataset of which the query is true, in its order; replays are none, so they may be added
    to the very dataset.

    Raises: UsageError: none is left, it is still growing, or no such query.  DataError: there is no dataset,
    it is of another task, or one of them cannot be begun again.
    """
    dataset = Dataset.open(location(source))
    _require_fits(dataset, spec)
    dataset = dataset.choose(record for record in dataset.episodes if record.meta.operator != REPLAYER)
    if not dataset.episodes:
        raise UsageError(f"operator.source={source} holds no demonstration: replays are not replayed again")
    chosen = dataset if where is None else select(dataset, where)
    if not chosen.episodes:
        raise UsageError(f"0 of {len(dataset.episodes):,} episodes of {source} match operator.where={where}")
    found = []
    for record, episode in zip(chosen.episodes, chosen.load_all(), strict=True):
        state = None if episode.sim_state is None else episode.sim_state[0]
        known = state is not None and bool(np.isfinite(state).all())
        if not known and record.meta.seed is None:
            raise DataError(
                f"episode {record.id} of {source} has neither a simulator state nor a seed to begin from; "
                "choose others with operator.where=..."
            )
        meta = record.meta
        name = record.uid or record.id
        found.append(
            Demonstration(name, episode.action, state if known else None, meta.seed, meta.reset_options)
        )
    return found


def start_of(demonstration: Demonstration, env: gymnasium.Env[Any, Any]) -> Start:
    """Where things were at its start; leaves the task there.

    Raises: DataError: the task cannot be begun so.
    """
    task = cast(Restartable, task_env(env))
    try:
        if demonstration.sim_state is not None:
            task.set_sim_state(demonstration.sim_state)
        else:
            env.reset(seed=demonstration.seed, options=dict(demonstration.options) or None)
        return task.start_state()
    except (UsageError, ValueError) as error:  # ValueError: no task takes such a seed
        raise DataError(f"demonstration {demonstration.name} cannot be begun again: {error}") from error


def _require_fits(dataset: Dataset, spec: Spec) -> None:
    """Only actions are taken from it, so only they and their rate must be the task's.

    Raises: DataError: they are not.  UsageError: it is being written, so that it will differ tomorrow.
    """
    found, where = dataset.spec, str(dataset.path)
    if found.task != spec.task:
        raise DataError(f"operator.source={where} is of task '{found.task}', not '{spec.task}'")
    if writers := [segment.writer for segment in dataset.segments if segment.writer]:
        raise UsageError(f"operator.source={where} is being written by {', '.join(writers)}")
    if (found.action, found.control_hz) != (spec.action, spec.control_hz):
        raise DataError(f"operator.source={where} has other actions or another rate than task '{spec.task}'")
