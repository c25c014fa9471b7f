"""What of a LeRobotDataset is imported, under which names, and as which spec."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robot_orl.errors import DataError, UsageError
from robot_orl.interop.base import Request, made_spec, task_spec
from robot_orl.interop.checks import finite
from robot_orl.interop.labels import renamed
from robot_orl.interop.lerobot import layout
from robot_orl.interop.lerobot.info import Feature, Info, Place, read_places
from robot_orl.interop.lerobot.tables import array_of, batches
from robot_orl.types import Array, Camera, Signal, Spec

_NUMBERS = ("float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16")
STEP = (layout.REWARD, layout.DONE, layout.TRUNCATED, layout.SUCCESS, "timestamp")
INDEX = ("episode_index", "task_index")


@dataclass(frozen=True)
class Parts:
    """What of the features is imported. observations: feature by observation; cameras: by camera."""

    observations: dict[str, str]
    cameras: dict[str, str]
    steps: list[str]
    ignored: list[str]


def parts_of(info: Info) -> Parts:
    if info.features.get(layout.ACTION) is None:
        raise DataError(f"{info.path} has no feature 'action'; it has: {', '.join(info.features)}")
    observations, cameras, ignored = {}, {}, []
    for name, feature in info.features.items():
        if feature.dtype in layout.VISUAL and not feature.is_depth and len(feature.shape) == 3:
            short = name.removeprefix(layout.IMAGES).removeprefix(layout.OBSERVATION)
            cameras[short] = name
        elif name.startswith(layout.OBSERVATION) and feature.dtype in _NUMBERS:
            observations[name.removeprefix(layout.OBSERVATION)] = name
        elif name not in (layout.ACTION, "frame_index", "index", *STEP, *INDEX):
            ignored.append(name)
    steps = [name for name in STEP if name in info.features]
    return Parts(observations, cameras, steps, ignored)


def size_of(feature: Feature) -> Camera:
    """Frames are (H, W, 3); older datasets write their shape as (3, H, W)."""
    if feature.shape[0] == 3 and feature.shape[2] != 3:
        return Camera(feature.shape[1], feature.shape[2])
    return Camera(feature.shape[0], feature.shape[1])


def places(info: Info, parts: Parts) -> Iterator[Place]:
    return read_places(info, [key for key in parts.cameras.values() if info.features[key].dtype == "video"])


def own_spec(info: Info, parts: Parts, spec: Spec, request: Request) -> Spec:
    wanted = task_spec(request)
    if wanted is not None and (lacking := spec.lacks(wanted)):
        raise DataError(f"{info.root} was recorded in {spec.task}, which differs in: {', '.join(lacking)}")
    for name, width in ((layout.STATE, spec.observation_size), (layout.ACTION, spec.action_size)):
        found = info.features[name].width if name in info.features else 0
        if found != width:
            raise DataError(f"{info.path}: '{name}' has {found} values; {layout.OWN_FILE} says {width}")
    if {camera: size_of(info.features[key]) for camera, key in parts.cameras.items()} != dict(spec.cameras):
        raise DataError(f"{info.path} has other cameras than {layout.OWN_FILE} says")
    return renamed(spec, request) if wanted is None else spec


def spec_for(info: Info, parts: Parts, request: Request, longest: int) -> Spec:
    """Of the task, where it is one of this stack; else made from the features."""
    features, action = info.features, info.features[layout.ACTION]
    cameras = {camera: size_of(features[key]) for camera, key in parts.cameras.items()}
    wanted = task_spec(request)
    if wanted is None:
        widths = {key: features[name].width for key, name in parts.observations.items()}
        spec = made_spec(request, widths, action.width, request.horizon or longest, info.fps)
        named = {
            key: _named(spec.observation[key], features[name]) for key, name in parts.observations.items()
        }
        return replace(spec, observation=named, action=_named(spec.action, action), cameras=cameras)
    if wanted.control_hz != info.fps:
        raise DataError(
            f"{info.path} says {info.fps:g} Hz; task {wanted.task} runs at {wanted.control_hz:g} Hz"
        )
    if wanted.action_size != action.width:
        raise DataError(
            f"{info.path}: 'action' has {action.width} values; {wanted.task} takes {wanted.action_size}"
        )
    if not has_own_keys(info, parts, wanted):
        state = features[layout.STATE].width if layout.STATE in features else 0
        if state != wanted.observation_size:
            raise DataError(
                f"{info.path}: 'observation.state' has {state} values; "
                f"{wanted.task} shows {wanted.observation_size}"
            )
    return replace(wanted, cameras=cameras)


def has_own_keys(info: Info, parts: Parts, spec: Spec) -> bool:
    """Whether each observation of the spec is a feature of its own."""
    widths = {key: info.features[name].width for key, name in parts.observations.items()}
    return all(widths.get(key) == len(signals) for key, signals in spec.observation.items())


def _named(signals: tuple[Signal, ...], feature: Feature) -> tuple[Signal, ...]:
    if feature.names is None:
        return signals
    return tuple(replace(signal, name=name) for signal, name in zip(signals, feature.names, strict=True))


def action_bounds(info: Info, parts: Parts) -> tuple[Array, Array]:
    """Least and greatest of each action over all frames, (A,) float64 each; nothing else is read."""
    width = info.features[layout.ACTION].width
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    seen: Path | None = None
    for place in places(info, parts):
        if place.data == seen:
            continue
        seen = place.data
        for batch in batches(place.data, [layout.ACTION]):
            what = f"{place.data}: 'action'"
            rows = finite(array_of(batch.column(0), what), what).astype(np.float64)
            if rows.shape[1] != width:
                raise DataError(f"{what} has {rows.shape[1]} values; {info.path} says {width}")
            low, high = np.minimum(low, rows.min(0)), np.maximum(high, rows.max(0))
    return low, high


def scale_for(info: Info, bounds: tuple[Array, Array], request: Request) -> tuple[Array, Array] | None:
    """What is mapped to -1 and to 1, (A,) each; None: actions are as they should be."""
    low, high = bounds
    if low.min() >= -1.0 and high.max() <= 1.0:
        return None
    if not request.scale_actions:
        raise UsageError(
            f"{info.root}: actions lie in {low.min():.4g} .. {high.max():.4g}, not in [-1, 1]; "
            "--scale-actions maps the least .. greatest of each to it"
        )
    still = low == high  # such an action becomes 0
    return np.where(still, low - 1, low), np.where(still, high + 1, high)
