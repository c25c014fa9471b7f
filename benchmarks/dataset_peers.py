"""The same batches from the libraries that people use for them. Each gives a function that draws one batch.

ImportError: it is not installed.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dataset_made import CAMERA, STEPS

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.data.store import Dataset
from robot_orl.types import Array, Episode

Draw = Callable[[], Any]
VIDEO_EPISODES = 20  # per mp4 file


def columns(replay: Replay) -> dict[str, Array]:
    """Every transition of a replay as (N, ...) arrays: s, a, r, discount, s'."""
    batch = replay.gather(np.arange(len(replay)), Sampling(len(replay)), np.random.default_rng(0))
    return {name: getattr(batch, name) for name in ("obs", "action", "reward", "discount", "next_obs")}


def index_select(replay: Replay, batch: int) -> Draw:
    """Every column by PyTorch's bare gather; drawn as torch draws."""
    import torch

    found = columns(replay)
    next_obs = torch.from_numpy(replay.observations())  # s' is a row of the same array, as in ours
    tensors = [torch.from_numpy(found[name]) for name in ("action", "reward", "discount")]
    row = torch.arange(len(replay)) + torch.arange(len(replay)) // STEPS

    def draw() -> Any:
        index = torch.randint(len(replay), (batch,))
        at = row.index_select(0, index)
        gathered = [next_obs.index_select(0, at), next_obs.index_select(0, at + 1)]
        return gathered + [tensor.index_select(0, index) for tensor in tensors]

    return draw


def one_row(replay: Replay, batch: int) -> Draw:
    """s, a, r, discount and s' of a step side by side in memory: one gather, twice the memory."""
    import torch

    found = columns(replay)
    wide = torch.from_numpy(
        np.concatenate([rows.reshape(len(replay), -1) for rows in found.values()], axis=1)
    )
    return lambda: wide.index_select(0, torch.randint(len(replay), (batch,)))


def zarr_rows(dataset: Dataset, batch: int, rng: np.random.Generator) -> Draw:
    """Orthogonal indexing of the very arrays that we read."""
    import zarr

    group = zarr.open_group(str(dataset.segments[0].path), mode="r")
    keys, records = list(dataset.spec.observation), dataset.episodes
    starts = np.array([record.start for record in records])
    steps = records[-1].start + records[-1].length

    def draw() -> Any:
        step = np.sort(rng.choice(steps, batch, replace=False))
        row = step + np.searchsorted(starts, step, side="right") - 1
        found = [group[f"obs/{key}"].oindex[row + ahead] for key in keys for ahead in (0, 1)]
        return found + [group[f"steps/{name}"].oindex[step] for name in ("action", "reward", "terminated")]

    return draw


def h5py_rows(replay: Replay, folder: Path, batch: int, rng: np.random.Generator) -> Draw:
    """A file of contiguous arrays, uncompressed: as D4RL's, and as fast as HDF5 gets."""
    import h5py

    file = h5py.File(folder / "rows.hdf5", "w")
    for name, rows in columns(replay).items():
        file[name] = rows

    def draw() -> Any:
        step = np.sort(rng.choice(len(replay), batch, replace=False))
        return [file[name][step] for name in file]

    return draw


def minari_sampler(found: list[Episode], folder: Path, batch: int) -> tuple[Draw, Draw]:
    """Batches of transitions, from an episode each, and of all steps of `batch // T` sampled episodes."""
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    box = {k: gymnasium.spaces.Box(-np.inf, np.inf, rows.shape[1:]) for k, rows in found[0].obs.items()}
    buffers = [
        EpisodeBuffer(
            id=number,
            observations=dict(one.obs),
            actions=one.action,
            rewards=list(one.reward),
            terminations=list(one.terminated),
            truncations=list(one.truncated),
        )
        for number, one in enumerate(found)
    ]
    with warnings.catch_warnings(action="ignore"):  # asks for a description and an environment
        dataset = minari.create_dataset_from_buffers(
            "benchmark/made-v0",
            buffers,
            observation_space=gymnasium.spaces.Dict(box),
            action_space=gymnasium.spaces.Box(-1, 1, found[0].action.shape[1:]),
            algorithm_name="made",
            author="made",
            author_email="made@example.org",
            code_permalink="none",
        )
    length = len(found[0])
    rng = np.random.default_rng(0)

    def uniform() -> Any:
        drawn = []
        for one in dataset.sample_episodes(min(batch, len(found))):
            step = rng.integers(length)
            obs = {key: rows[step : step + 2] for key, rows in one.observations.items()}
            drawn.append((obs, one.actions[step], one.rewards[step], one.terminations[step]))
        return drawn

    return uniform, lambda: list(dataset.sample_episodes(batch // length))


def torchrl_memmap(rows: dict[str, Array], folder: Path, batch: int) -> Draw:
    """TorchRL's replay buffer over memory-mapped files."""
    os.environ.setdefault("RL_LOGGING_LEVEL", "WARNING")
    import torch
    from tensordict import TensorDict
    from torchrl.data import LazyMemmapStorage, ReplayBuffer

    count = len(next(iter(rows.values())))
    buffer = ReplayBuffer(storage=LazyMemmapStorage(count, scratch_dir=str(folder)), batch_size=batch)
    for first in range(0, count, 5000):
        part = {
            name: torch.from_numpy(np.ascontiguousarray(r[first : first + 5000])) for name, r in rows.items()
        }
        buffer.extend(TensorDict(part, batch_size=[len(next(iter(part.values())))]))
    return buffer.sample


def zarr_frames(dataset: Dataset, batch: int, rng: np.random.Generator) -> Draw:
    import zarr

    group = zarr.open_group(str(dataset.segments[0].path), mode="r")
    frames = group[f"obs/images/{CAMERA}"]
    return lambda: frames.oindex[np.sort(rng.choice(frames.shape[0], batch, replace=False))]


def h5py_frames(found: Iterator[Episode], folder: Path, batch: int, rng: np.random.Generator) -> Draw:
    """Contiguous and uncompressed, frame behind frame."""
    import h5py

    films = [one.images[CAMERA] for one in found]
    count = sum(map(len, films))
    file = h5py.File(folder / "frames.hdf5", "w")
    frames = file.create_dataset("frames", (count, *films[0].shape[1:]), "u1")
    first = 0
    for film in films:
        frames[first : first + len(film)] = film
        first += len(film)
    file.close()
    opened = h5py.File(folder / "frames.hdf5", "r")["frames"]
    return lambda: opened[np.sort(rng.choice(count, batch, replace=False))]


def video_frames(
    found: Iterator[Episode], folder: Path, batch: int, rng: np.random.Generator
) -> tuple[Draw, Draw]:
    """H.264 with a key frame every second frame, as LeRobot encodes: random frames, and all in order."""
    import av

    folder.mkdir(parents=True)
    episodes, files, length = list(found), [], 0
    for first in range(0, len(episodes), VIDEO_EPISODES):
        films = np.concatenate([one.images[CAMERA] for one in episodes[first : first + VIDEO_EPISODES]])
        length = length or len(films)
        if len(films) < length:
            break
        files.append(folder / f"{first}.mp4")
        with av.open(files[-1], "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "23", "g": "2"})
            stream.height, stream.width, stream.pix_fmt = films.shape[1], films.shape[2], "yuv420p"
            stream.thread_count = 1
            for frame in films:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode())

    def opened(file: Path) -> tuple[Any, Any]:
        container = av.open(file)
        stream = container.streams.video[0]
        stream.thread_count = 1
        return container, stream

    containers = [opened(file) for file in files]

    def random() -> Any:
        drawn = []
        for _ in range(batch):
            container, stream = containers[rng.integers(len(containers))]
            wanted = int(rng.integers(length) / stream.average_rate / stream.time_base)
            container.seek(wanted, stream=stream)
            frame = next(f for f in container.decode(stream) if f.pts >= wanted)
            drawn.append(frame.to_ndarray(format="rgb24"))
        return drawn

    def forward() -> Iterator[Array]:
        while True:
            for file in files:
                container, stream = opened(file)
                with container:
                    for frame in container.decode(stream):
                        yield frame.to_ndarray(format="rgb24")

    coming = forward()
    return random, lambda: [next(coming) for _ in range(batch)]
