"""Multi-layer perceptrons as batched ensembles: one matrix product for all members."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robot_orl.nn.compute import full_precision


class EnsembleLinear(nn.Module):
    """E independent linear layers: (E, B, in) -> (E, B, out)."""

    def __init__(self, members: int, size_in: int, size_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(size_in)  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(members, size_in, size_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, size_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class EnsembleNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016) with one scale and shift per member."""

    def __init__(self, members: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.scale = nn.Parameter(torch.ones(members, 1, size))
        self.shift = nn.Parameter(torch.zeros(members, 1, size))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(x, (self.size,)) * self.scale + self.shift


class EnsembleMLP(nn.Module):
    """E networks with ReLU: (E, B, in) or a shared (B, in) -> (E, B, out)."""

    def __init__(
        self, members: int, size_in: int, hidden: Sequence[int], size_out: int, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.members = members
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(EnsembleLinear(members, size_in, width))
            if layer_norm:
                layers.append(EnsembleNorm(members, width))
            layers.append(nn.ReLU())
            size_in = width
        self.layers = nn.Sequential(*layers, EnsembleLinear(members, size_in, size_out))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            x = x.expand(self.members, *x.shape)
        x = self.layers[:-1](x)
        with full_precision(x.device.type):  # differences between actions are small beside the values
            return self.layers[-1](x.float())


def mlp(size_in: int, hidden: Sequence[int], size_out: int) -> nn.Sequential:
    """A single network with ReLU: (B, in) -> (B, out)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(size_in, width), nn.ReLU()]
        size_in = width
    return nn.Sequential(*layers, nn.Linear(size_in, size_out))


@torch.no_grad()
def soft_update(target: nn.Module, source: nn.Module, rate: float) -> None:
    """target <- (1 - rate) * target + rate * source, parameter by parameter."""
    ours: list[Tensor] = list(target.parameters())
    theirs: list[Tensor] = list(source.parameters())
    if torch.compiler.is_compiling():
        for slow, fast in zip(ours, theirs, strict=True):
            slow.lerp_(fast, rate)
    else:
        torch._foreach_lerp_(ours, theirs, rate)
