"""Observation to features inside the network, so that an exported policy takes raw observations."""

import torch
from torch import Tensor, nn

from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.types import Spec


class Preprocess(nn.Module):
    """Flat observations (B, D) -> (B, F): goal differences appended, normalised, clipped to +-10."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: Spec, normalizer: Normalizer) -> None:
        super().__init__()
        self.size = len(normalizer.mean)
        self._goals: tuple[slice, slice] | None = None
        if spec.achieved_goal and spec.desired_goal:
            self._goals = spec.slice_of(spec.achieved_goal), spec.slice_of(spec.desired_goal)
        self.register_buffer("mean", torch.from_numpy(normalizer.mean.copy()))
        self.register_buffer("std", torch.from_numpy(normalizer.std.copy()))

    def forward(self, obs: Tensor) -> Tensor:
        if self._goals is not None:
            achieved, desired = self._goals
            obs = torch.cat([obs, obs[:, desired] - obs[:, achieved]], dim=-1)
        return ((obs - self.mean) / self.std).clamp(-10, 10)
