"""Which way of computing updates a run gets: device, precision, compiled or not."""

import shutil
from dataclasses import dataclass

import torch

from robot_orl.errors import UsageError
from robot_orl.nn.compute import Compute, has_fast_bfloat16

COMPILE_FROM = 20_000  # updates: from here on, 10 to 30 s of compiling are won back with some to spare


@dataclass(frozen=True)
class Speed:
    """What was asked for. auto: a GPU if there is one, bfloat16 where it is fast, compiled if it pays."""

    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"

    def compute(self, updates: int) -> Compute:
        """updates: of the whole stage; one that is extended across `COMPILE_FROM` changes its way.

        Raises: UsageError: what is asked for is not here.
        """
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("device=cuda: PyTorch finds no GPU here; valid: auto, cpu")
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
        can = can_compile(device)
        if self.compile == "on" and not can:
            raise UsageError("compile=on needs a C++ compiler such as g++; install one, or use compile=auto")
        compiled = self.compile == "on" or (self.compile == "auto" and updates >= COMPILE_FROM and can)
        return Compute(device, precision, compiled)


def can_compile(device: str) -> bool:
    """On the CPU a graph becomes C++; on a GPU it becomes Triton, which comes with PyTorch."""
    return device == "cuda" or any(shutil.which(name) for name in ("g++", "clang++", "c++"))
