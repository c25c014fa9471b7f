"""A part of an episode as an episode of its own: what was only preparation, or came too late, is left out."""

import re
from dataclasses import fields, replace
from typing import Any

from robot_orl.errors import UsageError
from robot_orl.types import Array, Episode, EpisodeMeta

_SEEN = ("obs", "images", "sim_state")  # one row more than steps
CUT_BY = "operator"  # end reason of an episode that was made to end earlier


def trimmed(episode: Episode, start: int, stop: int, succeeded: Array) -> Episode:
    """Steps [start, stop) of it, as copies.  succeeded: (T,) bool, as the task saw it after each step.

    Times begin at 0 again. An episode that ends earlier is truncated there, and its end reason is
    'operator'. Success is as of the last step that is kept.

    Without its first steps it no longer begins where the reset with its seed does: the seed and the reset
    options are dropped, and it can be played again from its simulator states only. `origin` tells both.

    Raises: UsageError: no such steps.
    """
    steps = len(episode)
    if not 0 <= start < stop <= steps:
        raise UsageError(f"steps {start} to {stop} are no part of an episode of {steps} steps")
    if (start, stop) == (0, steps):
        return episode
    kept: dict[str, Any] = {
        field.name: _rows(getattr(episode, field.name), start, stop + (field.name in _SEEN))
        for field in fields(episode)
        if field.name != "meta"
    }
    known = kept["t_ns"] >= 0
    kept["t_ns"][known] -= kept["t_ns"][0]
    meta = replace(
        episode.meta, success=bool(succeeded[stop - 1]), success_any=bool(succeeded[start:stop].any())
    )
    if stop < steps:
        kept["truncated"][-1] = not kept["terminated"][-1]
        meta = replace(meta, end_reason=CUT_BY)
    if start:
        meta = replace(meta, seed=None, reset_options={}, origin=_origin(episode, start, stop))
    return Episode(**kept, meta=meta)


def start_seed(meta: EpisodeMeta) -> int | None:
    """Of the start that it was recorded from, also where its first steps were left out; None: of none."""
    if meta.seed is not None:
        return meta.seed
    came_from = re.match(r"seed ([0-9]+), steps ", meta.origin or "")
    return int(came_from[1]) if came_from else None


def _rows(value: Any, start: int, stop: int) -> Any:
    """Of an array, of each array of a mapping, or None."""
    if value is None:
        return None
    if isinstance(value, dict) or hasattr(value, "items"):
        return {name: rows[start:stop].copy() for name, rows in value.items()}
    return value[start:stop].copy()


def _origin(episode: Episode, start: int, stop: int) -> str:
    """Read again by `start_seed`."""
    came_from = episode.meta.origin or f"seed {episode.meta.seed}"
    return f"{came_from}, steps {start} to {stop} of {len(episode)}"
