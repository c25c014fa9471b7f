"""From a trained policy to a bundle: the one place where deployment meets PyTorch."""

import shutil
import warnings
from copy import deepcopy
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from robot_orl.agents.base import Valued, act
from robot_orl.deploy.bundle import CRITIC, MANIFEST, POLICY, WEIGHTS, write_manifest
from robot_orl.deploy.promotion.alarm import Calibration
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError, UsageError
from robot_orl.tasks import TaskConfig
from robot_orl.training.state import TrainingState

PARITY_SAMPLES = 8


def export(
    state: TrainingState,
    out: Path,
    task: TaskConfig,
    fingerprint: str,
    limits: Limits,
    *,
    with_critic: bool = False,
    calibration: Calibration | None = None,
) -> None:
    """Write the bundle folder: first whole beside `out`, then in its place.

    with_critic: the agent's critics travel with it, if it has any.  calibration: of the bundle's alarm.
    Raises: UsageError: `out` is no bundle, or where one works.  RunError: it cannot be written.
    """
    out = out.resolve()
    if Path.cwd().is_relative_to(out):
        raise UsageError(f"{out} is the working folder or above it; choose another out=")
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no bundle; choose another out=")
    partial = out.with_name(out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(state, partial, task, fingerprint, limits, with_critic, calibration)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(f"cannot write bundle {out}: {error.strerror or error}") from error


def _write(
    state: TrainingState,
    folder: Path,
    task: TaskConfig,
    fingerprint: str,
    limits: Limits,
    with_critic: bool,
    calibration: Calibration | None,
) -> None:
    policy = state.agent.policy()
    to_onnx(policy, state.spec.observation_size, folder / POLICY)
    save_file({name: tensor.contiguous() for name, tensor in policy.state_dict().items()}, folder / WEIGHTS)
    obs = parity_observations(state)
    action, q = act(policy, obs), None
    if with_critic and hasattr(state.agent, "q_values"):
        sizes = state.spec.observation_size, state.spec.action_size
        critic_to_onnx(cast(Valued, state.agent), *sizes, folder / CRITIC)
        q = q_of(cast(Valued, state.agent), obs, action).T
    write_manifest(
        folder,
        spec=state.spec,
        limits=limits,
        task=task.name,
        task_kwargs=task.kwargs,
        dataset_fingerprint=fingerprint,
        parity_obs=obs,
        parity_action=action,
        parity_q=q,
        calibration=calibration,
    )


def to_onnx(policy: nn.Module, observation_size: int, path: Path) -> None:
    """`obs` (B, D) -> `action` (B, A), everything inside the graph."""
    with warnings.catch_warnings():
        # The exporter that replaces this one needs another package and writes the same graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            policy,
            (torch.zeros(1, observation_size),),
            str(path),
            input_names=["obs"],
            output_names=["action"],
            dynamic_axes={"obs": {0: "B"}, "action": {0: "B"}},
            dynamo=False,
        )


class _Critics(nn.Module):
    """What an agent says of actions, as a module: obs (B, D), action (B, A) -> q (B, E)."""

    def __init__(self, agent: Valued) -> None:
        super().__init__()
        self._agent = deepcopy(agent)
        for part in vars(self._agent).values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False)  # a weight that learns cannot become a constant of the graph

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self._agent.q_values(obs, action).T


def critic_to_onnx(agent: Valued, observation_size: int, action_size: int, path: Path) -> None:
    """`obs` (B, D) and `action` (B, A) -> `q` (B, E), everything inside the graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `to_onnx`
        torch.onnx.export(
            _Critics(agent),
            (torch.zeros(1, observation_size), torch.zeros(1, action_size)),
            str(path),
            input_names=["obs", "action"],
            output_names=["q"],
            dynamic_axes={name: {0: "B"} for name in ("obs", "action", "q")},
            dynamo=False,
        )


def q_of(agent: Valued, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
    """(B, D), (B, A) -> (E, B) float32."""
    return agent.q_values(torch.from_numpy(obs), torch.from_numpy(action)).numpy()


def parity_observations(state: TrainingState) -> np.ndarray:
    """(n, D) float32 around what the policy was trained on, the same in every export."""
    rng = np.random.default_rng(0)
    size = state.spec.observation_size
    mean, std = state.normalizer.mean[:size], state.normalizer.std[:size]
    return (mean + std * rng.standard_normal((PARITY_SAMPLES, size))).astype(np.float32)
