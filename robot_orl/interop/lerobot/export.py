"""Writes a dataset as a LeRobotDataset v3.0, one episode's frames in memory at a time.

    frames            observation.state, action, next.reward, next.done, next.truncated, next.success
    videos            T + 1 frames per episode: LeRobot reads T of them, the last one is s_T
    meta/robot_orl    see `own`

next.success is the episode's label, at its last frame. next.reward and next.success are left out where
they are known of no episode, or success not of all. Times are the grid of the control rate.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.interop.exporting import env_kwargs, sim_state_size
from robot_orl.interop.lerobot import layout, own
from robot_orl.interop.lerobot.layout import MB
from robot_orl.interop.lerobot.stats import SAMPLED_ROWS, ImageStats, VectorStats, sampled_frames
from robot_orl.interop.lerobot.tables import TableFiles, vectors
from robot_orl.interop.lerobot.video import VideoFile, encoding
from robot_orl.types import Array, Episode, Spec

_GROUP_BYTES = 2**22  # of a row group of rows per episode
_ROW_BYTES = 4000  # of an episode's row in meta/episodes, about


def export(
    dataset: Dataset,
    root: Path,
    progress: Callable[[int], None],
    data_bytes: int = layout.DATA_MB * MB,
    video_bytes: int = layout.VIDEO_MB * MB,
) -> None:
    """Write the episodes in use into `root`, an empty folder.

    data_bytes, video_bytes: a file that would outgrow it is followed by another.
    """
    records, spec = dataset.episodes, dataset.spec
    files = _Export(root, spec, records, data_bytes, video_bytes)
    try:
        for episode in _loaded(dataset):
            files.append(episode)
            progress(1)
    finally:
        files.close()
    files.finish(env_kwargs(dataset))


def _loaded(dataset: Dataset) -> Iterator[Episode]:
    """Those in use in order: each segment at once where there are no frames, which is much faster."""
    has_state = sim_state_size(dataset) is not None
    if not dataset.spec.cameras:
        return dataset.load_all(sim_state=has_state)
    return (dataset.load(record, sim_state=has_state) for record in dataset.episodes)


class _Export:
    def __init__(
        self, root: Path, spec: Spec, records: list[EpisodeRecord], data_bytes: int, video_bytes: int
    ) -> None:
        self._root = root
        self._spec = spec
        self._video_bytes = video_bytes
        self._episodes = self._frames = 0
        self._tasks: dict[str, int] = {}
        self._data = TableFiles(root, layout.DATA_PATH, data_bytes)
        self._rows = TableFiles(root, layout.EPISODES_PATH, data_bytes, _GROUP_BYTES)
        self._own = TableFiles(root, layout.OWN_PATH, data_bytes, _GROUP_BYTES)
        self._videos: dict[str, tuple[int, VideoFile]] = {}  # per camera: number of the file, and it
        has_reward = not all(np.isnan(record.episode_return) for record in records)
        has_success = all(record.meta.success is not None for record in records)
        self._features = layout.features_of(spec, has_reward, has_success)
        for camera, size in spec.cameras.items():
            self._features[layout.camera_key(camera)]["info"] = encoding(size, spec.control_hz)
        every = -(-sum(record.length for record in records) // SAMPLED_ROWS)
        self._stats: dict[str, VectorStats | ImageStats] = {
            name: ImageStats() if f["dtype"] == "video" else VectorStats(f["shape"][0], max(every, 1))
            for name, f in self._features.items()
        }

    def append(self, episode: Episode) -> None:
        steps, index = len(episode), self._episodes
        task = episode.meta.instruction or self._spec.task
        state = self._spec.flatten(episode.obs) if self._spec.observation else np.zeros((steps + 1, 0), "f4")
        columns = self._columns(episode, state[:-1], self._tasks.setdefault(task, len(self._tasks)))
        table = pa.table({name: vectors(rows) for name, rows in columns.items()})
        chunk, file = self._data.place(table.nbytes)
        self._data.write(table)
        row: dict[str, Any] = {
            "episode_index": index,
            "tasks": [task],
            "length": steps,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + steps,
        }
        stats = {name: self._count(name, columns[name]) for name in columns}
        for camera in self._spec.cameras:
            key = layout.camera_key(camera)
            row |= self._append_video(key, camera, episode.images[camera])
            stats[key] = self._count(key, sampled_frames(episode.images[camera][:-1]))
        row |= {f"stats/{name}/{k}": v for name, one in stats.items() for k, v in one.items()}
        chunk, file = self._rows.place(_ROW_BYTES)
        row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
        self._rows.write(pa.Table.from_arrays([_cell(v) for v in row.values()], names=list(row)))
        extra = own.to_table(episode, index, state)
        self._own.place(extra.nbytes)
        self._own.write(extra)
        self._episodes += 1
        self._frames += steps

    def _columns(self, episode: Episode, state: Array, task: int) -> dict[str, Array]:
        """(T, width) per feature of the frames, of the type that it is written in."""
        steps = len(episode)
        done = episode.terminated | episode.truncated
        success = np.zeros(steps, bool)
        success[-1] = bool(episode.meta.success)
        found: dict[str, Array] = {
            layout.STATE: state,
            layout.ACTION: episode.action,
            layout.REWARD: episode.reward,
            layout.DONE: done,
            layout.TRUNCATED: episode.truncated,
            layout.SUCCESS: success,
            "timestamp": np.arange(steps) / self._spec.control_hz,
            "frame_index": np.arange(steps),
            "episode_index": np.full(steps, self._episodes),
            "index": np.arange(steps) + self._frames,
            "task_index": np.full(steps, task),
        }
        return {
            name: np.asarray(found[name], f["dtype"]).reshape(steps, f["shape"][0])
            for name, f in self._features.items()
            if f["dtype"] != "video"
        }

    def _count(self, name: str, rows: Array) -> dict[str, list[Any]]:
        """Add to the feature's statistics; those of these rows alone."""
        total = self._stats[name]
        alone = ImageStats() if isinstance(total, ImageStats) else VectorStats(rows.shape[1])
        total.add(rows)
        alone.add(rows)
        return alone.result()

    def _append_video(self, key: str, camera: str, frames: Array) -> dict[str, Any]:
        """Write T + 1 frames; where the T lie that LeRobot shall read."""
        number, video = self._videos.get(camera, (-1, None))
        if video is None or self._is_full(video, len(frames)):
            if video is not None:
                video.close()
            number += 1
            path = self._root / layout.file_name(layout.VIDEO_PATH, number, video_key=key)
            video = VideoFile(path, self._spec.cameras[camera], self._spec.control_hz)
            self._videos[camera] = number, video
        start = video.seconds
        video.append(frames[:-1])
        stop = video.seconds
        video.append(frames[-1:])
        chunk, file = divmod(number, layout.FILES_PER_CHUNK)
        return {
            f"videos/{key}/chunk_index": chunk,
            f"videos/{key}/file_index": file,
            f"videos/{key}/from_timestamp": start,
            f"videos/{key}/to_timestamp": stop,
        }

    def _is_full(self, video: VideoFile, frames: int) -> bool:
        size = video.path.stat().st_size
        return size * (1 + frames / max(video.frames, 1)) > self._video_bytes

    def close(self) -> None:
        for files in (self._data, self._rows, self._own):
            files.close()
        for _, video in self._videos.values():
            video.close()
        self._videos.clear()

    def finish(self, env_kwargs: Mapping[str, Any]) -> None:
        """The files that tell of all episodes."""
        own.write_about(self._root, self._spec, env_kwargs)
        pq.write_table(tasks_table(self._tasks), self._root / layout.TASKS)
        stats = {name: one.result() for name, one in self._stats.items()}
        (self._root / layout.STATS).write_text(json.dumps(stats, indent=4) + "\n")
        info = layout.info_of(
            self._features, self._spec.control_hz, self._episodes, self._frames, len(self._tasks)
        )
        (self._root / layout.INFO).write_text(json.dumps(info, indent=4) + "\n")


def _cell(value: Any) -> pa.Array:
    """One value of a row, of a type that is the same for every episode."""
    if isinstance(value, list) and not isinstance(value[0], str):
        shape, flat = np.shape(value), np.array(value, object).reshape(-1).tolist()
        kind: pa.DataType = pa.int64() if isinstance(flat[0], int) else pa.float64()
        for _ in shape:
            kind = pa.list_(kind)
        return pa.array([value], kind)
    return pa.array([value])


def tasks_table(tasks: Mapping[str, int]) -> pa.Table:
    """As pandas writes a frame that is indexed by the task, which is what LeRobot's reader expects."""
    table = pa.table(
        {"task_index": pa.array(tasks.values(), pa.int64()), "task": pa.array(tasks, pa.string())}
    )

    def column(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
        named = {"name": name, "field_name": name, "pandas_type": kind}
        return named | {"numpy_type": numpy_kind, "metadata": None}

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
