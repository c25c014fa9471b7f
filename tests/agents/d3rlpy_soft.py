"""What d3rlpy makes of given weights, batch and noise, in an environment of its own.

    python d3rlpy_soft.py GIVEN.npz FOUND.json

test_agents_soft_d3rlpy.py asks for it. Every sample that d3rlpy draws is taken from what is given instead, in
the order in which it asks, so that both sides compute on the same numbers.
"""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.models.torch.policies import build_squashed_gaussian_distribution
from d3rlpy.torch_utility import TorchMiniBatch

GIVEN = {name: torch.from_numpy(values) for name, values in np.load(sys.argv[1]).items()}
SIZES = [layer.shape[-1] for name, layer in sorted(GIVEN.items()) if name.startswith("critic_weight")]


@contextmanager
def drawing(*names: str) -> Iterator[None]:
    """Normal and uniform samples are these, one after the other."""
    left = list(names)
    normal, uniform = torch.distributions.Normal.rsample, torch.Tensor.uniform_

    def rsample(self: Any, sample_shape: Any = ()) -> torch.Tensor:
        noise = GIVEN[left.pop(0)]
        assert noise.shape == (*sample_shape, *self.loc.shape), (noise.shape, sample_shape, self.loc.shape)
        return self.loc + noise * self.scale

    def fill(self: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return self.copy_(GIVEN[left.pop(0)].reshape(self.shape))

    torch.distributions.Normal.rsample, torch.Tensor.uniform_ = rsample, fill
    yield
    torch.distributions.Normal.rsample, torch.Tensor.uniform_ = normal, uniform
    assert not left, left


def fill_critics(critics: Any, name: str) -> None:
    for member, critic in enumerate(critics):
        layers = [layer for layer in critic.encoder._layers if isinstance(layer, torch.nn.Linear)]
        for number, layer in enumerate([*layers, critic._fc]):
            layer.weight.data = GIVEN[f"{name}_weight{number}"][member].T.contiguous()
            layer.bias.data = GIVEN[f"{name}_bias{number}"][member, 0]


def built(config: Any, **settings: Any) -> Any:
    """d3rlpy's implementation with the given weights."""
    hidden = d3rlpy.models.VectorEncoderFactory(SIZES[:-1])
    cfg = config(
        actor_encoder_factory=hidden,
        critic_encoder_factory=hidden,
        gamma=float(GIVEN["gamma"]),
        initial_temperature=float(GIVEN["temperature"]),
        temp_learning_rate=1e-9,
        **settings,
    )
    agent = cfg.create(device="cpu:0")
    agent.create_impl((GIVEN["obs"].shape[1],), GIVEN["action"].shape[1])
    modules = agent.impl._modules
    fill_critics(modules.q_funcs, "critic")
    fill_critics(modules.targ_q_funcs, "target")
    layers = [layer for layer in modules.policy._encoder._layers if isinstance(layer, torch.nn.Linear)]
    for number, layer in enumerate([*layers, modules.policy._mu]):
        layer.weight.data, layer.bias.data = GIVEN[f"mean_weight{number}"], GIVEN[f"mean_bias{number}"]
    modules.policy._logstd.weight.data.zero_()
    modules.policy._logstd.bias.data = GIVEN["log_std"]
    return agent.impl


def batch() -> Any:
    column = {name: GIVEN[name][:, None] for name in ("reward", "terminal", "returns")}
    return TorchMiniBatch(
        observations=GIVEN["obs"],
        actions=GIVEN["action"],
        rewards=column["reward"],
        next_observations=GIVEN["next_obs"],
        next_actions=GIVEN["action"],
        returns_to_go=column["returns"],
        terminals=column["terminal"],
        intervals=torch.ones_like(column["reward"]),
        device="cpu:0",
    )


def conservative(config: Any, count: int, **settings: Any) -> float:
    """Of CQL or Cal-QL: the critics' whole loss."""
    weight = float(GIVEN["conservative_weight"])
    impl = built(
        config, n_action_samples=count, conservative_weight=weight, alpha_threshold=0.0,
        alpha_learning_rate=0.0, initial_alpha=1.0, **settings,
    )  # fmt: skip
    first = "many_next" if settings.get("max_q_backup") else "next_noise"
    with drawing(first, "current_noise", "later_noise", "uniform"):
        return float(impl.compute_critic_loss(batch(), impl.compute_target(batch())).critic_loss)


def mmd(kernel: str, sigma: float) -> list[float]:
    """Between samples of the policy and given ones, neither of them squashed: (B,)."""
    impl = built(d3rlpy.algos.BEARConfig, mmd_kernel=kernel, mmd_sigma=sigma,
                 n_mmd_action_samples=len(GIVEN["current_noise"]))  # fmt: skip
    module = sys.modules[type(impl).__module__]
    module.forward_vae_sample_n = lambda **_: GIVEN["behaviour"]
    with drawing("current_noise"):
        return impl._compute_mmd(GIVEN["obs"]).flatten().tolist()


def main() -> None:
    count = len(GIVEN["current_noise"])
    sac = built(d3rlpy.algos.SACConfig)
    found: dict[str, Any] = {}
    with drawing("next_noise"):
        found["soft_target"] = sac.compute_target(batch()).flatten().tolist()
    action = sac._modules.policy(GIVEN["obs"])
    with drawing("actor_noise"):
        _, log_prob = build_squashed_gaussian_distribution(action).sample_with_log_prob()
    found["log_prob"] = log_prob.flatten().tolist()
    with drawing("actor_noise"):
        loss = sac.compute_actor_loss(batch(), action)
    found["actor_loss"], found["temperature_loss"] = float(loss.actor_loss), float(loss.temp_loss)
    found["cql"] = conservative(d3rlpy.algos.CQLConfig, count, soft_q_backup=True)
    found["cql_max_backup"] = conservative(d3rlpy.algos.CQLConfig, count, max_q_backup=True)
    found["cal_ql"] = conservative(d3rlpy.algos.CalQLConfig, count, soft_q_backup=True)
    found["mmd"] = {kernel: mmd(kernel, sigma) for kernel, sigma in (("gaussian", 2.0), ("laplacian", 0.7))}
    bear = built(d3rlpy.algos.BEARConfig, n_target_samples=len(GIVEN["many_next"]), lam=0.75)
    bear._modules.log_temp._parameter.data.fill_(-math.inf)  # BEAR's own target has no entropy
    with drawing("many_next"):
        found["bear_target"] = bear.compute_target(batch()).flatten().tolist()
    with open(sys.argv[2], "w") as file:
        json.dump(found, file)


main()
