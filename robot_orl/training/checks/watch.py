"""Stops a run that diverges, at the update where it began, and never slows the updates down for it.

What each update saw and said is kept as it is, and looked at many updates at a time: reading a number out
of a tensor would wait for it. Nothing is saved before it was looked at, so no checkpoint holds a NaN.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robot_orl.agents.base import TensorMetrics
from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import DataError, RunError
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState
from robot_orl.types import Array, Batch, Spec

FILE = "diverged.npz"
MOST_UPDATES = 128  # kept between two looks
MOST_BYTES = 64e6
ABSURD = 1e8  # no signal or reward of a task is as large
BEYOND = 10.0  # times what the rewards can give: no overestimation, but divergence
VALUES = ("critic/q", "critic/value")  # of actions and of states


@dataclass(frozen=True)
class Seen:
    """An update: its number, its batch, and what it said (M,)."""

    update: int
    batch: Batch
    names: tuple[str, ...]
    values: Tensor


class Watch:
    """Looks at the updates of one stage. replays: what it learns from, for the largest reward there is."""

    def __init__(self, run: Run, stage: str, state: TrainingState, replays: Iterable[Replay]) -> None:
        self._run, self._stage, self._state = run, stage, state
        self._seen: list[Seen] = []
        rewards = [np.abs(replay.rewards()).max(initial=0.0) for replay in replays]
        self._reward = max(1.0, *map(float, rewards))  # relabelled goals pay -1 or 0

    def saw(self, update: int, batch: Batch, metrics: TensorMetrics) -> None:
        """After each update, whose number it is. The batch must stay as it is. Raises: as `check`."""
        # A copy: a captured graph writes its next metrics into the same memory.
        values = torch.stack(list(metrics.values()))
        self._seen.append(Seen(update, batch, tuple(metrics), values))
        if len(self._seen) >= _most(batch):
            self.check()

    def check(self) -> None:
        """Look at all updates since the last look. Raises: RunError: one line about the first bad one."""
        if not self._seen:
            return
        values = torch.cat([seen.values for seen in self._seen]).tolist()
        limit = self._limit()
        for seen in self._seen:
            mine, values = values[: len(seen.names)], values[len(seen.names) :]
            for name, value in zip(seen.names, mine, strict=True):
                if not math.isfinite(value):
                    self._stop(seen, _first_odd(seen.batch, self._state.spec) or f"{name} is {value}")
                if name in VALUES and abs(value) > limit:
                    self._stop(seen, self._too_large(name, value))
        del self._seen[:-1]  # the last one, should its weights turn out to be bad

    def check_weights(self) -> None:
        """Before anything is saved: the updates, and every number that a checkpoint would hold."""
        self.check()
        for name, tensor in tensors_in(self._state.agent.state_dict()):
            if not torch.isfinite(tensor).all():
                bad = int((~torch.isfinite(tensor)).sum())
                self._stop(
                    self._seen[-1] if self._seen else None,
                    f"{bad:,} of {tensor.numel():,} values of {name} are not finite",
                )

    def _limit(self) -> float:
        """Of the size of a value."""
        sampling = self._state.agent.sampling
        largest = max(float(np.abs(seen.batch.reward).max()) for seen in self._seen)  # sums of n rewards
        if math.isfinite(largest):
            weights = sum(sampling.discount**k for k in range(sampling.n_step))
            self._reward = max(self._reward, largest / weights)
        return math.inf if sampling.discount == 1 else BEYOND * self._reward / (1 - sampling.discount)

    def _too_large(self, name: str, value: float) -> str:
        discount = self._state.agent.sampling.discount
        return (
            f"{name} is {value:.4g}, far beyond the {self._reward / (1 - discount):.4g} that rewards of at "
            f"most {self._reward:.4g} give with discount={discount:g}"
        )

    def _stop(self, seen: Seen | None, said: str) -> None:
        update = self._state.progress.updates if seen is None else seen.update
        where = "" if seen is None else f"; its batch is {self._write(seen)}"
        raise RunError(
            f"{self._stage} diverged at update {update}: {said}{where}; {self._kept()}; "
            "lower learning rates may help"
        )

    def _write(self, seen: Seen) -> str:
        """The batch with the metrics up to its update, and where it lies."""
        path = self._run.path / FILE
        before = [past for past in self._seen if past.update <= seen.update and past.names == seen.names]
        arrays: dict[str, Any] = {
            **seen.batch.arrays(),
            "stage": np.array(self._stage),
            "update": np.array([past.update for past in before]),  # the last is that of the batch
            "metric_names": np.array(seen.names),
            "metrics": torch.stack([past.values for past in before]).cpu().numpy(),  # (updates, M)
        }
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            partial.replace(path)
        except OSError as error:
            return f"not kept ({path} cannot be written: {error.strerror})"
        return f"in {path}"

    def _kept(self) -> str:
        if not self._run.has(self._stage):
            return "no checkpoint was saved before it"
        path = self._run.checkpoint_path(self._stage)
        try:
            updates = self._run.load(self._stage)["progress"]["updates"]
        except DataError as error:
            return str(error)
        return f"checkpoint {path} of update {updates} is kept"


def tensors_in(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Dotted names and tensors of numbers with a point, in a nested state."""
    if isinstance(state, Tensor):
        if state.is_floating_point():
            yield name.removeprefix("."), state
    elif isinstance(state, Mapping):
        for key, value in state.items():
            yield from tensors_in(value, f"{name}.{key}")
    elif isinstance(state, list | tuple):
        for number, value in enumerate(state):
            yield from tensors_in(value, f"{name}.{number}")


def _first_odd(batch: Batch, spec: Spec) -> str | None:
    """What of a batch is no number, or absurdly large; None: nothing."""
    signals = [f"'{key}' {signal.name}" for key, group in spec.observation.items() for signal in group]
    observed = dict.fromkeys(("obs", "next_obs", "last_obs"), signals)
    columns = {**observed, "action": [f"'{s.name}'" for s in spec.action]}
    for field, array in batch.arrays().items():
        values: Array = array.reshape(len(array), -1)
        odd = ~(np.abs(values) < ABSURD)  # NaN is not smaller either
        if odd.any():
            column = int(odd.any(axis=0).argmax())
            name = f" {columns[field][column]}" if field in columns else ""
            value = values[odd[:, column], column][0]
            return f"{field}{name} is {value:g} in {odd[:, column].sum()} of the {len(values)} transitions"
    return None


def _most(batch: Batch) -> int:
    size = sum(array.nbytes for array in batch.arrays().values())
    return max(1, min(MOST_UPDATES, int(MOST_BYTES / size)))
