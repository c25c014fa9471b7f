"""`operator=mixed path=... hands=browser`: a policy acts, and a person takes over at any moment.

The recording session is that of the hands. Each step says who acted, POLICY or INTERVENTION, what the policy
wanted, and what the person did.
"""

from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import numpy as np
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from data_collection.teleop.hands import Hands, Interactive
from data_collection.teleop.settings import PersonConfig
from robot_orl.errors import UsageError, unknown
from robot_orl.registry import factory, register, registered, schema_of
from robot_orl.schema import Schema, setting
from robot_orl.types import Actor, Array, Observation, Spec


@dataclass
class MixedConfig(Schema):
    """A policy, and hands beside it."""

    name: str = "mixed"
    path: str = setting(help="run folder, checkpoint or bundle that acts")
    hands: str = setting("browser", "the person's: browser, keyboard, gamepad or another operator=... of one")
    noise: float = setting(
        0.0, "standard deviation added to each action signal of the policy", low=0.0, high=2.0
    )
    options: dict[str, Any] = setting(
        factory=dict,
        help="settings of these hands, such as operator.options.port=8765 or operator.options.speed_m_s=0.1",
    )


@register("operator", "mixed", MixedConfig)
class MixedOperator:
    """A person: `collect` holds a recording session with it, in which a policy acts.

    act: the policy.  cfg: the hands' own.
    """

    name = "mixed"
    actor = Actor.POLICY

    def __init__(self, cfg: MixedConfig, spec: Spec) -> None:
        """Raises: UsageError: no path, or no such hands.  DataError: it is no policy for this task."""
        if not cfg.path or cfg.path == MISSING:
            raise UsageError("operator=mixed needs path=<run folder, checkpoint or bundle>")
        self._hands = hands_of(cfg, spec)
        self.cfg = self._hands.cfg
        # Here, not above: loading may bring in torch, which the other operators do without.
        from robot_orl.policies import load_policy

        self._act, found = load_policy(cfg.path, spec)
        self.policy_hash: str | None = found
        self.noise = cfg.noise

    def act(self, obs: Observation) -> Array:
        """(A,): the policy's."""
        return np.asarray(self._act(obs), np.float32)

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        return self._hands.make_hands(env, alone)


def hands_of(cfg: MixedConfig, spec: Spec) -> Interactive:
    """Raises: UsageError: names the valid hands, or their settings."""
    people = [
        name
        for name in registered("operator")
        if name != "mixed" and issubclass(schema_of("operator", name), PersonConfig)
    ]
    if cfg.hands not in people:
        raise unknown("hands", cfg.hands, people)
    schema = schema_of("operator", cfg.hands)
    names = [item.name for item in fields(schema) if item.name != "name"]
    for name in cfg.options:
        if name not in names:
            raise unknown("field of operator.options", name, names)
    try:
        own = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), cfg.options))
    except OmegaConfBaseException as error:
        raise UsageError(f"operator.options: {str(error).splitlines()[0]}") from error
    made: Interactive = factory("operator", cfg.hands)(own, spec)
    return made
