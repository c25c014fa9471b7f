"""npz: plain NumPy arrays, of all episodes in one file or of one episode per file of a folder.

    observations (N, D)  or obs/<key> (N, n)    images/<camera> (N, H, W, 3) uint8
    actions (N, A)    rewards (N,)    terminals (N,)    truncations (N,) or timeouts (N,)
    episode_ends (E,) the row after the last of each episode       control_hz, task: single values

obs and images have N rows, or N + E: those of each episode and the one after its last step. Or the latter
are in next_observations, next_obs/<key> (N, ...). Without `episode_ends` an episode ends where terminals or
truncations say so; a file of a folder is one episode.

An export is a folder of one compressed file per episode, N + 1 rows each, with all that the dataset holds.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.data.store.layout import to_json
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.interop import exporting, labels
from robot_orl.interop.base import Request, Source, made_spec, task_spec
from robot_orl.interop.checks import clipped_values
from robot_orl.interop.exporting import OPTIONAL, STEP_FIELDS
from robot_orl.interop.flat import WHOLE, Flat, split_at
from robot_orl.interop.npz_file import Member, NpzFile, opened
from robot_orl.types import Array, Camera, Episode, Spec

OBS, NEXT, IMAGES = "obs/", "next_obs/", "images/"
FLAGS = ("terminals", "truncations", "timeouts")
KNOWN = {"observations", "next_observations", "actions", "rewards", *FLAGS, "episode_ends", *STEP_FIELDS}
KNOWN |= {"control_hz", "task", "spec", "env_kwargs", "meta", "sim_state"}


def read(path: Path, request: Request) -> Source:
    """Raises: DataError: not such files, or damaged.  UsageError: something must be told."""
    files = _files(path)
    count, clipped, longest = 0, 0, 0
    first: tuple[Any, ...] | None = None
    for file in files:
        with opened(file) as npz:
            shapes = _shapes(npz)
            first = first or shapes
            if shapes != first:
                raise DataError(f"{file} has other arrays than {files[0].name}")
            ends = _ends(npz, path.is_dir())
            count += len(ends)
            longest = max(longest, int(np.diff(ends, prepend=0).max()))
            clipped += clipped_values(npz.column("actions"), f"{file}: 'actions'")
    with opened(files[0]) as npz:
        spec = _spec(npz, request, request.horizon or longest)
        env_kwargs = labels.env_kwargs_from(npz.text("env_kwargs"), f"{files[0]}: 'env_kwargs'")
        left_out = [n for n in npz.names if n not in KNOWN and not n.startswith((OBS, NEXT, IMAGES))]
    for file in files:
        with opened(file) as npz:
            _flat(npz, spec, path.is_dir())  # its lengths and shapes fit
    told = {"files": len(files), "clipped_action_values": clipped, "left_out": left_out}
    return Source(spec, count, _episodes(path, files, spec), env_kwargs, told)


def _episodes(path: Path, files: list[Path], spec: Spec) -> Iterator[Episode]:
    """Their origin is 'FILE#3', or 'FOLDER#FILE' and 'FOLDER#FILE:3'."""
    for file in files:
        with opened(file) as npz:
            flat = _flat(npz, spec, path.is_dir())
            if not path.is_dir():
                yield from flat.episodes(path.name)
                continue
            for index, episode in enumerate(flat.episodes(file.name)):
                place = file.name if len(flat.ends) == 1 else f"{file.name}:{index}"
                yield replace(episode, meta=replace(episode.meta, origin=f"{path.name}#{place}"))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.npz"), key=_in_order)
    if not files:
        raise DataError(f"{path} holds no .npz file")
    return files


def _in_order(path: Path) -> list[str]:
    """2 before 10."""
    return [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _shapes(npz: NpzFile) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What every file of a folder must have alike."""
    return tuple((name, npz.column(name).row) for name in sorted({*npz.names} - OPTIONAL))


def _ends(npz: NpzFile, is_episode: bool) -> Array:
    """(E,) the row after the last of each episode."""
    total = len(npz.column("actions"))
    if total == 0:
        raise DataError(f"{npz.path} holds no transition")
    if "episode_ends" in npz.names:
        column = npz.column("episode_ends")
        is_list = column.row == () and column.dtype.kind in "iu" and 0 < len(column) <= total
        ends = column.read(0, len(column)).astype(np.int64) if is_list else np.zeros(1)
        if ends[-1] != total or (np.diff(ends, prepend=0) <= 0).any():
            raise DataError(f"{npz.path}: 'episode_ends' do not rise to {total}, the number of actions")
        return ends
    if is_episode:
        return np.array([total])
    flags = [npz.column(name).expect(total, (), (1,)) for name in FLAGS if name in npz.names]
    if not flags:
        listed = ", ".join(("episode_ends", *FLAGS))
        raise DataError(f"{npz.path} does not say where its episodes end: it has none of {listed}")
    return split_at(list(flags), str(npz.path))


def _seen(npz: NpzFile, prefix: str, whole: str) -> dict[str, Member]:
    """The observations per key, or all of them in one array."""
    if whole in npz.names:
        return {WHOLE: npz.column(whole)}
    return {name.removeprefix(prefix): npz.column(name) for name in npz.names if name.startswith(prefix)}


def _spec(npz: NpzFile, request: Request, longest: int) -> Spec:
    """Of the task, else of an export of ours, else made from the arrays."""
    seen, action = _seen(npz, OBS, "observations"), npz.column("actions").row
    if not seen:
        raise DataError(
            f"{npz.path} has neither 'observations' nor 'obs/...'; it has: {', '.join(npz.names)}"
        )
    for name, row in (("actions", action), *((f"obs {key}".strip(), m.row) for key, m in seen.items())):
        if len(row) > 1 or prod(row) == 0 or (name == "actions" and len(row) != 1):
            raise DataError(f"{npz.path}: {name} has rows of shape {row}; expected (n,)")
    widths = {key or "observation": prod(member.row) for key, member in seen.items()}
    cameras = {}
    for name in (name for name in npz.names if name.startswith(IMAGES)):
        frames = npz.column(name)
        if len(frames.row) != 3 or frames.row[2] != 3 or frames.dtype != np.uint8:
            raise DataError(
                f"{npz.path}: '{name}' has rows {frames.row} {frames.dtype}; expected (H, W, 3) uint8"
            )
        cameras[name.removeprefix(IMAGES)] = Camera(*frames.row[:2])
    spec, own = task_spec(request), npz.text("spec")
    if spec is None and own is not None:
        spec = labels.renamed(labels.spec_from(own, f"{npz.path}: 'spec'"), request)
    if spec is None:
        rate = npz.column("control_hz").number() if "control_hz" in npz.names else None
        spec = made_spec(request, widths, action[0], longest, rate, npz.text("task"))
    wanted = {key: len(signals) for key, signals in spec.observation.items()}
    fits = sum(wanted.values()) == sum(widths.values()) if WHOLE in seen else wanted == widths
    if not fits or action[0] != spec.action_size:
        raise DataError(
            f"{npz.path} has actions of {action[0]} values and observations {widths}; "
            f"task {spec.task} has {spec.action_size} and {wanted}"
        )
    return replace(spec, cameras=cameras)


def _flat(npz: NpzFile, spec: Spec, is_episode: bool) -> Flat:
    """The file's arrays, from their first row, checked against each other."""
    ends, action = _ends(npz, is_episode), npz.column("actions")
    total, names = len(action), npz.names
    seen = _seen(npz, OBS, "observations")
    seen |= {camera: npz.column(IMAGES + camera) for camera in spec.cameras}
    following = _seen(npz, NEXT, "next_observations")
    has_last = len(next(iter(seen.values()))) == total + len(ends)
    for member in (*seen.values(), *([npz.column("sim_state")] if "sim_state" in names else [])):
        member.expect(total + len(ends) if has_last else total)
    if following and not has_last and following.keys() != seen.keys():
        raise DataError(f"{npz.path}: the next observations have other names than the observations")
    for key, member in following.items():
        member.expect(total, seen[key].row) if key in seen else None

    def single(name: str) -> Member | None:
        return npz.column(name).expect(total, (), (1,)) if name in names else None

    rows = {name: (action.row if name.startswith("action") else ()) for name in STEP_FIELDS}
    meta = npz.text("meta")
    return Flat(
        what=str(npz.path),
        spec=spec,
        ends=ends,
        seen=seen,
        seen_next={} if has_last else following,
        has_last=has_last,
        action=action,
        reward=single("rewards"),
        terminated=single("terminals"),
        truncated=single("truncations") or single("timeouts"),
        columns={name: npz.column(name).expect(total, row) for name, row in rows.items() if name in names},
        sim_state=npz.column("sim_state") if "sim_state" in names else None,
        metas=[labels.meta_from(meta, f"{npz.path}: 'meta'")]
        if meta is not None and len(ends) == 1
        else None,
    )


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """A folder of one file per episode in use: what one holds in memory is one episode."""
    if out.suffix == ".npz":
        raise UsageError("npz writes a folder of one file per episode: choose a name without .npz")
    out.mkdir()
    size, spec = exporting.sim_state_size(dataset), labels.spec_text(dataset.spec)
    env_kwargs = to_json(exporting.env_kwargs(dataset)).decode()
    for index, episode in enumerate(exporting.episodes(dataset, images=True)):
        arrays: dict[str, Any] = {f"{OBS}{key}": rows for key, rows in episode.obs.items()}
        arrays |= {f"{IMAGES}{camera}": rows for camera, rows in episode.images.items()}
        arrays |= {"actions": episode.action, "rewards": episode.reward}
        arrays |= {"terminals": episode.terminated, "truncations": episode.truncated}
        arrays |= exporting.step_fields(episode)
        if size is not None and episode.sim_state is not None:
            arrays["sim_state"] = episode.sim_state
        arrays |= {"meta": np.array(labels.meta_text(episode.meta)), "spec": np.array(spec)}
        arrays["env_kwargs"] = np.array(env_kwargs)
        np.savez_compressed(out / f"episode_{index:06d}.npz", **arrays)
        progress(1)
