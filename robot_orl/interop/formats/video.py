"""A folder of video files, one per episode: frames, and nothing else that is known.

    DIR/a.mp4, DIR/b.mp4 ...                          one camera, 'camera'
    DIR/front/a.mp4, DIR/wrist/a.mp4 ...              a folder per camera; files of one name are one episode

T + 1 frames are T steps whose actions were not recorded: one signal, NaN throughout. Frames stay as they
are, and so must all be of one size per camera. An export is a folder per camera of mp4 files (H.264).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.interop.base import Request, Source, imported_episode, library, made_spec
from robot_orl.interop.video_files import SUFFIXES, Video, decode, probe
from robot_orl.types import Episode, EpisodeMeta, Signal

ONE_CAMERA = "camera"
NOT_RECORDED = Signal("not_recorded", "?")
RATE_TOLERANCE = 1e-3  # 29.97 and 30000 / 1001 are one rate


def read(path: Path, request: Request) -> Source:
    """path: a folder of videos, or one video.

    Raises: DataError: files do not belong together, or are damaged.  UsageError: no control rate.
    """
    found = _episodes_of(path)
    episodes = {
        name: {camera: probe(file) for camera, file in files.items()} for name, files in found.items()
    }
    videos = [video for cameras in episodes.values() for video in cameras.values()]
    first = next(iter(episodes.values()))
    for cameras in episodes.values():
        for camera, video in cameras.items():
            _check_like(video, first[camera])
    rate = request.control_hz or _rate(videos)
    longest = max(video.frames for video in videos) - 1
    spec = replace(
        made_spec(request, {}, 0, request.horizon or max(longest, 1), rate, task="video"),
        action=(NOT_RECORDED,),
        cameras={camera: video.size for camera, video in first.items()},
    )
    told = {"files": len(videos), "actions": "not recorded: one signal that is NaN throughout"}
    return Source(spec, len(episodes), _decoded(episodes, path.name), provenance=told)


def _episodes_of(path: Path) -> dict[str, dict[str, Path]]:
    """Per episode, in the order of their names, the file of each camera."""
    if path.is_file():
        return {path.stem: {ONE_CAMERA: path}}
    here = _videos(path)
    below = {folder.name: found for folder in sorted(path.iterdir()) if (found := _videos(folder))}
    if here and below:
        raise DataError(f"{path} holds videos and folders of videos, {', '.join(below)}; one or the other")
    cameras = below or {ONE_CAMERA: here}
    names = {name for found in cameras.values() for name in found}
    if not names:
        raise DataError(f"{path} holds no video; they end in {', '.join(SUFFIXES)}")
    for camera, found in cameras.items():
        if missing := sorted(names - found.keys()):
            raise DataError(f"{path / camera} has no video of '{missing[0]}', which other cameras have")
    return {
        name: {camera: found[name] for camera, found in cameras.items()}
        for name in sorted(names, key=_in_counting_order)
    }


def _videos(folder: Path) -> dict[str, Path]:
    """The video files right in a folder, by name without suffix. Raises: DataError: two of one name."""
    found: dict[str, Path] = {}
    if not folder.is_dir() or folder.name.startswith("."):
        return found
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith("."):
            if file.stem in found:
                raise DataError(f"{file} and {found[file.stem].name} would be the same episode")
            found[file.stem] = file
    return found


def _in_counting_order(name: str) -> list[tuple[int, str]]:
    """'take2' before 'take10'."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _check_like(video: Video, first: Video) -> None:
    """Raises: DataError: of another frame size than the first of its camera."""
    if video.size != first.size:
        raise DataError(
            f"{video.path} is {video.size.width}x{video.size.height}; "
            f"{first.path.name} is {first.size.width}x{first.size.height}"
        )


def _rate(videos: list[Video]) -> float | None:
    """The one that all files have, None where some do not say [Hz]. Raises: UsageError: they differ."""
    first = videos[0]
    for video in videos:
        if video.rate_hz is None or first.rate_hz is None:
            return None
        if abs(video.rate_hz - first.rate_hz) > RATE_TOLERANCE * first.rate_hz:
            raise UsageError(
                f"{video.path} has {video.rate_hz:g} frames per second, {first.path.name} {first.rate_hz:g}: "
                "add control_hz=..."
            )
    return None if first.rate_hz is None else round(first.rate_hz, 6)


def _decoded(episodes: Mapping[str, Mapping[str, Video]], name: str) -> Iterator[Episode]:
    for index, cameras in enumerate(episodes.values()):
        yield _episode(cameras, f"{name}#{index}")


def _episode(cameras: Mapping[str, Video], origin: str) -> Episode:
    decoded = {camera: decode(video) for camera, video in cameras.items()}
    (first, video), *others = cameras.items()
    frames, times_ns = decoded[first]
    for camera, other in others:
        if len(decoded[camera][0]) != len(frames):
            raise DataError(
                f"{other.path} has {len(decoded[camera][0])} frames; {video.path} has {len(frames)}"
            )
    if len(frames) < 2:
        raise DataError(f"{video.path} has {len(frames)} frame; an episode needs at least two")
    return imported_episode(
        {},
        np.full((len(frames) - 1, 1), np.nan, np.float32),
        EpisodeMeta(end_reason="recording", origin=origin),
        t_ns=times_ns[:-1],
        images={camera: rows for camera, (rows, _) in decoded.items()},
    )


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """out: new folder. Raises: UsageError: the dataset has no camera.  RunError: the disk refuses."""
    if not dataset.spec.cameras:
        raise UsageError(f"{dataset.path} has no camera, so no frames")
    library("av")
    from robot_orl.interop.lerobot.video import VideoFile

    for index, record in enumerate(dataset.episodes):
        episode = dataset.load(record, sim_state=False)
        for camera, size in dataset.spec.cameras.items():
            path = out / camera / f"episode_{index:06d}.mp4"
            with closing(VideoFile(path, size, dataset.spec.control_hz)) as file:
                file.append(episode.images[camera])
        progress(1)


def left_out(dataset: Dataset) -> str:
    """What of a dataset is not in its videos."""
    return "everything but the frames, which H.264 keeps nearly"
