"""AWAC's settings beside those that off-policy agents share: a field's default is the paper's."""

from dataclasses import dataclass
from typing import Any

from robot_orl.agents.settings import ACTOR_WEIGHT_DECAY, BATCH_SIZE, Family, OffPolicyConfig, Online
from robot_orl.schema import setting

# What a setting of these names is, wherever it stands.
TEMPERATURE: dict[str, Any] = {"help": "Lambda of the advantage weights.", "low": 1e-6, "high": 1e6}
AWAC_WEIGHT: dict[str, Any] = {"help": "Weight of AWAC's actor loss.", "low": 0, "high": 1e3}
POLICY_GRADIENT_WEIGHT: dict[str, Any] = {
    "help": "Weight of -Q(s, mean) / mean |Q| in the actor's loss (cf. Fujimoto & Gu 2021, TD3+BC); null: by "
    "family.",
    "low": 0,
    "high": 1e3,
}
WEIGHTS: dict[str, Any] = {
    "help": "Advantage weights: the paper's softmax over the batch, exp(A / temperature) clipped, exp(A / "
    "(temperature * std of A in the batch)) clipped, or a softmax whose temperature keeps the weights' "
    "KL divergence from equal ones below weight_kl; null: by family.",
    "choices": ["softmax", "exp", "exp_std", "kl"],
}
WEIGHT_KL: dict[str, Any] = {
    "help": "The KL divergence of weights=kl; null: by family.",
    "unit": "nat",
    "low": 0.01,
    "high": 20,
}
MULTI_STEP_SHARE: dict[str, Any] = {
    "help": "Share of the n-step target, instead of Q(s, a), in the advantage: what really followed, less "
    "what the critics made of it; null: by family.",
    "low": 0,
    "high": 1,
}


@dataclass
class AWACOnline(Online):
    temperature: float | None = setting(None, **TEMPERATURE)
    awac_weight: float | None = setting(None, **AWAC_WEIGHT)
    policy_gradient_weight: float | None = setting(None, **POLICY_GRADIENT_WEIGHT)


@dataclass
class AWACFamily(Family):
    weights: str | None = setting(None, **WEIGHTS)
    weight_kl: float | None = setting(None, **WEIGHT_KL)
    multi_step_share: float | None = setting(None, **MULTI_STEP_SHARE)
    policy_gradient_weight: float | None = setting(None, **POLICY_GRADIENT_WEIGHT)
    online: AWACOnline = setting(factory=AWACOnline, help="What changes when finetuning begins.")


@dataclass
class AWACConfig(OffPolicyConfig):
    name: str = setting("awac", "Algorithm.", choices=["awac"])
    actor_weight_decay: float = setting(1e-4, **ACTOR_WEIGHT_DECAY)
    batch_size: int = setting(1024, **BATCH_SIZE)
    temperature: float = setting(0.5, **TEMPERATURE)
    # extensions
    weights: str | None = setting("softmax", **WEIGHTS)
    weight_clip: float = setting(20.0, "Upper bound of the two exp weights.", low=1, high=1e6)
    weight_kl: float | None = setting(1.0, **WEIGHT_KL)
    multi_step_share: float | None = setting(0.0, **MULTI_STEP_SHARE)
    awac_weight: float = setting(1.0, **AWAC_WEIGHT)
    policy_gradient_weight: float | None = setting(0.0, **POLICY_GRADIENT_WEIGHT)
    online: AWACOnline = setting(factory=AWACOnline, help="What changes when finetuning begins.")
    with_goals: AWACFamily = setting(factory=AWACFamily, help="For null fields, in tasks with goals.")
    without_goals: AWACFamily = setting(factory=AWACFamily, help="For null fields, in tasks without goals.")
