"""Episodes that lie behind each other in flat arrays, as in D4RL and in npz files.

    row          0 1 2 3 | 4 5 6 | ...      a step: s, a, r, and whether it ends its episode
    s' of row i  s of row i + 1             of an episode's last row: only where the file holds it

Where the file does not hold the last s', a step that terminated is kept, for nothing is ever bootstrapped
from its s', which then repeats s, and the episode's notes say so; any other last step is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from robot_orl.errors import DataError
from robot_orl.interop.base import imported_episode, split_observation
from robot_orl.interop.checks import Rows, finite, rewards
from robot_orl.interop.exporting import STEP_FIELDS
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Spec

REPEATED = "the observation after the last step is unknown and repeats the one before"
WHOLE = ""  # key of an observation that is all of them, in the spec's order


@dataclass(frozen=True)
class Flat:
    """Flat arrays of N rows and where their E episodes end. Per key: an observation's, or a camera's.

    what: names the file.  ends: (E,) the row after the last of each episode.
    seen: N rows per key; N + E where `has_last`.  seen_next: s' of every row, where the file holds it.
    sim_state: as `seen`; last_sim_state: (E, S), its last rows, NaN where they are unknown.
    success: (N,) whether the step reached the goal; pays_success: it is what the task pays by, success - 1,
    whatever `reward` says.  columns: fields of Episode that are known.
    metas: what is known of each episode; where it is not given, it follows from its ends and `success`.
    """

    what: str
    spec: Spec
    ends: Array
    seen: Mapping[str, Rows]
    action: Rows
    seen_next: Mapping[str, Rows] = field(default_factory=dict)
    has_last: bool = False
    reward: Rows | None = None
    terminated: Rows | None = None
    truncated: Rows | None = None
    success: Rows | None = None
    pays_success: bool = False
    columns: Mapping[str, Rows] = field(default_factory=dict)
    sim_state: Rows | None = None
    last_sim_state: Rows | None = None
    metas: list[EpisodeMeta] | None = None

    def episodes(self, name: str) -> Iterator[Episode]:
        """One after the other; one of which no step is complete is left out.

        name: of the file, for the episodes' origin. Raises: DataError: names what cannot be read.
        """
        start = 0
        for index, stop in enumerate(self.ends.tolist()):
            episode = self._episode(index, start, stop, f"{name}#{index}")
            if len(episode):
                yield episode
            start = stop

    def _episode(self, index: int, start: int, stop: int, origin: str) -> Episode:
        what = self.what if len(self.ends) == 1 else f"{self.what}: episode {index}"
        terminated = _flags(self.terminated, start, stop, self.what)
        truncated = _flags(self.truncated, start, stop, self.what)
        seen = {key: self._seen(key, rows, index, start, stop, what) for key, rows in self.seen.items()}
        length = min(len(rows) for rows in seen.values()) - 1
        is_repeated = length < stop - start and bool(terminated[-1])
        if is_repeated:
            seen = {key: np.concatenate([rows, rows[-1:]]) for key, rows in seen.items()}
            length += 1
        meta = self._meta(index, start, start + length, bool(terminated[-1]), bool(truncated[-1]))
        if is_repeated:
            meta = replace(meta, notes=f"{meta.notes}\n{REPEATED}".strip())
        reward = self._reward(start, stop, what)
        episode = imported_episode(
            self._observations({k: rows for k, rows in seen.items() if k not in self.spec.cameras}, what),
            finite(self.action.read(start, stop), f"{what}: action")[:length],
            replace(meta, origin=origin),
            reward=None if reward is None else reward[:length],
            terminated=terminated[:length],
            truncated=truncated[:length],
            sim_state=self._sim_state(index, start, stop, length),
            images={camera: seen[camera] for camera in self.spec.cameras},
        )
        known: dict[str, Any] = {
            key: _known(key, rows.read(start, stop)[:length], f"{what}: '{rows.name}'")
            for key, rows in self.columns.items()
        }
        return replace(episode, **known)

    def _seen(self, key: str, rows: Rows, index: int, start: int, stop: int, what: str) -> Array:
        """T + 1 rows, or T where the file does not hold the last."""
        if self.has_last:
            return self._checked(key, rows, start + index, stop + index + 1, what)
        found = self._checked(key, rows, start, stop, what)
        if key not in self.seen_next:
            return found
        after = self._checked(key, self.seen_next[key], start, stop, what)
        differs = (found[1:] != after[:-1]).any(axis=tuple(range(1, found.ndim)))
        if differs.any():
            step = start + int(np.argmax(differs))
            raise DataError(
                f"{what}: '{self.seen_next[key].name}' of row {step} is not '{rows.name}' of row {step + 1}, "
                "with which the episode would go on"
            )
        return np.concatenate([found, after[-1:]])

    def _checked(self, key: str, rows: Rows, start: int, stop: int, what: str) -> Array:
        found = rows.read(start, stop)
        return found if key in self.spec.cameras else finite(found, f"{what}: '{rows.name}'")

    def _observations(self, seen: Mapping[str, Array], what: str) -> Mapping[str, Array]:
        if WHOLE in seen:
            return split_observation(seen[WHOLE], self.spec, what)
        return {key: seen[key].reshape(len(seen[key]), -1) for key in self.spec.observation}

    def _sim_state(self, index: int, start: int, stop: int, length: int) -> Array | None:
        if self.sim_state is None:
            return None
        if self.has_last:
            return self.sim_state.read(start + index, stop + index + 1).astype(np.float64)
        found = self.sim_state.read(start, stop).astype(np.float64)
        if self.last_sim_state is not None:
            found = np.concatenate([found, self.last_sim_state.read(index, index + 1)])
        elif len(found) == length:
            found = np.concatenate([found, np.full_like(found[:1], np.nan)])
        return found[: length + 1]

    def _reward(self, start: int, stop: int, what: str) -> Array | None:
        """(T,)"""
        reached = self._reached(start, stop) if self.pays_success else None
        if reached is not None:
            return reached.astype(np.float32) - 1
        if self.reward is None:
            return None
        return rewards(self.reward.read(start, stop), f"{what}: reward").reshape(stop - start)

    def _reached(self, start: int, stop: int) -> Array | None:
        """(T,) bool of at least one step; None: not known of each."""
        if self.success is None or stop == start:
            return None
        rows = self.success.read(start, stop).reshape(stop - start)
        return None if np.isnan(rows).any() else rows > 0

    def _meta(self, index: int, start: int, stop: int, terminated: bool, truncated: bool) -> EpisodeMeta:
        """start, stop: the steps that are imported."""
        if self.metas is not None:
            return self.metas[index]
        reached = self._reached(start, stop)
        return EpisodeMeta(
            success=None if reached is None else bool(reached[-1]),
            success_any=None if reached is None else bool(reached.any()),
            end_reason="terminated" if terminated else "horizon" if truncated else "unknown",
        )


def _flags(rows: Rows | None, start: int, stop: int, what: str) -> Array:
    """(T,) bool; False where nothing is known. Raises: DataError: NaN."""
    if rows is None:
        return np.zeros(stop - start, bool)
    found = rows.read(start, stop).reshape(stop - start)
    if np.isnan(found).any():
        raise DataError(
            f"{what}: '{rows.name}' holds NaN in its row {start + int(np.argmax(np.isnan(found)))}"
        )
    return found > 0


def _known(key: str, rows: Array, what: str) -> Array:
    """A field of Episode. Raises: DataError: times that are not whole [ns], an actor of no kind, no mask."""
    if key == "t_ns" and rows.dtype.kind not in "iu":
        raise DataError(f"{what} holds {rows.dtype}; expected whole nanoseconds")
    if key == "actor" and not np.isin(rows, list(Actor)).all():
        raise DataError(f"{what} holds {rows[~np.isin(rows, list(Actor))][0]}, which is no actor")
    if key == "safety" and not (rows.dtype.kind in "iu" and ((rows >= 0) & (rows < 2**16)).all()):
        raise DataError(f"{what} holds {rows.dtype}; expected masks of 16 bits")
    return rows.astype(STEP_FIELDS[key])


def split_at(flags: list[Rows], what: str, horizon: int | None = None) -> Array:
    """(E,) the row after the last of each episode: one ends where any flag is set, after `horizon` rows,
    and at the end of the file. flags: (N,) or (N, 1) each.  what: names the file.
    """
    total, block = len(flags[0]), 2**20
    ends: list[int] = []
    last = 0
    for start in range(0, total, block):
        stop = min(start + block, total)
        is_end = np.logical_or.reduce([_flags(rows, start, stop, what) for rows in flags])
        for end in [*(np.flatnonzero(is_end) + start + 1).tolist(), stop if stop == total else None]:
            while horizon is not None and (stop if end is None else end) - last > horizon:
                last += horizon
                ends.append(last)
            if end is not None and end > last:
                ends.append(end)
                last = end
    return np.array(ends, np.int64)
