"""Gymnasium spaces as the rows of numbers and frames that this stack keeps, and back.

Box (n,)                 n numbers, key 'observation'          Dict  its parts, 'a' and 'b.c'
Box uint8 (H, W, 3)      a camera's frames                     Tuple its parts, '0', '1' ...
Discrete, MultiDiscrete, MultiBinary, other Boxes              their numbers, in a row
"""

import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from robot_orl.errors import DataError
from robot_orl.types import Array, Camera, Spec

ONE_KEY = "observation"  # of an observation that is not a dict
FRAMES = "images"  # where an export keeps its cameras
ROUNDING = 1e-6  # of actions at a bound that is not a whole number
_IN_A_ROW = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


@dataclass(frozen=True)
class Leaf:
    """One part of an observation: its key or camera in this stack, and the way to it in Minari's.

    camera: the size of its frames, or None: it is `width` numbers.
    """

    key: str
    way: tuple[str | int, ...]
    width: int
    camera: Camera | None

    def rows(self, observations: Any) -> Array:
        """(T+1, width) float32, or (T+1, H, W, 3) uint8. Raises: ValueError: of another shape."""
        for name in self.way:
            observations = observations[name]
        found = np.asarray(observations)
        if self.camera is None:
            return found.reshape(len(found), self.width).astype(np.float32)
        if found.dtype != np.uint8 or found.shape[1:] != (self.camera.height, self.camera.width, 3):
            raise ValueError(f"frames of '{self.key}' are {found.dtype} {found.shape[1:]}")
        return found


def leaves(space: spaces.Space[Any], what: str) -> list[Leaf]:
    """The parts of an observation space. Raises: DataError: some of it is not numbers."""
    found = list(_leaves(space, (), what))
    names = [(leaf.camera is None, leaf.key) for leaf in found]
    for is_number, name in names:
        if names.count((is_number, name)) > 1:
            raise DataError(f"{what}: two observations would be called '{name}'")
    return found


def _leaves(space: spaces.Space[Any], way: tuple[str | int, ...], what: str) -> Iterator[Leaf]:
    if isinstance(space, spaces.Dict):
        for name, part in space.spaces.items():
            yield from _leaves(part, (*way, name), what)
    elif isinstance(space, spaces.Tuple):
        for index, part in enumerate(space.spaces):
            yield from _leaves(part, (*way, index), what)
    elif not isinstance(space, _IN_A_ROW):
        raise DataError(
            f"{what}: observation '{_key(way)}' is a {type(space).__name__}, not numbers or frames"
        )
    elif isinstance(space, spaces.Box) and space.dtype == np.uint8 and space.shape[2:] == (3,):
        camera = Camera(space.shape[0], space.shape[1])
        own = way[1:] if len(way) > 1 and way[0] == FRAMES else way
        yield Leaf(_key(own), way, 0, camera)
    else:
        yield Leaf(_key(way), way, math.prod(space.shape or ()), None)


def _key(way: tuple[str | int, ...]) -> str:
    """A name that a dataset's array can have."""
    return re.sub(r"[^\w.\- ]", "_", ".".join(map(str, way))) or ONE_KEY


@dataclass(frozen=True)
class Scale:
    """Actions between `low` and `high`, (A,) each, as such in [-1, 1]; None: nobody says what those are."""

    size: int
    low: Array | None = None
    high: Array | None = None

    def rows(self, actions: Any, what: str) -> Array:
        """(T, A) float32. Raises: DataError: not finite, or outside [-1, 1] without known bounds."""
        found = np.asarray(actions)
        found = found.reshape(len(found), self.size)
        if not np.isfinite(found).all():
            raise DataError(f"{what} has actions that are not finite")
        if self.low is not None and self.high is not None:
            middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
            return ((found.astype(np.float64) - middle) / half).astype(np.float32)
        if found.size and np.abs(found).max() > 1.0 + ROUNDING:
            raise DataError(
                f"{what} has actions up to {np.abs(found).max():g}, and their space has no bounds to scale by"
            )
        return found.astype(np.float32)


def scale(space: spaces.Space[Any], what: str) -> Scale:
    """Raises: DataError: actions are not numbers in a row."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.shape[0] == 0:
        raise DataError(f"{what} has actions of {space}; this stack's are a Box of one axis")
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    is_bounded = np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()
    return Scale(space.shape[0], low, high) if is_bounded else Scale(space.shape[0])


def observation_space(spec: Spec) -> spaces.Dict:
    """What an export's observations are."""
    found: OrderedDict[str, spaces.Space[Any]] = OrderedDict()  # a plain dict would be sorted
    for key, signals in spec.observation.items():
        found[key] = spaces.Box(-np.inf, np.inf, (len(signals),), np.float32)
    if spec.cameras:
        frames = {name: (size.height, size.width, 3) for name, size in spec.cameras.items()}
        boxes = [(name, spaces.Box(0, 255, shape, np.uint8)) for name, shape in frames.items()]
        found[FRAMES] = spaces.Dict(OrderedDict(boxes))
    return spaces.Dict(found)


def observations(obs: Mapping[str, Array], images: Mapping[str, Array]) -> dict[str, Any]:
    """An episode's observations as `observation_space` says."""
    return {**obs, FRAMES: dict(images)} if images else dict(obs)
