"""Mean and scale of each feature, fitted once on the offline data and then part of the networks."""

from dataclasses import dataclass

import numpy as np

from robot_orl.types import Array, Spec


@dataclass(frozen=True)
class Normalizer:
    """mean, std: (F,) float32, over the features of `features_of`."""

    mean: Array
    std: Array

    @classmethod
    def fit(cls, features: Array, floor: float = 1e-2) -> "Normalizer":
        """features: (N, F). A feature that hardly varies keeps the scale `floor`, not zero."""
        mean = features.mean(axis=0, dtype=np.float64)
        std = np.maximum(features.std(axis=0, dtype=np.float64), floor)
        return cls(mean.astype(np.float32), std.astype(np.float32))


def features_of(obs: Array, spec: Spec) -> Array:
    """Flat observations (..., D) -> features (..., F): goal minus achieved goal appended if there are any.

    The difference is what a goal task is about, and a network finds it late by itself.
    """
    if not (spec.achieved_goal and spec.desired_goal):
        return obs
    difference = obs[..., spec.slice_of(spec.desired_goal)] - obs[..., spec.slice_of(spec.achieved_goal)]
    return np.concatenate([obs, difference], axis=-1)
