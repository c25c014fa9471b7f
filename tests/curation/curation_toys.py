"""Small datasets whose episodes can be told apart by any of their arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.data.store import Dataset, EpisodeRecord, SegmentWriter
from robot_orl.types import Camera, Episode, EpisodeMeta, Signal, Spec


def toy_spec(
    *keys: str, cameras: Mapping[str, Camera] | None = None, width: int = 2, horizon: int = 9
) -> Spec:
    """Observations of `width` signals each, in the order of `keys`."""
    signals = tuple(Signal(f"x{i}") for i in range(width))
    names = keys or ("arm", "cube")
    return Spec("toy", dict.fromkeys(names, signals), (Signal("u"),), 10.0, horizon, cameras=cameras or {})


def toy_episode(number: int, spec: Spec, length: int = 3, sim_state: bool = True, **meta: Any) -> Episode:
    """Every array follows from `number`."""
    rng = np.random.default_rng(number)
    reward = rng.integers(-3, 0, length).astype("f4")
    return Episode(
        obs={k: rng.random((length + 1, len(v)), "f4") for k, v in spec.observation.items()},
        action=rng.random((length, spec.action_size), "f4"),
        action_policy=np.full((length, spec.action_size), np.nan, "f4"),
        action_operator=rng.random((length, spec.action_size), "f4"),
        reward=reward,
        terminated=np.zeros(length, bool),
        truncated=np.arange(length) == length - 1,
        t_ns=np.arange(length, dtype="i8") * 100_000_000,
        actor=np.full(length, number % 4, "u1"),
        sim_state=rng.random((length + 1, 2)) if sim_state else None,
        meta=EpisodeMeta(**{"seed": number, "operator": "ann", "success": number % 2 == 0, **meta}),
        images={
            k: rng.integers(0, 255, (length + 1, c.height, c.width, 3), "u1") for k, c in spec.cameras.items()
        },
    )


def toy_dataset(
    root: Path, *segments: Sequence[int], spec: Spec | None = None, uids: str = "u", **options: Any
) -> Dataset:
    """One segment per list of numbers: episode n has the uid `u<n>`; `env_kwargs` tells the segment."""
    spec = spec or toy_spec()
    for position, numbers in enumerate(segments):
        with SegmentWriter(root, spec, "toy", env_kwargs={"part": position}) as writer:
            list(writer.extend((toy_episode(n, spec, **options), f"{uids}{n}") for n in numbers))
    return Dataset.open(root)


def numbers(records: Sequence[EpisodeRecord]) -> list[int | None]:
    """Which episodes they are."""
    return [record.meta.seed for record in records]


def same(found: Episode, expected: Episode) -> bool:
    """Equal in every array and in what is known."""

    def flat(episode: Episode) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for item in fields(Episode):
            value = getattr(episode, item.name)
            inner = value if isinstance(value, Mapping) else {"": value}
            parts |= {f"{item.name}/{name}": array for name, array in inner.items()}
        return parts

    one, other = flat(found), flat(expected)
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes()
        if isinstance(one[name], np.ndarray)
        else one[name] == other[name]
        for name in one
    )


def files(root: Path) -> dict[str, bytes]:
    """Everything below a folder but locks."""
    return {
        str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file() and f.name != "lock"
    }
