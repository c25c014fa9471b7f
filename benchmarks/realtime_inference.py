"""Four ways to compute the same policy, for realtime.py."""

import time
from collections.abc import Callable

import numpy as np
import torch

from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.doctor.example_policy import Layers
from robot_orl.deploy.processes.hosting import processors
from robot_orl.deploy.processes.policy import PolicyProcess
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock, Ticker
from robot_orl.types import Array

Policy = Callable[[Array], Array]
WARM_UP = 100
BEFORE = 3


def policies(bundle: Bundle, layers: Layers) -> dict[str, Policy]:
    """By name, all computing the same. Raises: SystemExit: one does not."""
    torch.set_num_threads(1)
    network = torch_network(layers)
    found: dict[str, Policy] = {
        "torch eager": torch_policy(network),
        "torch compiled": torch_policy(torch.compile(network, dynamic=False)),
        "NumPy": numpy_policy(layers),
        "ONNX Runtime (ours)": bundle.policy,
    }
    obs = np.random.default_rng(1).normal(size=layers[0][0].shape[0]).astype(np.float32)
    expected = bundle.policy(obs)
    for name, policy in found.items():
        if not np.allclose(policy(obs), expected, atol=1e-5):
            raise SystemExit(f"{name} computes another action than ONNX Runtime")
        for _ in range(WARM_UP):
            policy(obs)
    return found


def torch_network(layers: Layers) -> torch.nn.Module:
    modules: list[torch.nn.Module] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1], torch.nn.Tanh()).eval()


def torch_policy(network: Callable[[torch.Tensor], torch.Tensor]) -> Policy:
    def policy(obs: Array) -> Array:
        with torch.inference_mode():
            return network(torch.from_numpy(obs).unsqueeze(0)).squeeze(0).numpy()

    return policy


def numpy_policy(layers: Layers) -> Policy:
    def policy(obs: Array) -> Array:
        for weight, bias in layers[:-1]:
            obs = np.maximum(obs @ weight + bias, 0)
        return np.tanh(obs @ layers[-1][0] + layers[-1][1])

    return policy


def calls_in_a_row(policy: Policy, obs: Array, calls: int) -> list[int]:
    """Duration of each call [ns]: caches are warm."""
    durations = []
    for _ in range(WARM_UP):
        policy(obs)
    for _ in range(calls):
        begin_ns = time.perf_counter_ns()
        policy(obs)
        durations.append(time.perf_counter_ns() - begin_ns)
    return durations


def calls_in_ticks(policy: Policy, obs: Array, calls: int, period_ns: int, clock: Clock) -> list[int]:
    """One call in each tick [ns]: what ran meanwhile has used the caches, as in a control loop."""
    ticker = Ticker(period_ns, clock)
    durations = []
    for _ in range(calls):
        ticker.wait()
        begin_ns = time.perf_counter_ns()
        policy(obs)
        durations.append(time.perf_counter_ns() - begin_ns)
    return durations


class InItsProcess:
    """The policy's process as deployed: asked once per tick, it has called the policy just before."""

    def __init__(self, bundle: Bundle, priority: int | None) -> None:
        below = None if priority is None else max(1, priority - 1)
        self._process = PolicyProcess(bundle, RealClock(), priority=below, cpu=processors(priority)[1])
        self._process.child.wait(lambda: False)

    def calls(self, obs: Array, calls: int, period_ns: int, clock: Clock) -> list[int]:
        """Duration of the policy's part of each [ns], measured there as in the other rows.

        Before them the few questions of a run that tell it the rhythm.
        """
        ticker = Ticker(period_ns, clock)
        durations = []
        for _ in range(BEFORE + calls):
            ticker.wait()
            self._process.ask(obs)
            reply = self._process.reply(clock.now_ns() + NS_PER_S)
            if reply is None:
                raise SystemExit("the policy's process does not answer")
            durations.append(reply.inference_ns)
        return durations[BEFORE:]

    def close(self) -> None:
        self._process.close()
