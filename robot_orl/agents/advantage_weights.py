"""How much more a better action counts: from the advantages of a batch to weights of its actions."""

import math

import torch
from torch import Tensor

from robot_orl.agents.awac_config import AWACConfig
from robot_orl.agents.base import TensorMetrics
from robot_orl.nn.actors import log_prob
from robot_orl.nn.compute import Network

TEMPERATURES = 64  # tried for a KL bound, over four decades around the deviation of the advantages


def advantage_weights(advantage: Tensor, cfg: AWACConfig) -> Tensor:
    """Advantages (B,) to weights (B,) of mean 1 (softmax, kl) or in (0, cfg.weight_clip] (exp, exp_std)."""
    if cfg.weights == "softmax":
        return torch.softmax(advantage / cfg.temperature, dim=0) * len(advantage)
    if cfg.weights == "kl":
        assert cfg.weight_kl is not None
        return within_kl(advantage, cfg.weight_kl)
    if cfg.weights == "exp_std":
        advantage = advantage / deviation(advantage)
    return (advantage / cfg.temperature).exp().clamp(max=cfg.weight_clip)


def within_kl(advantage: Tensor, bound: float) -> Tensor:
    """The sharpest softmax weights, of mean 1, whose KL divergence from equal ones is at most `bound` [nat].

    The E-step of REPS (Peters et al. 2010) and MPO (Abdolmaleki et al. 2018, eq. 7) on a batch. A bound of
    log(1 / p) is what choosing a share p of the batch and dropping the rest costs. The divergence falls as
    the temperature rises, so that of a grid of temperatures, each a sixth above the last, the first within
    the bound is taken; all of them at once, because a search that stops early would not compile to one graph.
    """
    grid = torch.logspace(-2, 2, TEMPERATURES, device=advantage.device)
    temperature = deviation(advantage) * grid
    log_weight = torch.log_softmax(advantage / temperature[:, None], dim=1)  # (T, B)
    divergence = (log_weight.exp() * (log_weight + math.log(len(advantage)))).sum(dim=1)
    first = (divergence > bound).sum().clamp(max=TEMPERATURES - 1)[None]  # (1,)
    return torch.softmax(advantage / temperature.index_select(0, first), dim=0) * len(advantage)


def weighted_likelihood(
    actor: Network, state: Tensor, action: Tensor, advantage: Tensor, weight: Tensor
) -> tuple[Tensor, TensorMetrics]:
    """Minus the log-likelihood of the data's actions, each times its weight. advantage, weight: (B,)."""
    mean, log_std = actor(state)
    loss = -(weight * log_prob(mean, log_std, action)).mean()
    return loss, {
        "actor/loss": loss.detach(),
        "actor/advantage": advantage.mean(),
        "actor/weight_max": weight.max(),
        "actor/effective_samples": weight.sum().square() / weight.square().sum() / len(weight),
        "actor/std": log_std.detach().exp().mean(),
    }


def deviation(advantage: Tensor) -> Tensor:
    return advantage.std(correction=0).clamp(min=1e-6)
