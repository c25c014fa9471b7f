"""What a LeRobotDataset's meta folder says: its features, its tasks, and where each episode lies.

v3.x keeps many episodes per file and tells of them in parquet; v2.0 and v2.1 keep a file per episode and
tell of them in JSON lines. Nothing of it is trusted.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_orl.errors import DataError
from robot_orl.interop.lerobot import layout
from robot_orl.interop.lerobot.layout import INFO, inside
from robot_orl.interop.lerobot.tables import row_dicts

READ = "v3.x, v2.1 and v2.0"
_LINE_BYTES = 2**24  # of a line of JSON: more than any episode's


@dataclass(frozen=True)
class Feature:
    """One column of the frames, or a camera. names: one per value where the file has as many, else None."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None
    is_depth: bool

    @property
    def width(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Info:
    """meta/info.json. fps: frames per second [Hz]."""

    root: Path
    version: str
    fps: float
    features: Mapping[str, Feature]
    raw: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.root / INFO

    @property
    def is_v2(self) -> bool:
        return self.version.startswith("v2")

    def number(self, name: str) -> int:
        """A count. Raises: DataError: it is none."""
        found = self.raw.get(name)
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise DataError(f"{self.path}: '{name}' is {found!r:.40}, no count")
        return found

    def template(self, name: str) -> str:
        found = self.raw.get(name)
        if not isinstance(found, str):
            raise DataError(f"{self.path}: '{name}' is {found!r:.40}, no path")
        return found


@dataclass(frozen=True)
class Place:
    """Where an episode lies. video: per camera's feature, the file and when the episode begins in it [s]."""

    index: int
    length: int
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, tuple[Path, float]]


def read_info(root: Path) -> Info:
    """Raises: DataError: no LeRobotDataset, of a version that is not read, or damaged."""
    path = root / INFO
    if not path.is_file():
        raise DataError(f"{root} is no LeRobotDataset: {path} is missing")
    try:
        raw = json.loads(path.read_bytes())
        version = raw["codebase_version"]
        known = isinstance(version, str) and (version in ("v2.0", "v2.1") or version.startswith("v3."))
        if not known:
            raise DataError(f"{path} is of version {version!r:.20}; read are {READ}")
        fps = raw["fps"]
        if isinstance(fps, bool) or not 0 < float(fps) < 1e6:
            raise DataError(f"{path}: fps is {fps!r:.40}")
        features = {name: _feature(one) for name, one in raw["features"].items()}
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error!r:.100}") from error
    return Info(root, version, float(fps), features, raw)


def _feature(raw: Mapping[str, Any]) -> Feature:
    shape = tuple(int(n) for n in raw["shape"])
    if not all(0 < n < 2**31 for n in shape):
        raise ValueError(f"a feature of shape {shape}")
    names = raw.get("names")
    while isinstance(names, dict) and len(names) == 1:  # {"motors": ["shoulder", ...]}
        names = next(iter(names.values()))
    words = tuple(map(str, names)) if isinstance(names, list) else ()
    is_named = len(words) == len(set(words)) == math.prod(shape)
    about = {**(raw.get("video_info") or {}), **(raw.get("info") or {})}
    is_depth = bool(about.get("video.is_depth_map") or about.get("is_depth_map"))
    return Feature(str(raw["dtype"]), shape, words if is_named else None, is_depth)


def read_tasks(info: Info) -> dict[int, str]:
    """Tasks in words by their index."""
    found: dict[int, str] = {}
    if info.is_v2:
        for row in _json_lines(info.root / "meta/tasks.jsonl"):
            found[_int(row, "task_index", "meta/tasks.jsonl")] = str(row.get("task"))
        return found
    path = info.root / layout.TASKS
    _must_exist(path)
    for row in row_dicts(path, ["task_index"], others=True):
        words = [value for name, value in row.items() if name != "task_index" and isinstance(value, str)]
        if not words:
            raise DataError(f"{path} does not tell the tasks in words")
        found[_int(row, "task_index", str(path))] = words[0]
    return found


def read_places(info: Info, cameras: list[str]) -> Iterator[Place]:
    """Every episode in order. cameras: the features that are videos.

    Raises: DataError: a file is missing or damaged, or lies outside the folder.
    """
    rows = _json_lines(info.root / "meta/episodes.jsonl") if info.is_v2 else _episode_rows(info, cameras)
    count = 0
    for row in rows:
        what = f"{info.root / 'meta'}: episode {count}"
        if _int(row, "episode_index", what) != count:
            raise DataError(f"{what} is not where it should be; found {row['episode_index']}")
        length = _int(row, "length", what)
        if length < 1:
            raise DataError(f"{what} has {length} frames")
        tasks = tuple(str(task) for task in row.get("tasks") or ())
        yield (_place_v2 if info.is_v2 else _place_v3)(info, row, cameras, count, length, tasks)
        count += 1
    if count != info.number("total_episodes"):
        raise DataError(f"{info.path} tells of {info.number('total_episodes')} episodes; there are {count}")


def _place_v3(
    info: Info, row: Mapping[str, Any], cameras: list[str], index: int, length: int, tasks: tuple[str, ...]
) -> Place:
    what, place = str(info.path), f"{info.root / 'meta/episodes'}: episode {index}"

    def numbers(prefix: str) -> dict[str, int]:
        return {name: _int(row, f"{prefix}/{name}", place) for name in ("chunk_index", "file_index")}

    data = inside(info.root, info.template("data_path"), what, **numbers("data"))
    videos = {}
    for key in cameras:
        template, start = info.template("video_path"), row[f"videos/{key}/from_timestamp"]
        if not isinstance(start, float) or not math.isfinite(start):
            raise DataError(f"{place}: video '{key}' begins at {start!r:.40}")
        path = inside(info.root, template, what, video_key=key, **numbers(f"videos/{key}"))
        videos[key] = path, start
    return Place(index, length, tasks, data, videos)


def _place_v2(
    info: Info, row: Mapping[str, Any], cameras: list[str], index: int, length: int, tasks: tuple[str, ...]
) -> Place:
    what, chunk = str(info.path), index // max(info.number("chunks_size"), 1)
    told = {"episode_chunk": chunk, "episode_index": index}
    data = inside(info.root, info.template("data_path"), what, **told)
    videos = {
        key: (inside(info.root, info.template("video_path"), what, video_key=key, **told), 0.0)
        for key in cameras
    }
    return Place(index, length, tasks, data, videos)


def _episode_rows(info: Info, cameras: list[str]) -> Iterator[Mapping[str, Any]]:
    columns = ["episode_index", "tasks", "length", "data/chunk_index", "data/file_index"]
    for key in cameras:
        columns += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
    files = sorted((info.root / "meta/episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise DataError(f"{info.root / layout.EPISODES_PATH.format(chunk_index=0, file_index=0)} is missing")
    for file in files:
        yield from row_dicts(file, columns)


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    _must_exist(path)
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(_LINE_BYTES):
            number += 1
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("no object")
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path} is damaged in line {number}: {error}") from error
            yield row


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing")


def _int(row: Mapping[str, Any], name: str, what: str) -> int:
    found = row.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise DataError(f"{what}: '{name}' is {found!r:.40}")
    return found
