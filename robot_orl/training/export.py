"""From a trained policy to a bundle: the one place where deployment meets PyTorch."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from robot_orl.agents.base import act
from robot_orl.deploy.bundle import MANIFEST, POLICY, WEIGHTS, write_manifest
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError, UsageError
from robot_orl.tasks import TaskConfig
from robot_orl.training.state import TrainingState

PARITY_SAMPLES = 8


def export(state: TrainingState, out: Path, task: TaskConfig, fingerprint: str, limits: Limits) -> None:
    """Write the bundle folder: first whole beside `out`, then in its place.

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
        _write(state, partial, task, fingerprint, limits)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(f"cannot write bundle {out}: {error.strerror or error}") from error


def _write(state: TrainingState, folder: Path, task: TaskConfig, fingerprint: str, limits: Limits) -> None:
    policy = state.agent.policy()
    to_onnx(policy, state.spec.observation_size, folder / POLICY)
    save_file({name: tensor.contiguous() for name, tensor in policy.state_dict().items()}, folder / WEIGHTS)
    obs = parity_observations(state)
    write_manifest(
        folder,
        spec=state.spec,
        limits=limits,
        task=task.name,
        task_kwargs=task.kwargs,
        dataset_fingerprint=fingerprint,
        parity_obs=obs,
        parity_action=act(policy, obs),
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


def parity_observations(state: TrainingState) -> np.ndarray:
    """(n, D) float32 around what the policy was trained on, the same in every export."""
    rng = np.random.default_rng(0)
    size = state.spec.observation_size
    mean, std = state.normalizer.mean[:size], state.normalizer.std[:size]
    return (mean + std * rng.standard_normal((PARITY_SAMPLES, size))).astype(np.float32)
