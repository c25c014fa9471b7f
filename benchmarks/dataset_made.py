"""Data to measure on: episodes of FetchPickAndPlace's shape from a seed, their frames drawn by the task."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import envs
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.tasks import spec_of, task_env
from robot_orl.types import Actor, Array, Camera, Episode, EpisodeMeta, Spec

TASK, CAMERA, SIZE = "fetch_pick_and_place", "default", 96
STEPS = 50


def spec(cameras: bool = False) -> Spec:
    found = spec_of(envs.make(TASK))
    return replace(found, cameras={CAMERA: Camera(SIZE, SIZE)} if cameras else {})


def episodes(count: int, rng: np.random.Generator, frames: list[Array] | None = None) -> Iterator[Episode]:
    """Random walks. frames: (STEPS + 1, H, W, 3) films to choose from, each time shifted sideways."""
    shape = spec()
    parts = {key: shape.slice_of(key) for key in shape.observation}
    actions = shape.action_size
    for number in range(count):
        obs = rng.normal(size=(STEPS + 1, shape.observation_size)).astype(np.float32).cumsum(axis=0)
        film = {}
        if frames:
            film[CAMERA] = np.roll(frames[number % len(frames)], rng.integers(SIZE), axis=2)
        yield Episode(
            obs={key: obs[:, columns] for key, columns in parts.items()},
            action=rng.uniform(-1, 1, (STEPS, actions)).astype(np.float32),
            action_policy=np.full((STEPS, actions), np.nan, np.float32),
            action_operator=rng.uniform(-1, 1, (STEPS, actions)).astype(np.float32),
            reward=-np.ones(STEPS, np.float32),
            terminated=np.zeros(STEPS, bool),
            truncated=np.arange(STEPS) == STEPS - 1,
            t_ns=np.arange(STEPS) * 40_000_000,
            actor=np.full(STEPS, Actor.SCRIPT, np.uint8),
            sim_state=None,
            meta=EpisodeMeta(seed=number, success=False, success_any=False, quality=0.5, operator="made"),
            images=film,
        )


def write(root: Path, shape: Spec, found: Iterator[Episode]) -> Dataset:
    with SegmentWriter(root, shape, source="benchmark") as writer:
        for _ in writer.extend((episode, None) for episode in found):
            pass
    return Dataset.open(root)


def drawn_films(count: int, rng: np.random.Generator) -> list[Array]:
    """What the task's own camera shows while the arm moves at random, (STEPS + 1, H, W, 3) each."""
    env = envs.make(TASK, cameras={CAMERA: [SIZE, SIZE]})
    task, films = task_env(env), []
    for number in range(count):
        env.reset(seed=number)
        film = [task.frames()[CAMERA]]
        for _ in range(STEPS):
            env.step(rng.uniform(-1, 1, spec().action_size).astype(np.float32))
            film.append(task.frames()[CAMERA])
        films.append(np.stack(film))
    env.close()
    return films


def with_sensor_noise(films: list[Array], rng: np.random.Generator) -> list[Array]:
    """As a real camera shows them: one grey level of noise, which hardly compresses."""
    return [np.clip(film + np.rint(rng.normal(size=film.shape)), 0, 255).astype(np.uint8) for film in films]
