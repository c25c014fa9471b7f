"""What a learner and a player share: one anonymous file that both have mapped, gone with the last of them.

    | weights                     | episode                                                   |
    | tensor 0 | tensor 1 | ...   | obs/... | sim/state | steps/action | steps/reward | ...   |
      as in the policy's            as in a segment of a dataset, with room for the longest
      state_dict, float32           (and one row more of what is seen at the end, too)

Every array begins at a multiple of 64 bytes, a cache line. Nobody waits for the other in here: the learner
writes the weights before it asks for an episode, the player writes the episode before it says that it is
there, and both words go over a pipe.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from robot_orl.data.store.journal import row_fields
from robot_orl.data.store.layout import Field, from_columns, to_columns
from robot_orl.errors import RunError
from robot_orl.types import Array, Episode, EpisodeMeta, Spec

LINE = 64  # bytes


class Layout:
    """Where arrays of these dtypes and shapes lie, one behind the other. size: of all of them [bytes]."""

    def __init__(self, arrays: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
        self.size = 0
        self._places: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        for name, (kind, shape) in arrays.items():
            dtype = np.dtype(kind)
            self._places[name] = dtype, shape, self.size
            self.size += -(-math.prod(shape) * dtype.itemsize // LINE) * LINE

    def views(self, memory: Any, start: int = 0) -> dict[str, Array]:
        """Every array where it lies in a buffer, whose first byte of this is `start`."""
        return {
            name: np.ndarray(shape, dtype, memory, start + offset)
            for name, (dtype, shape, offset) in self._places.items()
        }


class Weights:
    """A policy's weights as (size,) uint8, for the shared memory and for a checkpoint.

    policy: any of the shape that is meant.
    """

    def __init__(self, policy: nn.Module) -> None:
        arrays = {name: _plain(value) for name, value in policy.state_dict().items()}
        self._layout = Layout({name: (array.dtype, array.shape) for name, array in arrays.items()})
        self.size = self._layout.size

    def of(self, policy: nn.Module) -> Array:
        """A copy that later updates do not change."""
        memory = np.zeros(self.size, np.uint8)
        views = self._layout.views(memory)
        for name, value in policy.state_dict().items():
            views[name][...] = _plain(value)
        return memory

    def name(self, memory: Array) -> str:
        """12 hex digits that name these weights."""
        digest = hashlib.sha256()
        for array in self._layout.views(memory).values():
            digest.update(array.tobytes())
        return digest.hexdigest()[:12]

    @torch.no_grad()
    def load(self, memory: Any, policy: nn.Module) -> None:
        """Give the policy the weights that lie at the start of a buffer."""
        views = self._layout.views(memory)
        for name, value in policy.state_dict().items():
            value.copy_(torch.from_numpy(views[name]))


def _plain(value: torch.Tensor) -> Array:
    array: Array = value.detach().cpu().numpy()
    return array


class Room:
    """Space for one episode of at most so many steps; None: the task's horizon.

    sim_state_size: None: without states.
    """

    def __init__(self, spec: Spec, sim_state_size: int | None, steps: int | None = None) -> None:
        self.spec, self._steps = spec, steps or spec.horizon
        self._fields: dict[str, Field] = row_fields(spec, sim_state_size, images=False)
        self._layout = Layout(
            {
                name: (field.dtype, (self._steps + field.extra_row, *field.row))
                for name, field in self._fields.items()
            }
        )
        self.size = self._layout.size

    def write(self, memory: Any, start: int, episode: Episode) -> None:
        """Raises: RunError: it has more steps."""
        if len(episode) > self._steps:
            raise RunError(
                f"an episode of {len(episode)} steps is longer than the horizon of {self.spec.task}, "
                f"{self._steps}"
            )
        views = self._layout.views(memory, start)
        for name, rows in to_columns(episode, self._chosen(episode.sim_state is not None)).items():
            views[name][: len(rows)] = rows

    def read(self, memory: Any, start: int, length: int, has_state: bool, meta: EpisodeMeta) -> Episode:
        """A copy, so that the room is free again."""
        views = self._layout.views(memory, start)
        columns = {
            name: views[name][: length + field.extra_row].copy()
            for name, field in self._chosen(has_state).items()
        }
        return from_columns(columns, meta)

    def _chosen(self, has_state: bool) -> dict[str, Field]:
        return {name: field for name, field in self._fields.items() if has_state or name != "sim/state"}
