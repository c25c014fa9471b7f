"""D4RL: flat arrays of transitions in one HDF5 file.

    observations (N, D)   actions (N, A)   rewards (N,)   terminals (N,)   timeouts (N,)
    next_observations (N, D) in newer files      infos/... (N, ...)      metadata/... of the whole

An episode ends where `terminals` (it failed or finished) or `timeouts` (it was cut) is set.
Source: github.com/Farama-Foundation/D4RL, README and d4rl/__init__.py (`qlearning_dataset`).

The published Adroit sets hold shaped rewards. Imported as a task of this stack they are paid as that pays,
success - 1, where `infos` tell the success of each step: so that they can be learned from with others.

What the format has no place for, an export keeps under infos/ and metadata/robot_orl.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.data.store.layout import to_json
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.interop import exporting, labels
from robot_orl.interop.base import PAID, Request, Source, made_spec, names_task, task_spec
from robot_orl.interop.checks import clipped_values
from robot_orl.interop.exporting import OPTIONAL, STEP_FIELDS
from robot_orl.interop.flat import WHOLE, Flat, split_at
from robot_orl.interop.hdf5 import Appended, Column, children, created, opened, text, texts, write_text
from robot_orl.types import Array, Episode, EpisodeMeta, Spec

SUCCESS = ("goal_achieved", "success", "is_success")  # under infos/
OWN = "metadata/robot_orl"


@dataclass(frozen=True)
class _Own:
    """What an export of ours says beyond the format."""

    spec: Spec | None = None
    ends: Array | None = None
    metas: list[EpisodeMeta] | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    sim_state: Column | None = None
    last_sim_state: Column | None = None


def read(path: Path, request: Request) -> Source:
    """Raises: DataError: not a D4RL file, or damaged.  UsageError: something must be told."""
    with ExitStack() as stack:
        file = stack.enter_context(opened(path))
        flat, env_kwargs = _flat(path, file, request), text(file.get(f"{OWN}/env_kwargs"))
        clipped = clipped_values(flat.action, f"{path}: 'actions'")
        return Source(
            spec=flat.spec,
            count=len(flat.ends),
            episodes=_episodes(flat, path.name, stack.pop_all()),
            env_kwargs=labels.env_kwargs_from(env_kwargs, f"{path}: '{OWN}/env_kwargs'"),
            provenance={
                "clipped_action_values": clipped,
                **({"cut_after": request.horizon} if flat.truncated is None else {}),
                **({"rewards": PAID} if flat.pays_success else {}),
                **_told(file, is_own=flat.metas is not None),
            },
        )


def _episodes(flat: Flat, name: str, held: AbstractContextManager[Any]) -> Iterator[Episode]:
    with held:
        yield from flat.episodes(name)


def _flat(path: Path, file: Any, request: Request) -> Flat:
    """The file's arrays, checked against each other and against the task."""
    observations, actions = Column(file, "observations"), Column(file, "actions")
    total = len(observations)
    if total == 0:
        raise DataError(f"{path} holds no transition")
    for column in (observations, actions):
        if len(column.row) != 1 or column.row[0] == 0:
            raise DataError(f"{path}: '{column.name}' has rows of shape {column.row}; expected (n,)")
    actions.expect(total)
    rewards = Column(file, "rewards").expect(total, (), (1,))
    terminals = Column(file, "terminals").expect(total, (), (1,))
    timeouts = Column(file, "timeouts").expect(total, (), (1,)) if "timeouts" in file else None
    following = None
    if "next_observations" in file:
        following = Column(file, "next_observations").expect(total, observations.row)
    reached = next((name for name in SUCCESS if f"infos/{name}" in file), None)
    success = None if reached is None else Column(file, f"infos/{reached}").expect(total, (), (1,))
    own = _own(path, file, total, actions.row)
    if own.ends is not None:
        ends = own.ends
    elif timeouts is not None:
        ends = split_at([terminals, timeouts], str(path))
    elif request.horizon is not None:
        ends = split_at([terminals], str(path), request.horizon)
    else:
        raise UsageError(f"{path} has no 'timeouts': add horizon=... [steps] after which an episode was cut")
    return Flat(
        what=str(path),
        spec=_spec(path, request, own.spec, observations.row[0], actions.row[0], ends),
        ends=ends,
        seen={WHOLE: observations},
        seen_next={} if following is None else {WHOLE: following},
        action=actions,
        reward=rewards,
        terminated=terminals,
        truncated=timeouts,
        success=success,
        pays_success=names_task(request) and own.metas is None and _is_known(success),
        columns=own.columns,
        sim_state=own.sim_state,
        last_sim_state=own.last_sim_state,
        metas=own.metas,
    )


def _is_known(success: Column | None) -> bool:
    """Of every step; else rewards of two kinds would be mixed."""
    return success is not None and not np.isnan(success.read(0, len(success))).any()


def _spec(path: Path, request: Request, own: Spec | None, seen: int, taken: int, ends: Array) -> Spec:
    """Of the task, else of an export of ours, else made from the widths of the arrays."""
    spec = task_spec(request)
    if spec is None and own is not None:
        spec = labels.renamed(own.without_cameras(), request)
    if spec is None:
        longest = int(np.diff(ends, prepend=0).max())
        return made_spec(request, {"observation": seen}, taken, request.horizon or longest)
    if (spec.observation_size, spec.action_size) != (seen, taken):
        raise DataError(
            f"{path} has observations of {seen} and actions of {taken} values; "
            f"task {spec.task} has {spec.observation_size} and {spec.action_size}"
        )
    return spec


def _own(path: Path, file: Any, total: int, action: tuple[int, ...]) -> _Own:
    """Raises: DataError: it is an export of ours, but not as it was written."""
    if OWN not in file:
        return _Own()
    group, what = file[OWN], f"{path}: '{OWN}'"
    ends = Column(group, "ends")
    found = ends.read(0, len(ends)).astype(np.int64)
    if found.ndim != 1 or not len(found) or found[-1] != total or (np.diff(found, prepend=0) <= 0).any():
        raise DataError(f"{what}: 'ends' are not those of {total} rows")
    metas = texts(group, "episodes", len(found))
    held = [name for name in STEP_FIELDS if name not in OPTIONAL or f"infos/{name}" in file]
    rows = {name: action if name.startswith("action") else () for name in held}
    state = Column(file, "infos/sim_state").expect(total) if "infos/sim_state" in file else None
    return _Own(
        spec=labels.spec_from(text(group.get("spec")) or "", f"{what}: 'spec'"),
        ends=found,
        metas=[labels.meta_from(meta, f"{what}: 'episodes'") for meta in metas],
        columns={name: Column(file, f"infos/{name}").expect(total, row) for name, row in rows.items()},
        sim_state=state,
        last_sim_state=None
        if state is None
        else Column(group, "last_sim_state").expect(len(found), state.row),
    )


def _told(file: Any, is_own: bool) -> dict[str, Any]:
    """What the file says of itself, and what of it is not imported."""
    told = {name: content for name, value in file.attrs.items() if (content := text(value)) is not None}
    for name in children(file, "metadata"):
        if (content := text(file["metadata"][name])) is not None:
            told[name] = content
    names = [f"infos/{name}" for name in children(file, "infos") if name not in SUCCESS]
    return {"metadata": told, "left_out": [] if is_own else names, "is_export_of_robot_orl": is_own}


def left_out(dataset: Dataset) -> str | None:
    """The format is one of flat, low-dimensional arrays, each with a row for every step of the file."""
    lost = ["camera frames"] if dataset.spec.cameras else []
    if (count := exporting.with_safety(dataset)) and not exporting.has_safety(dataset):
        lost.append(
            f"what the supervisor did (safety), which {count} of {len(dataset.episodes)} episodes tell"
        )
    return " and ".join(lost) or None


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """Every episode in use; what D4RL has no name for goes to infos/ and metadata/robot_orl."""
    spec, size = dataset.spec, exporting.sim_state_size(dataset)
    with created(out) as file:
        rows = {
            name: Appended(file, name, (spec.observation_size,), "f4")
            for name in ("observations", "next_observations")
        }
        rows["actions"] = Appended(file, "actions", (spec.action_size,), "f4")
        rows["rewards"] = Appended(file, "rewards", (), "f4")
        rows |= {name: Appended(file, name, (), "?") for name in ("terminals", "timeouts")}
        for name, dtype in STEP_FIELDS.items():
            if name == "safety" and not exporting.has_safety(dataset):
                continue
            row = (spec.action_size,) if name.startswith("action") else ()
            rows[f"infos/{name}"] = Appended(file, f"infos/{name}", row, dtype)
        if size is not None:
            rows["infos/sim_state"] = Appended(file, "infos/sim_state", (size,), "f8")
            rows[f"{OWN}/last_sim_state"] = Appended(file, f"{OWN}/last_sim_state", (size,), "f8")
        metas, lengths = [], []
        for episode in exporting.episodes(dataset, images=False):
            for name, column in rows.items():
                column.append(_rows(episode, name, spec))
            metas.append(labels.meta_text(episode.meta))
            lengths.append(len(episode))
            progress(1)
        write_text(file.require_group(OWN), "spec", labels.spec_text(spec))
        write_text(file[OWN], "env_kwargs", to_json(exporting.env_kwargs(dataset)).decode())
        write_text(file[OWN], "episodes", metas)
        file[OWN].create_dataset("ends", data=np.cumsum(lengths, dtype=np.int64))


def _rows(episode: Episode, name: str, spec: Spec) -> Array:
    """What of an episode goes to the file's array `name`."""
    flat = name.removeprefix("infos/")
    if flat in STEP_FIELDS:
        return getattr(episode, flat)
    state = episode.sim_state
    if name.endswith("sim_state"):
        assert state is not None
        return state[-1:] if name.endswith("last_sim_state") else state[:-1]
    ends = episode.truncated.copy()
    ends[-1] |= not episode.terminated[-1]  # a recording that just ends: else it would run into the next
    seen = spec.flatten(episode.obs)
    return {
        "observations": seen[:-1],
        "next_observations": seen[1:],
        "actions": episode.action,
        "rewards": episode.reward,
        "terminals": episode.terminated,
        "timeouts": ends,
    }[name]
