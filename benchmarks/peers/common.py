"""What the peers' scripts share: arguments, our data as arrays, the same evaluation, the form of results."""

import argparse
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs
from robot_orl.benchmark.results import HELD_OUT_SEEDS
from robot_orl.data.store.provenance import package_versions
from robot_orl.data.store.reader import Dataset
from robot_orl.seeds import VALIDATION_SEEDS
from robot_orl.tasks import spec_of
from robot_orl.training.evaluate import Evaluation, evaluate

Array = NDArray[Any]
Policy = Callable[[Array], Array]  # a flat observation (D,) -> an action (A,) in [-1, 1], deterministic


def parser(about: str | None) -> argparse.ArgumentParser:
    """The arguments that `robot-orl benchmark` gives to every peer; a script adds its own."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--task", required=True)
    made.add_argument("--data", type=Path, required=True, help="dataset of ours")
    made.add_argument("--out", type=Path, required=True, help="JSON to write")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--updates", type=int, default=5000, help="offline")
    made.add_argument("--eval-every", type=int, default=2500, help="updates between two points of the curve")
    made.add_argument("--eval-episodes", type=int, default=20, help="of such a point")
    made.add_argument("--env-steps", type=int, default=0, help="online; 0: offline only")
    made.add_argument("--updates-per-step", type=int, default=1, help="online")
    made.add_argument("--online-eval-every", type=int, default=2000, help="environment steps")
    made.add_argument("--episodes", type=int, default=100, help="of the final evaluation of a stage")
    return made


def make(task: str) -> gymnasium.Env[Any, Any]:
    return envs.make(task)


class Flat(gymnasium.ObservationWrapper[Any, Any, Any]):
    """A task whose observation is one array, as in our data: (D,) float32."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.spec_of_task = spec_of(env)
        size = self.spec_of_task.observation_size
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def observation(self, observation: Any) -> Array:
        return self.spec_of_task.flatten(observation)


def arrays(path: Path) -> dict[str, Array]:
    """Every step of a dataset: obs (N, D), action (N, A), reward, terminal, timeout (N,); float32.

    The last observation of an episode is left out, as such libraries expect it.
    """
    dataset = Dataset.open(path)
    parts: dict[str, list[Array]] = {name: [] for name in ("obs", "action", "reward", "terminal", "timeout")}
    for episode in dataset.load_all(sim_state=False):
        parts["obs"].append(dataset.spec.flatten(episode.obs)[:-1])
        parts["action"].append(episode.action)
        parts["reward"].append(episode.reward)
        parts["terminal"].append(episode.terminated)
        ends = np.zeros(len(episode), np.float32)
        ends[-1] = not episode.terminated[-1]
        parts["timeout"].append(ends)
    return {name: np.concatenate(each).astype(np.float32) for name, each in parts.items()}


@dataclass
class Measured:
    """Evaluates like ours, on the same seeds, and keeps what is found in the form of a cell's result."""

    task: str
    eval_episodes: int
    episodes: int
    stages: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = make(self.task)
        self.spec = spec_of(self.env)

    def _evaluate(self, policy: Policy, seeds: range) -> Evaluation:
        return evaluate(self.env, lambda obs: policy(self.spec.flatten(obs)), seeds)

    def point(self, stage: str, step: int, policy: Policy) -> None:
        """A point of the learning curve. step: updates offline, environment steps online."""
        found = self._evaluate(policy, VALIDATION_SEEDS[: self.eval_episodes])
        self.curves.setdefault(stage, []).append([step, found.success, found.episodes])
        print(f"{stage} {step}: success {found.success:.0%}", flush=True)

    def final(self, stage: str, policy: Policy, updates: int, env_steps: int) -> None:
        """The figures of a stage."""
        found = self._evaluate(policy, HELD_OUT_SEEDS[: self.episodes])
        self.stages[stage] = found.to_dict() | {"updates": updates, "env_steps": env_steps}
        self.curves.setdefault(stage, [])
        print(f"{stage}: success {found.success:.1%}", flush=True)

    def write(self, path: Path, packages: Iterable[str]) -> None:
        used = package_versions() | {name: version(name) for name in packages}
        result = {"stages": self.stages, "curves": self.curves, "packages": used}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1) + "\n")
        os.replace(partial, path)
