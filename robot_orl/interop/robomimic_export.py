"""Writes robomimic's HDF5 structure, as `formats/robomimic` draws it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError
from robot_orl.interop import exporting, labels
from robot_orl.interop.hdf5 import created, write_text
from robot_orl.types import Array, Episode, EpisodeMeta

OWN = "robot_orl"
GYM = 2  # robomimic's EnvType.GYM_TYPE
NOTED = "mask: "  # a line of an episode's notes that names filter keys
SUCCESS, OPERATOR = "success", "operator_"  # filter keys that an export makes from labels


def filter_keys(meta: EpisodeMeta) -> list[str]:
    """The filter keys of an episode: of its labels, and those noted when it was imported."""
    keys = [SUCCESS] if meta.success else []
    if meta.operator != "unknown":
        keys.append(OPERATOR + re.sub(r"[^\w.-]+", "_", meta.operator))
    return list(dict.fromkeys([*keys, *noted(meta)]))


def noted(meta: EpisodeMeta) -> list[str]:
    lines = [line.removeprefix(NOTED) for line in meta.notes.splitlines() if line.startswith(NOTED)]
    return [key for line in lines for key in line.split(", ") if key]


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """Every episode in use. Raises: DataError: an observation and a camera have the same name."""
    spec = dataset.spec
    if both := spec.observation.keys() & spec.cameras.keys():
        raise DataError(f"'{min(both)}' is an observation and a camera: robomimic has one place for both")
    size, masks, total = exporting.sim_state_size(dataset), dict[str, list[str]](), 0
    with created(out) as file:
        data, own = file.create_group("data"), file.create_group(OWN)
        for index, episode in enumerate(exporting.episodes(dataset, images=True)):
            name = f"demo_{index}"
            state = episode.sim_state if size is not None else None
            _write_demo(data.create_group(name), episode, state)
            _write_own(own.create_group(name), episode, state)
            for key in filter_keys(episode.meta):
                masks.setdefault(key, []).append(name)
            total += len(episode)
            progress(1)
        for key, names in masks.items():
            file[f"mask/{key}"] = np.array(names, "S")
        data.attrs["total"] = total
        data.attrs["env_args"] = json.dumps(
            {"env_name": spec.task, "type": GYM, "env_kwargs": exporting.env_kwargs(dataset)}
        )
        write_text(own, "spec", labels.spec_text(spec))


def _write_demo(group: Any, episode: Episode, state: Array | None) -> None:
    group.attrs["num_samples"] = len(episode)
    group["actions"] = episode.action
    group["rewards"] = episode.reward
    group["dones"] = episode.terminated.astype(np.int64)
    if state is not None:
        group["states"] = state[:-1]
    for key, rows in {**episode.obs, **episode.images}.items():
        packed = {"compression": "gzip", "compression_opts": 1, "chunks": (1, *rows.shape[1:])}
        for name, part in ((f"obs/{key}", rows[:-1]), (f"next_obs/{key}", rows[1:])):
            group.create_dataset(name, data=part, **(packed if key in episode.images else {}))


def _write_own(group: Any, episode: Episode, state: Array | None) -> None:
    ends = {"terminated": episode.terminated, "truncated": episode.truncated}
    for name, rows in (exporting.step_fields(episode) | ends).items():
        group[name] = rows
    if state is not None:
        group["last_state"] = state[-1:]
    write_text(group, "meta", labels.meta_text(episode.meta))
