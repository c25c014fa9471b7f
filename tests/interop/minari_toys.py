"""What the tests of Minari's format are made of: episodes of ours, and files as others write them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Space
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.interop.formats import minari as format_minari
from robot_orl.interop.formats import minari_arrow
from robot_orl.types import Camera, Episode, Spec
from tests.data.made_episodes import made_episode, made_spec

Write = Callable[[Dataset, Path, Callable[[int], None]], None]
WRITERS = {"hdf5": format_minari.write, "arrow": minari_arrow.write}
BOTH = pytest.mark.parametrize("data_format", WRITERS)
ONE = Box(-1.0, 1.0, (1,), np.float32)
STEPS = 3


def with_frames() -> Spec:
    return replace(made_spec(), cameras={"front": Camera(40, 36), "wrist cam": Camera(4, 5)})


def made(seed: int, length: int) -> Episode:
    """Arbitrary bits, but actions as tasks execute them."""
    spec, rng = with_frames(), np.random.default_rng(seed)
    frames = {
        name: rng.integers(0, 256, (length + 1, size.height, size.width, 3), np.uint8)
        for name, size in spec.cameras.items()
    }
    action = rng.uniform(-1, 1, (length, 2)).astype(np.float32)
    return replace(made_episode(seed, length, spec=spec), action=action, images=frames)


def dataset_of(root: Path, spec: Spec, episodes: list[Episode], **options: Any) -> Dataset:
    with SegmentWriter(root, spec, "test", **options) as writer:
        for episode in episodes:
            writer.append(episode)
    return Dataset.open(root)


def foreign(
    root: Path,
    observation: Space[Any],
    observations: Any,
    *,
    data_format: str = "hdf5",
    action: Space[Any] = ONE,
    actions: Any = ((0.5,), (-1.0,), (1.0,)),
    metadata: dict[str, Any] | None = None,
    env_spec: Any = None,
    jpeg: bool = True,
    **buffer: Any,
) -> Path:
    """A dataset of one episode of 3 steps, as the package writes it."""
    (root / "made-v0").mkdir()
    storage = MinariStorage.new(
        root / "made-v0/data", observation, action, env_spec, data_format, jpeg_encoding=jpeg
    )
    storage.update_metadata(
        {"dataset_id": "made-v0", "minari_version": minari.__version__, **(metadata or {})}
    )
    content = {
        "rewards": [0.0, 1.0, 2.5],
        "terminations": [False, False, True],
        "truncations": [False] * STEPS,
    }
    buffers = EpisodeBuffer(
        observations=observations, actions=np.array(actions, action.dtype), **{**content, **buffer}
    )
    storage.update_episodes([buffers])
    return root / "made-v0"


def vector(*rows: float) -> Any:
    return np.array(rows, np.float64).reshape(STEPS + 1, -1)
