"""`operator=scripted`: a script for the task, carried out with mixed skill."""

from dataclasses import dataclass

import numpy as np

from data_collection.flaws import FlawedHand, Flaws
from data_collection.scripts import SCRIPTS
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import Schema, setting
from robot_orl.types import Actor, Array, Observation, Spec


@dataclass
class ScriptedConfig(Schema):
    """Each episode's skill is drawn uniformly from [skill_low, skill_high] and stored as its quality."""

    name: str = "scripted"
    skill_low: float = setting(0.0, "lowest skill that an episode can have", low=0.0, high=1.0)
    skill_high: float = setting(1.0, "highest skill; 1 is the script without flaws", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.skill_low > self.skill_high:
            raise UsageError(f"skill_low={self.skill_low} is above skill_high={self.skill_high}")


@register("operator", "scripted", ScriptedConfig)
class ScriptedOperator:
    """Plays the task's script through a hand with flaws; see scripts/ and flaws.py."""

    name = "scripted"
    actor = Actor.SCRIPT
    policy_hash: str | None = None

    def __init__(self, cfg: ScriptedConfig, spec: Spec) -> None:
        """Raises: UsageError: there is no script for the task; the line names those that have one."""
        if spec.task not in SCRIPTS:
            known = ", ".join(sorted(SCRIPTS))
            raise UsageError(f"operator=scripted has no script for task '{spec.task}'; it has: {known}")
        self.cfg, self.spec = cfg, spec
        self.begin(np.random.default_rng(0))

    def begin(self, rng: np.random.Generator) -> float:
        """Draw the episode's skill and flaws; returns the skill. `rng` is used until the next `begin`."""
        skill = float(rng.uniform(self.cfg.skill_low, self.cfg.skill_high))
        self.view, make_script = SCRIPTS[self.spec.task]
        self.script = make_script()
        self.flaws = Flaws.draw((1.0 - skill) * self.script.flaw_share, rng, self.spec.horizon)
        self.hand = FlawedHand(self.flaws, rng, self.view.action_size)
        return skill

    def action(self, obs: Observation) -> Array:
        """(A,) float32 in [-1, 1] for an observation of the task."""
        if self.hand.is_pausing():
            return self.hand.pause().astype(np.float32)
        believed = self.view.of(obs).misjudged(self.flaws.misjudgement)
        intended = self.script.action(believed)
        return self.hand.execute(intended, self.script.carrying).astype(np.float32)
