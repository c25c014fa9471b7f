"""Reads a LeRobotDataset, one episode in memory at a time.

    feature                        becomes
    observation.state              observation `state`, or the observations of a task of this stack
    observation.<name>             observation <name>
    observation.images.<camera>    frames of <camera>, from mp4 or from PNG in parquet
    action                         action: as it is where all lie in [-1, 1], else only if `scale_actions`
    next.reward, next.success      reward, success; unknown where there are none
    next.done, next.truncated      terminated: done and not truncated; done alone may be either
    timestamp                      t_ns, as the file has it: mostly the grid of its rate, not measured times;
                                   unknown where it does not rise

An episode of T frames does not show what its last action led to, so T - 1 steps are imported; T where that
step terminated, for then nothing is ever bootstrapped from what it led to. Our own exports keep it all.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.errors import DataError
from robot_orl.interop.base import Request, Source, imported_episode, split_observation
from robot_orl.interop.checks import finite, rewards
from robot_orl.interop.flat import REPEATED
from robot_orl.interop.lerobot import layout
from robot_orl.interop.lerobot.describe import (
    INDEX,
    Parts,
    action_bounds,
    has_own_keys,
    own_spec,
    parts_of,
    places,
    scale_for,
    size_of,
    spec_for,
)
from robot_orl.interop.lerobot.frames import Cameras, Frames
from robot_orl.interop.lerobot.info import Info, Place, read_info, read_tasks
from robot_orl.interop.lerobot.own import OwnRows, read_about
from robot_orl.types import Array, Episode, EpisodeMeta, Spec

MOST_SECONDS = 2**33  # that an int64 holds as nanoseconds


def source(root: Path, request: Request) -> Source:
    """Raises: DataError: names the file that cannot be read.  UsageError: something must be told."""
    if not root.is_dir():
        raise DataError(f"{root} is a file; a LeRobotDataset is the folder that has meta/info.json in it")
    info = read_info(root)
    parts = parts_of(info)
    told: dict[str, Any] = {"codebase_version": info.version, "robot_type": info.raw.get("robot_type")}
    told |= {"fps": info.fps, "clipped_action_values": 0, "left_out": parts.ignored}
    count = info.number("total_episodes")
    if count == 0:
        raise DataError(f"{info.path} tells of no episode")
    if (about := read_about(root)) is not None:
        spec, env_kwargs = own_spec(info, parts, about[0], request), about[1]
        return Source(
            spec, count, _own_episodes(info, parts, spec), env_kwargs, {**told, "exported_by": "robot_orl"}
        )
    bounds = action_bounds(info, parts)
    scale = scale_for(info, bounds, request)
    if scale is not None:
        told |= {"action_scaled_from": {"low": scale[0].tolist(), "high": scale[1].tolist()}}
    longest = max(place.length for place in places(info, parts))
    spec = spec_for(info, parts, request, longest)
    return Source(spec, count, _episodes(info, parts, spec, scale), provenance=told)


def _episodes(info: Info, parts: Parts, spec: Spec, scale: tuple[Array, Array] | None) -> Iterator[Episode]:
    tasks = read_tasks(info)
    for place, columns, images in _read(info, parts, _cameras(info, parts), extra_frame=False):
        what = f"{place.data}: episode {place.index}"
        action = finite(columns[layout.ACTION], f"{what}: action")
        if scale is not None:
            low, high = scale
            action = ((action - low) / (high - low) * 2 - 1).astype(np.float32)
        obs = {key: finite(columns[name], f"{what}: {name}") for key, name in parts.observations.items()}
        if set(obs) != set(spec.observation):
            if has_own_keys(info, parts, spec):
                obs = {key: obs[key] for key in spec.observation}
            else:
                obs = split_observation(obs["state"], spec, what)
        words = place.tasks or (tasks.get(int(columns["task_index"][0, 0]), ""),)
        meta = EpisodeMeta(instruction="; ".join(words) or None, origin=f"{info.root.name}#{place.index}")
        episode = _cut(place, columns, obs, images, action, meta)
        if episode is not None:
            yield episode


def _cut(
    place: Place,
    columns: dict[str, Array],
    obs: dict[str, Array],
    images: dict[str, Array],
    action: Array,
    meta: EpisodeMeta,
) -> Episode | None:
    """The steps whose next observation is known; None: there is no such step."""

    def flags(name: str) -> Array | None:
        return columns[name][:, 0] > 0 if name in columns else None

    done, truncated, success = flags(layout.DONE), flags(layout.TRUNCATED), flags(layout.SUCCESS)
    if done is not None and truncated is not None:
        terminated = done & ~truncated
    else:
        terminated = np.zeros(place.length, bool)
    steps = place.length - 1
    if terminated[-1]:
        steps += 1
        obs = {key: np.concatenate([rows, rows[-1:]]) for key, rows in obs.items()}
        images = {camera: np.concatenate([frames, frames[-1:]]) for camera, frames in images.items()}
        meta = replace(meta, notes=REPEATED)
    if steps == 0:
        return None
    if success is not None:
        meta = replace(meta, success=bool(success[-1]), success_any=bool(success.any()))
    reason = (
        "terminated"
        if terminated[-1]
        else "horizon"
        if truncated is not None and truncated[-1]
        else "unknown"
    )
    what = f"{place.data}: episode {place.index}"
    reward = None
    if layout.REWARD in columns:
        reward = rewards(columns[layout.REWARD][:steps, 0], f"{what}: {layout.REWARD}")
    t_ns = None
    if "timestamp" in columns:
        seconds = finite(columns["timestamp"], f"{what}: timestamp")[:steps, 0].astype(np.float64)
        if seconds[0] >= 0 and seconds[-1] < MOST_SECONDS and (np.diff(seconds) > 0).all():
            t_ns = np.round(seconds * 1e9).astype(np.int64)
    return imported_episode(
        obs,
        action[:steps],
        replace(meta, end_reason=reason),
        reward=reward,
        terminated=terminated[:steps],
        truncated=None if truncated is None else truncated[:steps],
        t_ns=t_ns,
        images=images,
    )


def _own_episodes(info: Info, parts: Parts, spec: Spec) -> Iterator[Episode]:
    own = OwnRows(info.root, spec)
    for place, columns, images in _read(info, parts, _cameras(info, parts), extra_frame=True):
        state = columns.get(layout.STATE, np.zeros((place.length, 0), np.float32))
        reward = columns[layout.REWARD][:, 0] if layout.REWARD in columns else None
        episode = own.restore(place.index, state, columns[layout.ACTION], reward, images)
        yield replace(episode, meta=replace(episode.meta, origin=f"{info.root.name}#{place.index}"))


def _cameras(info: Info, parts: Parts) -> Cameras:
    return Cameras(
        {
            camera: (key, info.features[key], size_of(info.features[key]))
            for camera, key in parts.cameras.items()
        },
        info.fps,
    )


def _read(
    info: Info, parts: Parts, cameras: Cameras, extra_frame: bool
) -> Iterator[tuple[Place, dict[str, Array], dict[str, Array]]]:
    """Per episode: numbers (T, width) by feature and frames by camera, one more where `extra_frame`."""
    names = [*parts.observations.values(), layout.ACTION, *parts.steps, *INDEX]
    frames = Frames(names + cameras.columns, info.features)
    for place in places(info, parts):
        rows = frames.read(place)
        yield place, frames.numbers(rows, names, place), cameras.read(rows, place, extra_frame)
