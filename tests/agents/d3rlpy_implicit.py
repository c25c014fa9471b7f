"""What d3rlpy's IQL and TD3+BC make of given weights, batch and noise, in an environment of its own.

    python d3rlpy_implicit.py GIVEN.npz FOUND.json

test_agents_d3rlpy.py asks for it.
"""

import json
import sys
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.torch_utility import TorchMiniBatch

GIVEN = {name: torch.from_numpy(values) for name, values in np.load(sys.argv[1]).items()}


def fill(network: Any, last: Any, name: str, member: int | None = None) -> None:
    """member: of an ensemble, whose weights are (E, in, out); else they are (out, in)."""
    layers = [layer for layer in network._encoder._layers if isinstance(layer, torch.nn.Linear)]
    for number, layer in enumerate([*layers, last]):
        weight, bias = GIVEN[f"{name}_weight{number}"], GIVEN[f"{name}_bias{number}"]
        layer.weight.data = weight if member is None else weight[member].T.contiguous()
        layer.bias.data = bias if member is None else bias[member, 0]


def built(name: str, config: Any, **settings: Any) -> Any:
    """d3rlpy's implementation with the weights given for the agent of that name."""
    hidden = d3rlpy.models.VectorEncoderFactory([16, 16])
    settings |= {"actor_encoder_factory": hidden, "critic_encoder_factory": hidden, "gamma": 0.9}
    agent = config(**settings).create(device="cpu:0")
    agent.create_impl((GIVEN["obs"].shape[1],), GIVEN["action"].shape[1])
    modules = agent.impl._modules
    for part, critics in (("critic", modules.q_funcs), ("target_critic", modules.targ_q_funcs)):
        for member, critic in enumerate(critics):
            fill(critic, critic._fc, f"{name}_{part}", member)
    policy = modules.policy
    fill(policy, getattr(policy, "_mu", None) or policy._fc, f"{name}_policy")
    return agent.impl


def batch() -> Any:
    column = {name: GIVEN[name][:, None] for name in ("reward", "terminal")}
    return TorchMiniBatch(
        observations=GIVEN["obs"],
        actions=GIVEN["action"],
        rewards=column["reward"],
        next_observations=GIVEN["next_obs"],
        next_actions=GIVEN["action"],
        returns_to_go=column["reward"],
        terminals=column["terminal"],
        intervals=torch.ones_like(column["reward"]),
        device="cpu:0",
    )


def iql() -> dict[str, float]:
    impl = built(
        "iql", d3rlpy.algos.IQLConfig, value_encoder_factory=d3rlpy.models.VectorEncoderFactory([16, 16]),
        expectile=0.8, weight_temp=3.0, max_weight=1.2,
    )  # fmt: skip
    fill(impl._modules.value_func, impl._modules.value_func._fc, "iql_value", 0)
    impl._modules.policy._logstd.data = GIVEN["iql_log_std_logit"][None]
    critic = impl.compute_critic_loss(batch(), impl.compute_target(batch()))
    actor = impl.compute_actor_loss(batch(), impl._modules.policy(GIVEN["obs"]))
    return {"critic": float(critic.q_loss), "value": float(critic.v_loss), "actor": float(actor.actor_loss)}


def td3_bc() -> dict[str, float]:
    impl = built("td3_bc", d3rlpy.algos.TD3PlusBCConfig, alpha=2.5)
    target = impl._modules.targ_policy
    fill(target, target._fc, "td3_bc_target_policy")
    drawn, torch.randn = torch.randn, lambda *_, **__: GIVEN["noise"]  # of the target's action
    value = impl.compute_target(batch())
    torch.randn = drawn
    critic = impl.compute_critic_loss(batch(), value)
    actor = impl.compute_actor_loss(batch(), impl._modules.policy(GIVEN["obs"]))
    return {"critic": float(critic.critic_loss), "actor": float(actor.actor_loss)}


with open(sys.argv[2], "w") as file:
    json.dump({"iql": iql(), "td3_bc": td3_bc()}, file)
