"""`operator=policy path=... noise=0.1`: a trained policy that explores."""

from dataclasses import dataclass

import numpy as np
from omegaconf import MISSING

from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import Schema, setting
from robot_orl.types import Actor, Array, Observation, Spec


@dataclass
class PolicyConfig(Schema):
    """The policy's deterministic action plus Gaussian noise."""

    name: str = "policy"
    path: str = setting(help="run folder, checkpoint or bundle to act with")
    noise: float = setting(
        0.1, "standard deviation added to each action signal, whose range is -1 .. 1", low=0.0, high=2.0
    )


@register("operator", "policy", PolicyConfig)
class PolicyOperator:
    """Quality is not known; `policy_hash` says which weights acted."""

    name = "policy"
    actor = Actor.POLICY

    def __init__(self, cfg: PolicyConfig, spec: Spec) -> None:
        """Raises: UsageError: no path.  DataError: what lies there is no policy for this task."""
        if not cfg.path or cfg.path == MISSING:
            raise UsageError("operator=policy needs path=<run folder, checkpoint or bundle>")
        # Here, not above: loading may bring in torch, which the other operators do without.
        from robot_orl.policies import load_policy

        self.cfg = cfg
        self.act, policy_hash = load_policy(cfg.path, spec)
        self.policy_hash: str | None = policy_hash
        self.begin(np.random.default_rng(0))

    def begin(self, rng: np.random.Generator) -> None:
        """`rng` is used until the next `begin`."""
        self.rng = rng

    def action(self, obs: Observation) -> Array:
        """(A,) float32 in [-1, 1]."""
        intended = np.asarray(self.act(obs), np.float64)
        explored = intended + self.cfg.noise * self.rng.standard_normal(intended.shape)
        return np.clip(explored, -1.0, 1.0).astype(np.float32)
