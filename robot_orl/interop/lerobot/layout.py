"""Where everything of a LeRobotDataset v3.0 lies.

root/meta/info.json                              version, fps, features, path templates
root/meta/stats.json                             per feature: min, max, mean, std, count, quantiles
root/meta/tasks.parquet                          task in words -> task_index
root/meta/episodes/chunk-000/file-000.parquet    a row per episode: where its frames and videos lie
root/data/chunk-000/file-000.parquet             a row per frame: what was seen, and what was done there
root/videos/<camera>/chunk-000/file-000.mp4      many episodes behind each other
root/meta/robot_orl/                             ours: what LeRobot has no place for; its reader ignores it

An episode of T steps has T frames, so its last observation is none of them. Ours keeps it.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from robot_orl.errors import DataError
from robot_orl.types import Camera, Spec

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
OWN_FILE = "meta/robot_orl/about.json"
OWN_PATH = f"meta/robot_orl/{_FILE}.parquet"

FILES_PER_CHUNK = 1000
DATA_MB = 100
VIDEO_MB = 200
MB = 2**20

OBSERVATION = "observation."
STATE = "observation.state"
IMAGES = "observation.images."
ACTION = "action"
REWARD, DONE, TRUNCATED, SUCCESS = "next.reward", "next.done", "next.truncated", "next.success"
VISUAL = ("video", "image")

_INDICES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def filled(template: str, what: str, **values: int | str) -> str:
    """A path template of an info.json with its fields put in, as a path inside the dataset's folder.

    Templates are not trusted: only plain fields are known, and the path must not leave the folder.
    Raises: DataError: names `what` the template is from.
    """

    def put(match: re.Match[str]) -> str:
        name, width = match.group(1), match.group(2)
        if name not in values:
            raise DataError(f"{what}: the path '{template}' has an unknown field '{name}'")
        return str(values[name]).zfill(int(width or 0))

    path = re.sub(r"\{(\w+)(?::0?(\d)d)?\}", put, template)
    parts = PurePosixPath(path)
    if re.search(r"[{}\\\0]", path) or parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise DataError(f"{what}: the path '{template}' leaves the dataset's folder or is malformed")
    return path


def file_name(template: str, number: int, **values: str) -> str:
    """The `number`-th file of its kind, as this project writes them."""
    chunk, file = divmod(number, FILES_PER_CHUNK)
    return filled(template, INFO, chunk_index=chunk, file_index=file, **values)


def camera_key(camera: str) -> str:
    return IMAGES + camera


def features_of(spec: Spec, has_reward: bool, has_success: bool) -> dict[str, dict[str, Any]]:
    """The `features` of an info.json: dtype, shape and names, without those of the videos' encoding."""

    def feature(dtype: str, *names: str) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [max(len(names), 1)], "names": list(names) or None}

    found: dict[str, dict[str, Any]] = {}
    if spec.observation_size:
        state = [f"{key}.{signal.name}" for key, signals in spec.observation.items() for signal in signals]
        found[STATE] = feature("float32", *state)
    for camera, size in spec.cameras.items():
        found[camera_key(camera)] = image_feature(size)
    found[ACTION] = feature("float32", *(signal.name for signal in spec.action))
    if has_reward:
        found[REWARD] = feature("float32")
    found |= {DONE: feature("bool"), TRUNCATED: feature("bool")}
    if has_success:
        found[SUCCESS] = feature("bool")
    return found | {name: feature(dtype) for name, dtype in _INDICES.items()}


def image_feature(size: Camera) -> dict[str, Any]:
    names = ["height", "width", "channels"]
    return {"dtype": "video", "shape": [size.height, size.width, 3], "names": names}


def info_of(
    features: Mapping[str, Any], control_hz: float, episodes: int, frames: int, tasks: int
) -> dict[str, Any]:
    """The content of info.json."""
    return {
        "codebase_version": VERSION,
        "robot_type": None,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": DATA_MB,
        "video_files_size_in_mb": VIDEO_MB,
        "fps": int(control_hz) if float(control_hz).is_integer() else float(control_hz),
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if any(f["dtype"] == "video" for f in features.values()) else None,
        "features": dict(features),
    }


def inside(root: Path, template: str, what: str, **values: int | str) -> Path:
    """The file of a template. Raises: DataError: the path leaves the folder, or there is no such file."""
    path = root / filled(template, what, **values)
    if not path.is_file():
        raise DataError(f"{path} is missing; {what} names it")
    return path
