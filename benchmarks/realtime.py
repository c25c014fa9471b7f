"""Our control loop against the sleeping loop of common stacks, and three ways to run a policy.

    python benchmarks/realtime.py --seconds 10 --hz 200 --load 2

All with one policy (2 layers of 256) in one run on this machine. The sleeping loop is
`time.sleep(dt - elapsed)`. Ours runs as `robot-orl deploy` does, recording episodes included.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from robot_orl.data.store import BackgroundWriter, SegmentWriter
from robot_orl.deploy.bundle import POLICY, WEIGHTS, Bundle, write_manifest
from robot_orl.deploy.loop import run
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import RealClock, TimingLog, summarise
from robot_orl.types import Array, Outcome, RobotObservation, Signal, Spec

SIZES = (31, 256, 256, 4)  # FetchPickAndPlace
WARM_UP, CALLS = 500, 5000
COLUMNS = ("p50", "p99", "p99.9", "max")
Policy = Callable[[Array], Array]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each loop [s]")
    parser.add_argument("--hz", type=float, default=200.0, help="control rate [Hz]")
    parser.add_argument("--load", type=int, default=0, help="busy processes that run beside everything")
    parser.add_argument("--priority", type=int, default=10, help="SCHED_FIFO priority to ask for")
    args = parser.parse_args()
    layers = make_layers(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as scratch, busy_processes(args.load):
        bundle = make_bundle(Path(scratch) / "bundle", layers, args.hz)
        compare_loops(bundle, args.seconds, args.priority, Path(scratch))
        compare_inference(bundle, layers)


def compare_loops(bundle: Bundle, seconds: float, priority: int, scratch: Path) -> None:
    hz = bundle.spec.control_hz
    print(f"\nPeriod error at {hz:g} Hz, {seconds:g} s per loop [us]; ratio: sleeping loop's p99 / this p99")
    print_row("loop", *COLUMNS, "ticks", "missed", "ratio")
    slept = sleeping_loop(bundle, seconds)
    print_summary("time.sleep(dt - elapsed)", slept, slept["p99"], slept["count"] + 1, "-")
    for name, asked in (("ours, ordinary scheduling", None), ("ours, real-time", priority)):
        with BackgroundWriter(SegmentWriter(scratch / name, bundle.spec, source="benchmark")) as writer:
            report = run(
                IdleRobot(bundle.spec), bundle, duration_s=seconds, writer=writer, realtime_priority=asked
            ).to_dict()
        if report["fault"]:
            raise SystemExit(f"{name}: {report['fault']}")
        error = report["period_error_us"]
        print_summary(name, error, slept["p99"], report["ticks"], str(report["missed_slots"]))
    print(f"real-time scheduling: {report['realtime']['scheduling']['reason']}")


def compare_inference(bundle: Bundle, layers: list[tuple[Array, Array]]) -> None:
    print(f"\nInference of one observation on one thread, {CALLS} calls [us]; ratio: torch's p99 / this p99")
    print_row("runtime", *COLUMNS, "calls", "", "ratio")
    obs = np.random.default_rng(1).normal(size=SIZES[0]).astype(np.float32)
    policies: dict[str, Policy] = {
        "torch eager": torch_policy(layers),
        "NumPy": numpy_policy(layers),
        "ONNX Runtime": bundle.policy,
    }
    expected = bundle.policy(obs)
    torch_p99 = 0.0
    for name, policy in policies.items():
        if not np.allclose(policy(obs), expected, atol=1e-5):
            raise SystemExit(f"{name} computes another action than ONNX Runtime")
        summary = time_calls(policy, obs)
        torch_p99 = torch_p99 or summary["p99"]
        print_summary(name, summary, torch_p99, summary["count"], "")


class IdleRobot:
    """Takes no time and moves nothing, so that only the loop is measured."""

    name = "idle"

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._obs = {key: np.zeros(len(signals), np.float32) for key, signals in spec.observation.items()}

    def connect(self) -> None:
        pass

    def home(self, seed: int) -> None:
        pass

    def observe(self) -> RobotObservation:
        return RobotObservation(self._obs, time.monotonic_ns())

    def send(self, action: Array) -> Array:
        return action

    def outcome(self) -> Outcome:
        return Outcome(reward=-1.0, success=False)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def sleeping_loop(bundle: Bundle, seconds: float) -> dict[str, Any]:
    """The loop that is found in most stacks; returns the summary of its period error."""
    period_s = 1 / bundle.spec.control_hz
    ticks = round(seconds * bundle.spec.control_hz)
    robot, clock = IdleRobot(bundle.spec), RealClock()
    log = TimingLog(round(period_s * 1e9), ticks)
    for _ in range(ticks):
        start = time.perf_counter()
        log.tick(clock.now_ns())
        robot.send(bundle.policy(bundle.spec.flatten(robot.observe().obs)))
        time.sleep(max(0.0, period_s - (time.perf_counter() - start)))
    return log.summary("period_error")


def time_calls(policy: Policy, obs: Array) -> dict[str, Any]:
    for _ in range(WARM_UP):
        policy(obs)
    durations = np.empty(CALLS)
    for call in range(CALLS):
        start = time.perf_counter_ns()
        policy(obs)
        durations[call] = (time.perf_counter_ns() - start) / 1e3
    return summarise(durations)


def make_layers(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Weights (in, out) and biases (out,) of the network."""
    return [
        ((rng.normal(size=pair) / np.sqrt(pair[0])).astype(np.float32), np.zeros(pair[1], np.float32))
        for pair in pairwise(SIZES)
    ]


def numpy_policy(layers: list[tuple[Array, Array]]) -> Policy:
    def policy(obs: Array) -> Array:
        for weight, bias in layers[:-1]:
            obs = np.maximum(obs @ weight + bias, 0)
        return np.tanh(obs @ layers[-1][0] + layers[-1][1])

    return policy


def torch_policy(layers: list[tuple[Array, Array]]) -> Policy:
    import torch

    torch.set_num_threads(1)
    modules: list[torch.nn.Module] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, torch.nn.ReLU()]
    network = torch.nn.Sequential(*modules[:-1], torch.nn.Tanh())

    def policy(obs: Array) -> Array:
        with torch.inference_mode():
            return network(torch.from_numpy(obs)).numpy()

    return policy


def make_bundle(folder: Path, layers: list[tuple[Array, Array]], hz: float) -> Bundle:
    """The network as a real bundle at this control rate."""
    folder.mkdir()
    nodes, constants, value = [], [], "obs"
    for index, (weight, bias) in enumerate(layers):
        is_last = index == len(layers) - 1
        constants += [
            numpy_helper.from_array(weight, f"w{index}"),
            numpy_helper.from_array(bias, f"b{index}"),
        ]
        nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"y{index}"]))
        value = "action" if is_last else f"h{index}"
        nodes.append(helper.make_node("Tanh" if is_last else "Relu", [f"y{index}"], [value]))
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", size])]
        for name, size in (("obs", SIZES[0]), ("action", SIZES[-1]))
    )
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / POLICY)
    (folder / WEIGHTS).write_bytes(b"")
    observation = {"observation": tuple(Signal(f"o{i}") for i in range(SIZES[0]))}
    spec = Spec("benchmark", observation, tuple(Signal(f"a{i}") for i in range(SIZES[-1])), hz, int(hz))
    session = onnxruntime.InferenceSession(folder / POLICY, providers=["CPUExecutionProvider"])
    parity_obs = np.ones((1, SIZES[0]), np.float32)
    write_manifest(
        folder,
        spec=spec,
        limits=Limits(),
        task=spec.task,
        task_kwargs={},
        dataset_fingerprint="none",
        parity_obs=parity_obs,
        parity_action=session.run(["action"], {"obs": parity_obs})[0],
    )
    return Bundle.load(folder)


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def print_summary(name: str, found: dict[str, Any], reference_p99: float, count: int, missed: str) -> None:
    figures = [f"{found[column]:.1f}" for column in COLUMNS]
    print_row(name, *figures, str(count), missed, f"{reference_p99 / found['p99']:.1f}x")


def print_row(name: str, *cells: str) -> None:
    print(f"{name:28}" + "".join(f"{cell:>10}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
