"""Exports to Minari through its own writer: HDF5 or Arrow, one episode in memory at a time."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interop import exporting, minari_spaces
from robot_orl.interop.base import library
from robot_orl.interop.labels import meta_text, spec_text
from robot_orl.types import Actor, Array, Episode

OWN = "robot_orl"  # what Minari has no place for, in the metadata of the dataset and of an episode
ARROW_ROWS = 32_768  # Minari's Arrow reader takes the first batch of an episode for all of it
_UNKNOWN = {"action_policy": np.nan, "action_operator": np.nan, "t_ns": -1, "actor": int(Actor.UNKNOWN)}


def export(dataset: Dataset, out: Path, progress: Callable[[int], None], data_format: str) -> None:
    """out: new folder; its name becomes the dataset's id, and its parent MINARI_DATASETS_PATH.

    data_format: 'hdf5' or 'arrow'.  Raises: UsageError: Minari takes no such name.
    """
    pattern = library("minari.dataset.minari_dataset").DATASET_ID_RE
    library("h5py" if data_format == "hdf5" else "pyarrow")
    name = out.name
    match = pattern.fullmatch(name)
    if match is None or match.group("version") is None:
        raise UsageError("Minari wants names that end in a version: out=.../pick-v0, for example")
    if dataset.spec.action_size == 0:
        raise UsageError("Minari keeps actions, and this dataset has none")
    out = Path(os.path.abspath(out))  # of a relative one, its storage looks for files below itself
    out.mkdir(parents=True)
    _write(dataset, out, name, data_format, progress)


def _write(
    dataset: Dataset, folder: Path, name: str, data_format: str, progress: Callable[[int], None]
) -> None:
    spec = dataset.spec
    env_kwargs = exporting.env_kwargs(dataset)
    known = gymnasium.registry.get(spec.task)
    storage = library("minari.dataset.minari_storage").MinariStorage.new(
        folder / "data",
        observation_space=minari_spaces.observation_space(spec),
        action_space=gymnasium.spaces.Box(-1.0, 1.0, (spec.action_size,), np.float32),
        env_spec=None if known is None else replace(known, kwargs={**known.kwargs, **env_kwargs}),
        data_format=data_format,
        jpeg_encoding=False,  # frames stay as they are
    )
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": library("minari").__version__,
            "description": f"{spec.task} at {spec.control_hz:g} Hz, exported by robot_orl",
            OWN: {"spec": spec_text(spec), "env_kwargs": env_kwargs},
        }
    )
    sizes, storage.get_size = storage.get_size, lambda: 0.0  # it lists all files after every episode
    storage.update_episodes(_buffers(dataset, data_format, progress))
    episodes = dataset.episodes
    storage.update_episode_metadata(({OWN: meta_text(r.meta)} for r in episodes), range(len(episodes)))
    storage.update_metadata({"dataset_size": float(sizes())})


def _buffers(dataset: Dataset, data_format: str, progress: Callable[[int], None]) -> Iterator[Any]:
    """Episodes as Minari takes them, one in memory at a time."""
    make = library("minari.data_collector.episode_buffer").EpisodeBuffer
    for record in dataset.episodes:
        if data_format == "arrow" and record.length + 1 > ARROW_ROWS:
            raise UsageError(
                f"episode {record.id} has {record.length} steps; Minari's Arrow reader loses those from "
                f"{ARROW_ROWS} on: use to=minari"
            )
        episode = dataset.load(record)
        yield make(
            seed=episode.meta.seed,
            observations=minari_spaces.observations(episode.obs, episode.images),
            actions=episode.action,
            rewards=episode.reward,
            terminations=episode.terminated,
            truncations=episode.truncated,
            infos=_infos(episode),
        )
        progress(1)


def _infos(episode: Episode) -> dict[str, Any]:
    """T + 1 rows each, of which the first is what `reset` would have said; what is unknown is left out."""
    infos: dict[str, Any] = {}
    if (success := _success(episode)) is not None:
        infos["success"] = list(np.append(False, success))
    for name, rows in exporting.step_fields(episode).items():
        nothing = _UNKNOWN.get(name, 0)
        if name in _UNKNOWN and (np.isnan(rows) if rows.dtype.kind == "f" else rows == nothing).all():
            continue
        first = np.full((1, *rows.shape[1:]), nothing, rows.dtype)
        rows = np.concatenate([first, rows])
        infos[name] = rows if rows.ndim > 1 else list(rows)  # Minari's Arrow reader wants lists of scalars
    if episode.sim_state is not None:
        infos["sim_state"] = episode.sim_state
    return infos


def _success(episode: Episode) -> Array | None:
    """(T,) bool where the rewards, success - 1, say it and agree with the labels; else None."""
    if not np.isin(episode.reward, (-1.0, 0.0)).all():
        return None
    found = episode.reward == 0.0
    agrees = (bool(found[-1]), bool(found.any())) == (episode.meta.success, episode.meta.success_any)
    return found if agrees else None
