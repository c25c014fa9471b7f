"""`operator=random`: actions drawn uniformly, independent or smoothed over time."""

import math
from dataclasses import dataclass

import numpy as np

from robot_orl.registry import register
from robot_orl.schema import Schema, setting
from robot_orl.types import Actor, Array, Observation, Spec

_uniform_of_normal = np.vectorize(lambda z: math.erf(z / math.sqrt(2.0)), otypes=[np.float32])
"""2 Phi(z) - 1: makes a standard normal uniform in [-1, 1]."""


@dataclass
class RandomConfig(Schema):
    """Uniform in [-1, 1] at every step, whatever the correlation."""

    name: str = "random"
    correlation: float = setting(
        0.0,
        "between neighbouring steps; 0 is independent, towards 1 the hand goes farther",
        low=0.0,
        high=0.999,
    )


@register("operator", "random", RandomConfig)
class RandomOperator:
    """Works for every task. Its episodes have quality 0."""

    name = "random"
    actor = Actor.SCRIPT
    policy_hash: str | None = None

    def __init__(self, cfg: RandomConfig, spec: Spec) -> None:
        self.cfg, self.spec = cfg, spec
        self.begin(np.random.default_rng(0))

    def begin(self, rng: np.random.Generator) -> float:
        """`rng` is used until the next `begin`."""
        self.rng = rng
        self.latent = rng.standard_normal(self.spec.action_size)
        return 0.0

    def action(self, obs: Observation) -> Array:
        """(A,) float32 in [-1, 1]; the observation plays no part."""
        action = _uniform_of_normal(self.latent)
        rho = self.cfg.correlation
        fresh = self.rng.standard_normal(self.spec.action_size)
        self.latent = rho * self.latent + math.sqrt(1.0 - rho**2) * fresh
        return action
