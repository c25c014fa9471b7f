"""A small dataset with everything that a format could lose, and what comes back from a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.interop import base
from robot_orl.interop.base import Request
from robot_orl.types import Actor, Camera, Episode, EpisodeMeta, Spec
from tests.data.made_episodes import assert_same_bits, made_spec

ENV_KWARGS = {"variant": "würfel"}
FRONT = {"front": Camera(4, 6)}


def finite_episode(spec: Spec, seed: int, length: int) -> Episode:
    """Finite numbers, -0.0 and denormals among them; unknown rewards and times in every other one."""
    rng = np.random.default_rng(seed)
    ends = np.arange(length) == length - 1
    action = rng.uniform(-1, 1, (length, spec.action_size)).astype("f4")
    action[0, :2] = -0.0, 1e-40
    is_known = seed % 2 == 0
    return Episode(
        obs={
            k: rng.normal(size=(length + 1, len(signals))).astype("f4")
            for k, signals in spec.observation.items()
        },
        action=action,
        action_policy=np.full_like(action, np.nan),
        action_operator=rng.normal(size=action.shape).astype("f4"),
        reward=rng.normal(size=length).astype("f4") if is_known else np.full(length, np.nan, "f4"),
        terminated=ends & is_known,
        truncated=ends & (not is_known),
        t_ns=np.arange(length) * 40_000_000 if is_known else np.full(length, -1),
        actor=np.full(length, Actor.HUMAN if is_known else Actor.UNKNOWN, "u1"),
        sim_state=rng.normal(size=(length + 1, 7)),
        meta=EpisodeMeta(
            seed=seed,
            reset_options={"object": [0.1, 0.2]},
            success=is_known,
            success_any=None,
            end_reason="terminated" if is_known else "horizon",
            quality=0.25 if is_known else None,
            operator="würfel 1" if is_known else "unknown",
            notes="two\nlines",
            instruction="push it",
        ),
        images={
            k: rng.integers(0, 256, (length + 1, c.height, c.width, 3), "u1") for k, c in spec.cameras.items()
        },
    )


def finite_dataset(root: Path, cameras: bool = True) -> tuple[Dataset, list[Episode]]:
    spec = replace(made_spec(), cameras=FRONT if cameras else {})
    episodes = [finite_episode(spec, seed, length) for seed, length in ((0, 3), (1, 1), (2, 5))]
    with SegmentWriter(root, spec, "made", env_kwargs=ENV_KWARGS) as writer:
        for episode in episodes:
            writer.append(episode)
    return Dataset.open(root), episodes


def exported(name: str, dataset: Dataset, out: Path) -> Path:
    base.writer(name)(dataset, out, lambda _: None)
    return out


def imported(name: str, path: Path, **request: object) -> tuple[Spec, list[Episode]]:
    source = base.reader(name)(path, Request(**request))  # type: ignore[arg-type]
    return source.spec, list(source.episodes)


def assert_returned(found: list[Episode], expected: list[Episode]) -> None:
    """Bit for bit, but for the origin, which is the file now."""
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        assert_same_bits(replace(left, meta=replace(left.meta, origin=right.meta.origin)), right)
        assert list(left.images) == list(right.images)
        for camera, frames in right.images.items():
            assert np.array_equal(left.images[camera], frames)
