"""Which way of computing updates a run gets: device, precision, compiled or not."""

import shutil

import torch

from robot_orl.errors import UsageError
from robot_orl.nn.compute import Compute, has_fast_bfloat16

COMPILE_FROM = 20_000  # updates: from here on, 10 to 30 s of compiling are won back with some to spare

DEVICES = ["auto", "cpu", "cuda"]
PRECISIONS = ["auto", "float32", "bfloat16"]
COMPILE = ["auto", "on", "off"]


def choose_compute(
    updates: int, device: str = "auto", precision: str = "auto", compile: str = "auto"
) -> Compute:
    """updates: how many the whole stage takes, so that a continued run is computed as it began.

    Raises: UsageError: what is asked for is not here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda: PyTorch finds no GPU here; valid: auto, cpu")
    if precision == "auto":
        precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
    if compile == "on" and not can_compile(device):
        raise UsageError("compile=on needs a C++ compiler such as g++; install one, or use compile=auto")
    compiled = compile == "on" or (compile == "auto" and updates >= COMPILE_FROM and can_compile(device))
    return Compute(device, precision, compiled)


def can_compile(device: str) -> bool:
    """On the CPU a graph becomes C++; on a GPU it becomes Triton, which comes with PyTorch."""
    return device == "cuda" or any(shutil.which(name) for name in ("g++", "clang++", "c++"))
