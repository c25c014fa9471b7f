"""hand_dapg: pickled demonstrations of the Adroit hand, each simulated again from its start.

    [{"observations": (T, D), "actions": (T, A), "rewards": (T,), "init_state_dict": {"qpos": ...}}, ...]

The recorded observations and rewards are those of another version of the simulator and disagree with the
start that is recorded beside them. So the recorded actions are played open loop in our task, and what it
shows is what is kept.

Source: Rajeswaran et al. 2018, "Learning Complex Dexterous Manipulation with Deep Reinforcement Learning
and Demonstrations"; https://github.com/aravindr93/hand_dapg
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from robot_orl.errors import DataError, UsageError
from robot_orl.interop import restricted_pickle
from robot_orl.interop.base import Request, Source, task_spec
from robot_orl.interop.checks import finite
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Observation, Proposal, Spec

MAX_STEPS = 10**6  # of one demonstration; a person's have some hundred


@dataclass(frozen=True)
class Demonstration:
    """action: (T, A) float32, as recorded.  start: what the task is reset with, plain JSON."""

    action: Array
    start: dict[str, list[float]]


def read(path: Path, request: Request) -> Source:
    """Raises: UsageError: the task is not given.  DataError: the file is refused."""
    spec = task_spec(request)
    if spec is None:
        raise UsageError(
            "a hand_dapg file does not name its task: add task=adroit_door (or _hammer, _pen, _relocate)"
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder; this format is one pickle, such as door-v0_demos.pickle")
    found = restricted_pickle.load(path)
    if not isinstance(found, list) or not found:
        raise DataError(f"{path} holds no list of demonstrations")
    demonstrations = [_checked(one, spec, f"{path}: demonstration {i}") for i, one in enumerate(found)]
    provenance = {
        "recorded_task": spec.task,
        "steps": sum(len(one.action) for one in demonstrations),
        "clipped_action_values": sum(int((np.abs(one.action) > 1).sum()) for one in demonstrations),
        "observations": "simulated again from the recorded start and actions; the recorded observations "
        "and rewards disagree with that start and are not kept",
    }
    episodes = _simulated(demonstrations, spec, path.name)
    return Source(spec, len(demonstrations), episodes, provenance=provenance)


def _checked(found: Any, spec: Spec, what: str) -> Demonstration:
    """Raises: DataError: it is not a demonstration of a task with this action."""
    if not isinstance(found, dict):
        raise DataError(f"{what} is a {type(found).__name__}, not a dict")
    for key in ("actions", "init_state_dict"):
        if key not in found:
            raise DataError(f"{what} has no '{key}'; it has: {', '.join(map(str, found)) or 'nothing'}")
    action = found["actions"]
    if not isinstance(action, np.ndarray) or action.ndim != 2 or action.shape[1] != spec.action_size:
        raise DataError(f"{what}: actions are {_shape(action)}; {spec.task} takes (T, {spec.action_size})")
    if not 1 <= len(action) <= MAX_STEPS:
        raise DataError(f"{what} has {len(action)} steps")
    action = finite(action, f"{what}: actions")
    start = found["init_state_dict"]
    if not isinstance(start, dict):
        raise DataError(f"{what}: init_state_dict is a {type(start).__name__}, not a dict")
    for name, value in start.items():
        if not isinstance(value, np.ndarray) or value.ndim > 1 or value.dtype.kind not in "fiu":
            raise DataError(f"{what}: init_state_dict '{name}' is {_shape(value)}, not numbers in a row")
    return Demonstration(action, {str(name): value.tolist() for name, value in start.items()})


def _shape(value: Any) -> str:
    return f"of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _simulated(demonstrations: list[Demonstration], spec: Spec, file: str) -> Iterator[Episode]:
    env = make_env(TaskConfig(spec.task))
    try:
        for i, demonstration in enumerate(demonstrations):
            yield _played(env, demonstration, i, f"{file}#{i}")
    finally:
        env.close()


def _played(env: gymnasium.Env[Any, Any], recorded: Demonstration, seed: int, origin: str) -> Episode:
    """seed: the start leaves nothing to chance but the last bits of what a reset measures."""
    actions = iter(recorded.action)

    def next_recorded(_: Observation) -> Proposal:
        asked = next(actions)
        return Proposal(np.clip(asked, -1.0, 1.0), Actor.HUMAN, operator=asked)

    try:
        return rollout(
            env,
            next_recorded,
            seed=seed,
            options={"initial_state_dict": recorded.start},
            steps=len(recorded.action),
            meta=EpisodeMeta(operator="human", origin=origin),
        )
    except UsageError as error:
        raise DataError(f"{origin}: {error}") from error
