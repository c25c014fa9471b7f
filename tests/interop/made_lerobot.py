"""A LeRobotDataset made by hand: parquet, JSON and mp4 as others write them, without our exporter."""

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LENGTHS = (3, 2)
TASKS = ("open the door", "close the door")
FPS = 10
SIZE = (16, 32)
CAMERA = "observation.images.top"


def features(video: str | None = "video", **more: list[Any]) -> dict[str, Any]:
    """more: dtype and shape of features beside the usual ones."""
    found: dict[str, Any] = {
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["shoulder", "elbow"]}},
        "observation.force": {"dtype": "float32", "shape": [1], "names": None},
        "action": {"dtype": "float32", "shape": [2], "names": ["a", "b"]},
    }
    if video:
        names = ["height", "width", "channels"]
        found[CAMERA] = {"dtype": video, "shape": [*SIZE, 3], "names": names}
    for name in more:
        found[name.replace("_", ".", 1)] = {"dtype": more[name][0], "shape": more[name][1], "names": None}
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        dtype = "float32" if name == "timestamp" else "int64"
        found[name] = {"dtype": dtype, "shape": [1], "names": None}
    return found


def frames(episode: int, **more: list[Any]) -> dict[str, list[Any]]:
    """Columns of an episode. State is [episode, step], force 10 * step, action [0.1 * step, -0.5]."""
    length, start = LENGTHS[episode], sum(LENGTHS[:episode])
    steps = range(length)
    return {
        "observation.state": [[float(episode), float(i)] for i in steps],
        "observation.force": [10.0 * i for i in steps],
        "action": [[0.1 * i, -0.5] for i in steps],
        **{name.replace("_", ".", 1): values[start : start + length] for name, values in more.items()},
        "timestamp": [i / FPS for i in steps],
        "frame_index": list(steps),
        "episode_index": [episode] * length,
        "index": [start + i for i in steps],
        "task_index": [episode] * length,
    }


def grey(episode: int, step: int) -> int:
    """How bright the picture of a step is, 0 .. 255."""
    return 40 + 100 * episode + 30 * step


def write_video(path: Path, levels: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def info(version: str, found: dict[str, Any], data: str, video: str) -> dict[str, Any]:
    counts = {"total_episodes": len(LENGTHS), "total_frames": sum(LENGTHS), "total_tasks": 2}
    paths = {"data_path": data, "video_path": video}
    return {
        "codebase_version": version,
        "robot_type": "arm",
        "fps": FPS,
        "chunks_size": 1000,
        "features": found,
        **counts,
        **paths,
    }


def write_table(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def write_v3(root: Path, video: str | None = "video", **more: list[Any]) -> Path:
    """more: a feature's dtype, shape, and its values over all frames, by name with `_` for the first dot."""
    declared = features(video, **{name: value[:2] for name, value in more.items()})
    path = "{}/chunk-{{chunk_index:03d}}/file-{{file_index:03d}}"
    write_json(
        root / "meta/info.json",
        info("v3.0", declared, path.format("data") + ".parquet", path.format("videos/{video_key}") + ".mp4"),
    )
    parts = [frames(e, **{name: value[2] for name, value in more.items()}) for e in range(len(LENGTHS))]
    columns = {name: [row for part in parts for row in part[name]] for name in parts[0]}
    if video == "image":
        columns[CAMERA] = [
            {"bytes": png(grey(e, i)), "path": None} for e, n in enumerate(LENGTHS) for i in range(n)
        ]
    write_table(root / "data/chunk-000/file-000.parquet", columns)
    episodes: dict[str, list[Any]] = {
        "episode_index": [0, 1],
        "tasks": [[task] for task in TASKS],
        "length": list(LENGTHS),
        "data/chunk_index": [0, 0],
        "data/file_index": [0, 0],
    }
    if video == "video":
        episodes |= {f"videos/{CAMERA}/chunk_index": [0, 0], f"videos/{CAMERA}/file_index": [0, 0]}
        episodes |= {f"videos/{CAMERA}/from_timestamp": [0.0, LENGTHS[0] / FPS]}
        levels = [grey(e, i) for e, n in enumerate(LENGTHS) for i in range(n)]
        write_video(root / f"videos/{CAMERA}/chunk-000/file-000.mp4", levels)
    write_table(root / "meta/episodes/chunk-000/file-000.parquet", episodes)
    write_table(root / "meta/tasks.parquet", {"task_index": [0, 1], "__index_level_0__": list(TASKS)})
    return root


def write_v21(root: Path) -> Path:
    data = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    video = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    write_json(root / "meta/info.json", info("v2.1", features(), data, video))
    for episode, length in enumerate(LENGTHS):
        write_table(root / f"data/chunk-000/episode_{episode:06d}.parquet", frames(episode))
        levels = [grey(episode, i) for i in range(length)]
        write_video(root / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4", levels)
    tasks = [{"task_index": i, "task": task} for i, task in enumerate(TASKS)]
    rows = [{"episode_index": i, "tasks": [TASKS[i]], "length": n} for i, n in enumerate(LENGTHS)]
    for name, lines in (("tasks", tasks), ("episodes", rows)):
        (root / f"meta/{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def png(level: int) -> bytes:
    ok, content = cv2.imencode(
        ".png", np.full((*SIZE, 3), (0, 0, level), np.uint8)
    )  # blue first: this is red
    assert ok
    return bytes(content)
