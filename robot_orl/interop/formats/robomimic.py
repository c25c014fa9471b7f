"""robomimic: one HDF5 file, one group per demonstration.

    data                 attributes: env_args (JSON: env_name, type, env_kwargs), total
    data/demo_0          attributes: num_samples, model_file
      actions (T, A)  rewards (T,)  dones (T,)  states (T, S)     T rows: of s; the last s' is in next_obs
      obs/<key> (T, ...)  next_obs/<key> (T, ...)
    mask/<filter key>    names of demonstrations

Source: robomimic.github.io/docs/datasets/overview.html (structure, filter keys) and robomimic's
scripts/dataset_states_to_obs.py (what rewards and dones mean).

What the format has no place for, an export keeps in a group of its own, robot_orl, beside data and mask.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.errors import DataError
from robot_orl.interop import labels
from robot_orl.interop.base import Request, Source, made_spec, task_spec
from robot_orl.interop.checks import Held, clipped_values
from robot_orl.interop.exporting import OPTIONAL, STEP_FIELDS
from robot_orl.interop.flat import Flat
from robot_orl.interop.hdf5 import Column, opened, text
from robot_orl.interop.robomimic_export import NOTED, OPERATOR, OWN, SUCCESS, noted, write
from robot_orl.interop.robomimic_file import (
    Demo,
    check_alike,
    demo_of,
    env_args_of,
    group_of,
    masks_of,
    names_of,
)
from robot_orl.types import Camera, Episode, EpisodeMeta, Spec

__all__ = ["read", "write"]
KNOWN = ("obs", "next_obs", "actions", "rewards", "dones", "states")


@dataclass(frozen=True)
class _File:
    """An opened file and what holds for all of it."""

    path: Path
    file: Any
    names: list[str]
    masks: Mapping[str, list[str]]
    spec: Spec
    has_success: bool
    has_states: bool

    def episodes(self) -> Iterator[Episode]:
        for name in self.names:
            yield from self._episode(name)

    def _episode(self, name: str) -> Iterator[Episode]:
        demo = demo_of(self.path, self.file, name)
        length, own = len(demo.action), self._own(name, len(demo.action), demo.action.row)
        wanted = {*self.spec.observation, *self.spec.cameras}
        reached = None
        if self.has_success and demo.reward is not None:
            reached = Held("rewards", demo.reward.read(0, length).reshape(length) == 1)
        flat = Flat(
            what=f"{self.path}: {name}",
            spec=self.spec,
            ends=np.array([length]),
            seen={key: column for key, column in demo.seen.items() if key in wanted},
            seen_next={key: column for key, column in demo.seen_next.items() if key in wanted},
            action=demo.action,
            reward=demo.reward,
            terminated=own.get("terminated") or _finished(demo.done, reached),
            truncated=own.get("truncated"),
            success=reached,
            columns={key: own[key] for key in STEP_FIELDS if key in own},
            sim_state=demo.state if self.has_states else None,
            last_sim_state=own.get("last_state"),
            metas=None if not own else [self._own_meta(name)],
        )
        for episode in flat.episodes(self.path.name):
            meta = replace(episode.meta, origin=f"{self.path.name}#{name}")
            yield replace(episode, meta=self._with_masks(meta, name, is_own=bool(own)))

    def _with_masks(self, meta: EpisodeMeta, name: str, is_own: bool) -> EpisodeMeta:
        """Filter keys become a line of the notes, but for those that an export made from labels."""
        keys = [key for key in self.masks.get(name, []) if key not in noted(meta)]
        if is_own:
            keys = [key for key in keys if key != SUCCESS and not key.startswith(OPERATOR)]
        return replace(meta, notes=f"{meta.notes}\n{NOTED}{', '.join(keys)}".strip()) if keys else meta

    def _own(self, name: str, length: int, action: tuple[int, ...]) -> dict[str, Column]:
        """What an export of ours says beyond the format."""
        if OWN not in self.file:
            return {}
        group = group_of(self.path, self.file, f"{OWN}/{name}")
        held = [key for key in STEP_FIELDS if key not in OPTIONAL or key in group]
        rows = {key: action if key.startswith("action") else () for key in held}
        rows |= {"terminated": (), "truncated": ()}
        found = {key: Column(group, key).expect(length, row) for key, row in rows.items()}
        return found | (
            {"last_state": Column(group, "last_state").expect(1)} if "last_state" in group else {}
        )

    def _own_meta(self, name: str) -> EpisodeMeta:
        what = f"{OWN}/{name}/meta"
        return labels.meta_from(text(self.file.get(what)) or "", f"{self.path}: '{what}'")


def read(path: Path, request: Request) -> Source:
    """Raises: DataError: not a robomimic file, or damaged.  UsageError: something must be told."""
    with ExitStack() as stack:
        file = stack.enter_context(opened(path))
        env_args = env_args_of(path, file)
        names = names_of(path, file)
        masks = masks_of(path, file, names)
        first = demo_of(path, file, names[0])
        clipped, longest, best, is_sparse = 0, 0, 0.0, True
        for name in names:
            demo = demo_of(path, file, name)
            check_alike(path, first, demo)
            longest = max(longest, len(demo.action))
            clipped += clipped_values(demo.action, f"{path}: '{demo.action.name}'")
            if demo.reward is not None:
                rewards = demo.reward.read(0, len(demo.reward))
                is_sparse = is_sparse and bool(np.isin(rewards, (0, 1)).all())
                best = max(best, float(rewards.max()))
        own = (
            labels.spec_from(text(file.get(f"{OWN}/spec")) or "", f"{path}: '{OWN}/spec'")
            if OWN in file
            else None
        )
        spec = _spec(path, request, own, first, longest, env_args)
        is_ours = task_spec(request) is not None and own is None
        content = _File(
            path, file, names, masks, spec, is_sparse and best == 1, first.state is not None and not is_ours
        )
        told = {
            "clipped_action_values": clipped,
            "env_args": env_args,
            "filter_keys": sorted({key for keys in masks.values() for key in keys}),
            "left_out": _left_out(file, first, content),
        }
        held = stack.pop_all()
    return Source(spec, len(names), _episodes(content, held), _kwargs(env_args), told)


def _episodes(content: _File, held: ExitStack) -> Iterator[Episode]:
    with held:
        yield from content.episodes()


def _kwargs(env_args: Mapping[str, Any]) -> Mapping[str, Any]:
    found = env_args.get("env_kwargs", {})
    return found if isinstance(found, dict) else {}


def _finished(done: Column | None, reached: Held | None) -> Held | None:
    """Whether the task ended the last step: it is said to be done, and reached its goal with it.

    `dones` alone does not tell: of robomimic's done modes, two set it at the end of every recording.
    """
    if done is None or reached is None:
        return None
    flags = np.zeros(len(reached), bool)
    flags[-1] = bool(reached.rows[-1]) and bool(done.read(len(done) - 1, len(done)).reshape(-1)[0] > 0)
    return Held("dones", flags)


def _is_frames(column: Column) -> bool:
    return len(column.row) == 3 and column.row[-1] == 3 and column.dtype == np.uint8


def _spec(
    path: Path, request: Request, own: Spec | None, first: Demo, longest: int, env_args: Mapping[str, Any]
) -> Spec:
    """Of the task, else of an export of ours, else made from the arrays: those of one axis, and frames."""
    widths = {key: prod(c.row) for key, c in first.seen.items() if len(c.row) <= 1 and prod(c.row) > 0}
    cameras = {key: Camera(*c.row[:2]) for key, c in first.seen.items() if _is_frames(c)}
    spec = task_spec(request)
    if spec is None and own is not None:
        spec = labels.renamed(own, request)
    if spec is None:
        if not widths:
            raise DataError(f"{path} has no observation of one axis: it has {', '.join(first.seen)}")
        rate = _kwargs(env_args).get("control_freq")
        rate = float(rate) if isinstance(rate, int | float) and not isinstance(rate, bool) else None
        task = env_args.get("env_name")
        made = made_spec(
            request, widths, first.action.row[0], longest, rate, task if isinstance(task, str) else None
        )
        return replace(made, cameras=cameras)
    wanted = {key: len(signals) for key, signals in spec.observation.items()}
    if (first.action.row, wanted) != ((spec.action_size,), {k: widths.get(k) for k in wanted}):
        raise DataError(
            f"{path} has actions of {first.action.row[0]} values and observations {_listed(widths)}; "
            f"task {spec.task} has {spec.action_size} and {_listed(wanted)}"
        )
    return replace(spec, cameras=cameras)


def _listed(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{key} ({width})" for key, width in widths.items()) or "none"


def _left_out(file: Any, first: Demo, content: _File) -> list[str]:
    """Names in a demonstration that are not imported."""
    group = file[f"data/{first.name}"]
    names = [name for name in (*group, *group.attrs) if name not in (*KNOWN, "num_samples")]
    kept = {*content.spec.observation, *content.spec.cameras}
    names += [f"obs/{key}" for key in first.seen if key not in kept]
    return names + (["states"] if first.state is not None and not content.has_states else [])
