"""Minari 0.5: one folder per dataset, HDF5 or Arrow; T + 1 observations for T steps, as in this stack.

Imports read both through the `minari` package. Exports write HDF5; `minari_arrow` writes Arrow. Neither
asks a remote for anything. What Minari has no place for, an export keeps beside: the spec in metadata.json,
labels in each episode's metadata, who acted and when in infos.

Source: https://minari.farama.org, "Dataset Standards"; the package, version 0.5.4.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError
from robot_orl.interop import minari_spaces
from robot_orl.interop.base import (
    PAID,
    Request,
    Source,
    imported_episode,
    made_spec,
    names_task,
    split_observation,
    task_spec,
)
from robot_orl.interop.checks import finite, rewards
from robot_orl.interop.exporting import STEP_FIELDS
from robot_orl.interop.labels import meta_from, renamed, spec_from
from robot_orl.interop.minari_export import OWN, export
from robot_orl.interop.minari_files import Files, named, open_files
from robot_orl.types import Array, Episode, EpisodeMeta, Spec

SUCCESS = ("success", "is_success", "goal_achieved")  # in infos
TOLD = ("dataset_id", "minari_version", "data_format", "description", "author", "author_email")
TOLD_TOO = ("algorithm_name", "code_permalink", "requirements", "combined_datasets")


@dataclass(frozen=True)
class _Layout:
    """How the file's episodes become ours.

    own: it is an export of ours.  pays_success: the task pays success - 1, whatever the file's rewards are,
    which in the Adroit sets are shaped.
    """

    spec: Spec
    leaves: list[minari_spaces.Leaf]
    scale: minari_spaces.Scale
    own: Mapping[str, Any]
    pays_success: bool


def read(path: Path, request: Request) -> Source:
    """path: the dataset's folder, which holds `data`.

    Raises: DataError: it cannot be read, or is not numbers.  UsageError: the control rate must be told.
    """
    files = open_files(path)
    env_spec = _env_spec(files)
    leaves = minari_spaces.leaves(files.storage.observation_space, str(path))
    scale = minari_spaces.scale(files.storage.action_space, str(path))
    own = _own(files)
    spec = _spec(files, request, leaves, scale.size, env_spec, own)
    told = {name: files.metadata[name] for name in (*TOLD, *TOLD_TOO) if name in files.metadata}
    told["clipped_action_values"] = sum(
        _outside(scale.rows(actions, what)) for what, actions in files.actions() if not own
    )
    if scale.low is not None and scale.high is not None:
        told["action_low"], told["action_high"] = scale.low.tolist(), scale.high.tolist()
    layout = _Layout(spec, leaves, scale, own, names_task(request) and not own and _tells_success(files))
    if layout.pays_success:
        told["rewards"] = PAID
    return Source(
        spec=spec,
        count=files.count,
        episodes=_episodes(files, layout, env_spec, files.path.parent.name),
        env_kwargs=dict(own.get("env_kwargs") or {}),
        provenance={**told, "env_spec": env_spec},
    )


def _own(files: Files) -> dict[str, Any]:
    """What an export of ours says beyond the format; empty: it is none."""
    found = files.metadata.get(OWN)
    if not isinstance(found, dict) or not isinstance(found.get("spec"), str):
        return {}
    if not isinstance(found.get("env_kwargs", {}), dict):
        raise DataError(f"{files.path}: metadata {OWN}: env_kwargs are no object")
    return found


def _outside(action: Array) -> int:
    """How many values of scaled actions lay beyond their bounds."""
    return int(np.count_nonzero(np.abs(action) > 1.0 + minari_spaces.ROUNDING))


def _env_spec(files: Files) -> dict[str, Any]:
    """What the file says of its environment, which is data here: nothing is made of it."""
    with named(f"{files.path}: env_spec"):
        found = json.loads(files.metadata.get("env_spec") or "{}")
        if not isinstance(found, dict) or not isinstance(found.get("max_episode_steps"), int | None):
            raise ValueError("it is no object, or its max_episode_steps no number")
        return found


def _spec(
    files: Files,
    request: Request,
    leaves: list[minari_spaces.Leaf],
    action: int,
    env_spec: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Spec:
    """That of the task, of our own export, or one made of the file's spaces."""
    cameras = {leaf.key: leaf.camera for leaf in leaves if leaf.camera is not None}
    widths = {leaf.key: leaf.width for leaf in leaves if leaf.camera is None}
    spec = task_spec(request)
    if spec is None and own:
        spec = renamed(spec_from(own["spec"], f"{files.path}: metadata {OWN}"), request)
    if spec is not None:
        _check_task(spec, widths, action, str(files.path))
        return replace(spec, cameras=cameras)
    env_id = env_spec.get("id") if isinstance(env_spec.get("id"), str) else None
    horizon = request.horizon or env_spec.get("max_episode_steps") or _longest(files)
    rate = request.control_hz or _rate(env_id)
    return replace(made_spec(request, widths, action, horizon, rate, env_id), cameras=cameras)


def _check_task(spec: Spec, widths: Mapping[str, int], action: int, what: str) -> None:
    """Raises: DataError: the file is not one of that task."""
    wanted = {key: len(signals) for key, signals in spec.observation.items()}
    is_flat = list(widths) == [minari_spaces.ONE_KEY] and sum(wanted.values()) == sum(widths.values())
    missing = [f"{key} ({width})" for key, width in wanted.items() if widths.get(key) != width]
    if missing and not is_flat:
        has = ", ".join(f"{key} ({width})" for key, width in widths.items())
        raise DataError(f"{what} has no observation {', '.join(missing)} of task {spec.task}; it has: {has}")
    if action != spec.action_size:
        raise DataError(f"{what} has actions of {action} values; task {spec.task} has {spec.action_size}")


def _longest(files: Files) -> int:
    return max((int(files.told(index).get("total_steps", 1)) for index in range(files.count)), default=1)


def _rate(env_id: str | None) -> float | None:
    """Control rate of a MuJoCo environment that Gymnasium knows by this id, else None [Hz].

    The id alone is used: what else the file says of an environment could name any code.
    """
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    if env_id not in gymnasium.registry:
        return None
    try:
        env = gymnasium.make(env_id, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError):  # a simulator that is not installed
        return None
    try:
        period_s = getattr(env.unwrapped, "dt", None)
    finally:
        env.close()
    return round(1.0 / period_s, 6) if isinstance(period_s, float) and period_s > 0 else None


def _episodes(files: Files, layout: _Layout, env_spec: Mapping[str, Any], name: str) -> Iterator[Episode]:
    for index, found in enumerate(files.episodes()):
        what = f"{files.path}: episode {index}"
        told = files.told(index)
        with named(what):
            episode = _episode(found, told, layout, env_spec, what)
        yield replace(episode, meta=replace(episode.meta, origin=f"{name}#{index}"))


def _episode(
    found: Mapping[str, Any],
    told: Mapping[str, Any],
    layout: _Layout,
    env_spec: Mapping[str, Any],
    what: str,
) -> Episode:
    spec = layout.spec
    steps = len(found["rewards"])
    if steps != int(told.get("total_steps", steps)):  # Arrow episodes of more than 32,767 steps
        raise DataError(f"{what}: Minari's reader gives {steps} of its {told['total_steps']} steps")
    seen = {leaf: leaf.rows(found["observations"]) for leaf in layout.leaves}
    obs = {leaf.key: rows for leaf, rows in seen.items() if leaf.camera is None}
    if not layout.own:
        obs = {key: finite(rows, f"{what}, '{key}',") for key, rows in obs.items()}
    if obs.keys() != spec.observation.keys() and list(obs) == [minari_spaces.ONE_KEY]:
        obs = split_observation(obs[minari_spaces.ONE_KEY], spec, what)
    action = np.asarray(found["actions"]) if layout.own else layout.scale.rows(found["actions"], what)
    if len(action) != steps or any(len(rows) != steps + 1 for rows in seen.values()):
        raise DataError(f"{what} has {len(action)} actions for {steps} rewards, or not one observation more")
    infos = found.get("infos") or {}
    ends = {key: np.asarray(found[key], bool).reshape(steps) for key in ("terminations", "truncations")}
    success = _success(infos, steps)
    reward = rewards(np.asarray(found["rewards"]).reshape(steps), what)
    if layout.pays_success:
        if success is None:
            raise DataError(f"{what} does not tell its success, as the first does: two kinds of rewards")
        reward = success.astype(np.float32) - 1
    episode = imported_episode(
        {key: obs[key] for key in spec.observation},
        action,
        _meta(told, success, ends, env_spec, layout, what),
        reward=reward,
        terminated=ends["terminations"],
        truncated=ends["truncations"],
        sim_state=np.asarray(infos["sim_state"]) if layout.own and "sim_state" in infos else None,
        images={leaf.key: rows for leaf, rows in seen.items() if leaf.camera is not None},
    )
    if not layout.own:
        clipped = _outside(action)
        told_clipped = f"{clipped} action values lay outside their bounds and were clipped" if clipped else ""
        return replace(episode, meta=replace(episode.meta, notes=told_clipped))
    kept = {key: _per_step(infos[key], steps) for key in STEP_FIELDS if key in infos}
    columns: dict[str, Any] = {key: rows.astype(STEP_FIELDS[key]) for key, rows in kept.items()}
    return replace(episode, truncated=ends["truncations"], **columns)


def _per_step(info: Any, steps: int) -> Array:
    """(T, ...): Minari's collector keeps what `reset` said in front of what the T steps said."""
    return np.asarray(info)[-steps:] if steps else np.asarray(info)[:0]


def _tells_success(files: Files) -> bool:
    """Whether the first episode does, of each step; then all must, or two kinds of rewards would be mixed."""
    with closing(files.episodes()) as episodes, named(f"{files.path}: episode 0"):
        first = next(episodes)
        return _success(first.get("infos") or {}, len(first["rewards"])) is not None


def _success(infos: Mapping[str, Any], steps: int) -> Array | None:
    """(T,) bool; None: not told of each step."""
    found = next((_per_step(infos[key], steps) for key in SUCCESS if key in infos), None)
    if found is None or found.shape != (steps,) or not np.isfinite(found).all():
        return None
    return found.astype(bool)


def _meta(
    told: Mapping[str, Any],
    success: Array | None,
    ends: Mapping[str, Array],
    env_spec: Mapping[str, Any],
    layout: _Layout,
    what: str,
) -> EpisodeMeta:
    if layout.own and isinstance(told.get(OWN), str):
        return meta_from(told[OWN], f"{what}, {OWN}")
    steps = len(ends["terminations"])
    reason = "unknown"
    if ends["terminations"][-1:].any():
        reason = "terminated"
    elif ends["truncations"][-1:].any() and steps == env_spec.get("max_episode_steps"):
        reason = "horizon"
    return EpisodeMeta(
        seed=None if told.get("seed") is None else int(told["seed"]),
        reset_options=json.loads(json.dumps(told.get("options") or {}, default=np.ndarray.tolist)),
        success=bool(success[-1]) if success is not None and steps else None,
        success_any=bool(success.any()) if success is not None and steps else None,
        end_reason=reason,
    )


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """HDF5. out: new folder; its name becomes the dataset's id, such as 'pick-v0'.

    Raises: UsageError: Minari takes no such name.
    """
    export(dataset, out, progress, "hdf5")
