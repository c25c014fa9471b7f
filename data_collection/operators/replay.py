"""`operator=replay source=...`: recorded demonstrations acted out again, each a little otherwise.

A few demonstrations say little about what is beside their way. Every episode begins where one of them did,
does what it did without looking, and differs in

speed    uniform in [speed_low, speed_high]: its actions are read faster, between two of them linearly;
         after the last it is held. A demonstration that is longer than the task's horizon ends in time so
noise    normal with a standard deviation uniform in [0, noise], correlated in time, on every action
shift    what is handled (door, nail, object) lies elsewhere by uniform in [-shift, shift] in each coordinate
         in which the task's own starts differ; of a task that has none, nothing is shifted

so that some succeed and some fail. Open loop: nothing pulls a replay back to the demonstration's path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from omegaconf import MISSING

from data_collection.demonstrations import (
    REPLAYER,
    Demonstration,
    Restartable,
    Start,
    load_demonstrations,
    start_of,
)
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import Schema, setting
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Actor, Array, Observation, Spec


@dataclass
class ReplayConfig(Schema):
    """Demonstrations of a dataset, from their own starts, faster, with noise and things shifted."""

    name: str = REPLAYER
    source: str = setting(help="dataset of the same task whose episodes are replayed")
    where: str | None = setting(None, "which of its episodes, such as `success`; default: all")
    speed_low: float = setting(1.0, "lowest speed; 1 is that of the demonstration", low=0.1, high=10.0)
    speed_high: float = setting(1.4, "highest speed", low=0.1, high=10.0)
    noise: float = setting(
        0.08, "greatest standard deviation of what is added to each action signal", low=0.0, high=2.0
    )
    correlation: float = setting(
        0.5, "of the noise between neighbouring steps; 0 is independent", low=0.0, high=0.999
    )
    shift: float = setting(
        0.015, "how far what is handled may lie elsewhere, in each coordinate", unit="m", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.speed_low > self.speed_high:
            raise UsageError(f"speed_low={self.speed_low} is above speed_high={self.speed_high}")


@dataclass(frozen=True)
class Variation:
    """What one episode does otherwise. shift: what was added to parts of the start [m]."""

    speed: float
    noise: float
    shift: Mapping[str, tuple[float, ...]]

    def __str__(self) -> str:
        moved = [f"{name} {' '.join(f'{x:+.4f}' for x in by)} m" for name, by in self.shift.items()]
        return ", ".join([f"speed {self.speed:.3f}", f"noise {self.noise:.3f}", *moved])


@register("operator", REPLAYER, ReplayConfig)
class ReplayOperator:
    """Quality is not known. `reset_options`, `origin` and `notes` say of the episode that was begun: where
    it begins, of which demonstration it is, and how it varies."""

    name = REPLAYER
    actor = Actor.SCRIPT
    policy_hash: str | None = None

    def __init__(self, cfg: ReplayConfig, spec: Spec) -> None:
        """Raises: UsageError: no source, or nothing in it is chosen.  DataError: it cannot be replayed."""
        if not cfg.source or cfg.source == MISSING:
            raise UsageError("operator=replay needs operator.source=<dataset of demonstrations>")
        self.cfg, self.spec = cfg, spec
        if not hasattr(task_env(self._env), "start_state"):
            raise UsageError(f"operator=replay: task '{spec.task}' cannot be begun from a given start")
        self.demonstrations = load_demonstrations(cfg.source, spec, cfg.where)
        self._starts: dict[str, Start] = {}
        self.begin(np.random.default_rng(0))

    @cached_property
    def _env(self) -> gymnasium.Env[Any, Any]:
        """To restore starts in; the one that is recorded is another."""
        return make_env(TaskConfig(self.spec.task))

    def begin(self, rng: np.random.Generator) -> None:
        """Draw a demonstration and how to vary it. `rng` is used until the next `begin`."""
        cfg, self.rng, self.step = self.cfg, rng, 0
        self.demonstration = self.demonstrations[rng.integers(len(self.demonstrations))]
        speed = float(rng.uniform(cfg.speed_low, cfg.speed_high))
        noise = float(rng.uniform(0.0, cfg.noise))
        start, shift = self._shifted(self._start(self.demonstration))
        self.variation = Variation(speed, noise, shift)
        self.disturbance = noise * rng.standard_normal(self.spec.action_size)
        self.reset_options = {"initial_state_dict": start}
        self.origin = f"{self.cfg.source.rstrip('/').rpartition('/')[2]}#{self.demonstration.name}"
        self.notes = str(self.variation)

    def action(self, obs: Observation) -> Array:
        """(A,) float32 in [-1, 1]; the observation plays no part."""
        intended = between(self.demonstration.action, self.step * self.variation.speed)
        action = np.clip(intended + self.disturbance, -1.0, 1.0).astype(np.float32)
        rho = self.cfg.correlation
        fresh = self.variation.noise * self.rng.standard_normal(self.spec.action_size)
        self.disturbance = rho * self.disturbance + np.sqrt(1.0 - rho**2) * fresh
        self.step += 1
        return action

    def _start(self, demonstration: Demonstration) -> Start:
        if demonstration.name not in self._starts:
            self._starts[demonstration.name] = start_of(demonstration, self._env)
        return self._starts[demonstration.name]

    def _shifted(self, start: Start) -> tuple[Start, dict[str, tuple[float, ...]]]:
        """The start with what is handled shifted, and by how much in each coordinate of it."""
        task: Restartable = task_env(self._env)  # type: ignore[assignment]
        moved, shifts = {name: list(values) for name, values in start.items()}, {}
        for name, axes in task.movable.items():
            by = np.zeros(len(moved[name]))
            by[list(axes)] = self.rng.uniform(-self.cfg.shift, self.cfg.shift, len(axes))
            moved[name] = [value + float(d) for value, d in zip(moved[name], by, strict=True)]
            shifts[name] = tuple(by.tolist())
        return moved, shifts


def between(actions: Array, at: float) -> Array:
    """actions: (T, A).  at: place in it, in steps; between two it is linear, past the last that one. (A,)."""
    last = len(actions) - 1
    before = min(int(at), last)
    share = min(at - before, 1.0)
    return (1.0 - share) * actions[before] + share * actions[min(before + 1, last)]
