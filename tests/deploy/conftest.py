"""A small policy in ONNX and bundles made of it; the graph is built here, so no torch is needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from robot_orl.deploy.bundle import Bundle, write_manifest
from robot_orl.deploy.safety import Limits
from robot_orl.types import Array, Signal, Spec


def linear_policy(weight: Array, bias: Array) -> onnx.ModelProto:
    """action = clip(obs @ weight + bias, -1, 1); weight: (D, A)."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", size])]
        for name, size in zip(("obs", "action"), weight.shape, strict=True)
    )
    constants = {"w": weight, "b": bias, "low": np.array(-1), "high": np.array(1)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["obs", "w", "b"], ["y"]),
            helper.make_node("Clip", ["y", "low", "high"], ["action"]),
        ],
        "policy",
        inputs,
        outputs,
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_bundle(folder: Path, spec: Spec, limits: Limits, weight: Array, bias: Array) -> Path:
    folder.mkdir(parents=True)
    onnx.save(linear_policy(weight, bias), folder / "policy.onnx")
    (folder / "policy.safetensors").write_bytes(b"weights")
    obs = np.random.default_rng(0).normal(size=(5, spec.observation_size)).astype(np.float32)
    write_manifest(
        folder,
        spec=spec,
        limits=limits,
        task=spec.task,
        task_kwargs={},
        dataset_fingerprint="abc",
        parity_obs=obs,
        parity_action=np.clip(obs @ weight + bias, -1, 1),
    )
    return folder


@pytest.fixture
def spec() -> Spec:
    """D = 3, A = 2, 10 Hz, 5 steps."""
    observation = {"joint": (Signal("a", "rad"), Signal("b", "rad")), "goal": (Signal("x", "m"),)}
    return Spec("toy", observation, (Signal("push", low=-1, high=1), Signal("grip", low=-1, high=1)), 10.0, 5)


MakeBundle = Callable[..., Bundle]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """make_bundle(spec, limits=..., weight=..., bias=...) -> a loaded Bundle."""

    def make(
        spec: Spec, limits: Limits | None = None, weight: Array | None = None, bias: Array | None = None
    ) -> Bundle:
        shape = (spec.observation_size, spec.action_size)
        weight = np.random.default_rng(1).normal(size=shape) if weight is None else weight
        bias = np.zeros(spec.action_size) if bias is None else bias
        folder = tmp_path / f"bundle{len(list(tmp_path.glob('bundle*')))}"
        return Bundle.load(write_bundle(folder, spec, limits or Limits(), weight, bias))

    return make
