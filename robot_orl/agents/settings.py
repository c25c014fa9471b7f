"""What off-policy agents share as settings: networks, rates, what batches are made of, and what suits a task.

What depends on the kind of task may be null and is then taken from one of two sections: `with_goals`, for
tasks whose goal is a part of the observation and can be relabelled in hindsight, or `without_goals`. A value
that somebody sets holds for both; online, `online` still wins. An agent that has more of such fields extends
`Online`, `Family` and `OffPolicyConfig`.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self

from robot_orl.agents.base import MIRROR_SHARE, AgentConfig
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting
from robot_orl.types import Spec

# What a setting of these names is, wherever it stands.
DISCOUNT: dict[str, Any] = {"help": "Gamma; null: by family.", "low": 0, "high": 1}
N_STEP: dict[str, Any] = {
    "help": "Rewards summed before bootstrapping; null: by family.",
    "unit": "steps",
    "low": 1,
    "high": 1000,
}
BETTER_SHARE: dict[str, Any] = {
    "help": "Share of samples from episodes that are better than the mean one (cf. Hong et al. 2023); null: "
    "by family.",
    "low": 0,
    "high": 1,
}
HINDSIGHT_SHARE: dict[str, Any] = {"help": "Share of samples with a relabelled goal.", "low": 0, "high": 1}
MIRROR: dict[str, Any] = {**MIRROR_SHARE, "help": MIRROR_SHARE["help"].rstrip(".") + "; null: by family."}
GOAL_TOLERANCE: dict[str, Any] = {
    "help": "Share of the task's tolerance within which a goal counts as reached while learning: what is "
    "learned at its border ends beyond it half of the time. Without hindsight the rewards are the data's; "
    "null: by family.",
    "low": 0.01,
    "high": 1,
}
ACTOR_WEIGHT_DECAY: dict[str, Any] = {"help": "Adam's weight decay for the actor.", "low": 0, "high": 1}
BATCH_SIZE: dict[str, Any] = {"help": "Transitions per update.", "low": 1, "high": 65536}
LOG_STD_LOW: dict[str, Any] = {
    "help": "Lower bound of the policy's log standard deviation.",
    "low": -20,
    "high": 2,
}
LOG_STD_HIGH: dict[str, Any] = {
    "help": "Upper bound of the policy's log standard deviation.",
    "low": -20,
    "high": 2,
}


@dataclass
class Online(Schema):
    """What changes when finetuning begins; null takes the family's value, or else keeps the offline one."""

    n_step: int | None = setting(None, **N_STEP)
    better_share: float | None = setting(None, **BETTER_SHARE)
    hindsight_share: float | None = setting(None, **HINDSIGHT_SHARE)


@dataclass
class Family(Schema):
    """Values for one family of tasks, of the fields that are null."""

    discount: float | None = setting(None, **DISCOUNT)
    n_step: int | None = setting(None, **N_STEP)
    better_share: float | None = setting(None, **BETTER_SHARE)
    mirror_share: float | None = setting(None, **MIRROR)
    goal_tolerance: float | None = setting(None, **GOAL_TOLERANCE)
    online: Online = setting(factory=Online, help="What changes when finetuning begins.")


@dataclass
class OffPolicyConfig(AgentConfig):
    """The defaults are what most papers use; every extension is off."""

    hidden: list[int] = setting(
        factory=lambda: [256, 256], help="Widths of all hidden layers.", low=1, high=65536
    )
    actor_learning_rate: float = setting(3e-4, "Adam's step size for the actor.", low=0, high=1)
    critic_learning_rate: float = setting(3e-4, "Adam's step size for the critics.", low=0, high=1)
    actor_weight_decay: float = setting(0.0, **ACTOR_WEIGHT_DECAY)
    batch_size: int = setting(256, **BATCH_SIZE)
    discount: float | None = setting(0.99, **DISCOUNT)
    target_rate: float = setting(5e-3, "Step of the target critics towards the critics.", low=0, high=1)
    log_std_low: float = setting(-6.0, **LOG_STD_LOW)
    log_std_high: float = setting(0.0, **LOG_STD_HIGH)
    # extensions
    critics: int = setting(2, "Size of the critic ensemble.", low=1, high=100)
    critic_subset: int = setting(2, "Critics drawn per update for the target's minimum.", low=1, high=100)
    layer_norm: bool = setting(False, "LayerNorm in the critics (Ball et al. 2023).")
    bound_targets: bool = setting(
        False, "Clip targets to what rewards in {-1, 0} can give: [-1 / (1 - discount), 0]."
    )
    n_step: int | None = setting(1, **N_STEP)
    better_share: float | None = setting(0.0, **BETTER_SHARE)
    hindsight_share: float = setting(0.0, **HINDSIGHT_SHARE)
    hindsight_min_move: float = setting(
        0.01, "Relabel only where the achieved goal moves this far.", unit="m", low=0, high=10
    )
    hindsight_past: float = setting(
        0.0,
        "Share of those whose goal may come from before the sample: shows what leaving a goal costs.",
        low=0,
        high=1,
    )
    mirror_share: float | None = setting(0.0, **MIRROR)
    goal_tolerance: float | None = setting(1.0, **GOAL_TOLERANCE)
    observation_noise: float = setting(
        0.0,
        "Noise on the features while training, in their standard deviations: against learning few data by "
        "heart (Sinha et al. 2021, S4RL).",
        low=0,
        high=10,
    )
    actor_average: float = setting(
        1.0, "Step of the deployed actor towards the trained one; 1 deploys the trained one.", low=0, high=1
    )
    online: Online = setting(factory=Online, help="What changes when finetuning begins.")
    with_goals: Family = setting(factory=Family, help="For null fields, in tasks with goals.")
    without_goals: Family = setting(factory=Family, help="For null fields, in tasks without goals.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic_subset > self.critics:
            raise UsageError(f"critic_subset={self.critic_subset} exceeds critics={self.critics}")
        if self.log_std_low > self.log_std_high:
            raise UsageError(f"log_std_low={self.log_std_low} exceeds log_std_high={self.log_std_high}")
        for family in ("with_goals", "without_goals"):
            self._check_family(family)

    def _check_family(self, family: str) -> None:
        """Raises: UsageError: names a field that has no value for tasks of this family."""
        values = getattr(self, family)
        chosen = filled(self, values)
        open_fields = {item.name for item in fields(values)} - {"online"}
        for name in sorted(open_fields):
            if chosen[name] is None:
                raise UsageError(f"{name} is null and {family}.{name} as well: set one of them")
        if self.bound_targets and chosen["discount"] == 1:
            raise UsageError("bound_targets needs discount < 1: the bound is -1 / (1 - discount)")

    def for_task(self, spec: Spec) -> Self:
        """Without nulls but those of `online`, which keep the offline value, and with empty families."""
        family = self.without_goals if spec.desired_goal is None else self.with_goals
        done: dict[str, Any] = {name: type(family)() for name in ("with_goals", "without_goals")}
        return replace(self, **filled(self, family), **done)


def filled(config: Any, defaults: Any) -> dict[str, Any]:
    """The fields that `defaults` has, too: those that are null in `config` from there. Also in sections."""
    found = {}
    for item in fields(defaults):
        value, default = getattr(config, item.name), getattr(defaults, item.name)
        if is_dataclass(value):
            value = replace(value, **filled(value, default))  # type: ignore[type-var]
        found[item.name] = default if value is None else value
    return found
