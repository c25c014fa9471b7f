"""A policy of two hidden layers of 256 with random weights: what inference takes, when no bundle is given."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from robot_orl.types import Array

SIZES = (31, 256, 256, 4)  # of fetch_pick_and_place
Layers = list[tuple[Array, Array]]


def random_layers(rng: np.random.Generator) -> Layers:
    """Weights (in, out) and biases (out,) of each layer, float32."""
    return [
        ((rng.normal(size=pair) / np.sqrt(pair[0])).astype(np.float32), np.zeros(pair[1], np.float32))
        for pair in pairwise(SIZES)
    ]


def write_policy(path: Path, layers: Layers) -> None:
    """obs (B, D) -> ReLU between layers, tanh at the end -> action (B, A), as ONNX."""
    nodes, constants, value = [], [], "obs"
    for index, (weight, bias) in enumerate(layers):
        is_last = index == len(layers) - 1
        constants += [
            numpy_helper.from_array(weight, f"w{index}"),
            numpy_helper.from_array(bias, f"b{index}"),
        ]
        nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"y{index}"]))
        value = "action" if is_last else f"h{index}"
        nodes.append(helper.make_node("Tanh" if is_last else "Relu", [f"y{index}"], [value]))
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", size])]
        for name, size in (("obs", layers[0][0].shape[0]), ("action", layers[-1][0].shape[1]))
    )
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
