"""Gradient updates per second of AWAC, sampling included: ours against eager code and d3rlpy.

    python benchmarks/updates.py --d3rlpy-python peers/bin/python --out benchmarks/results/updates

Observations of 39 numbers, 28 actions, an actor and two critics of 3 x 256, batches of 256, one thread. All
ways run in turns in one run, 50 updates at a time, so that a busy machine slows all of them; a ratio
is the median of the rounds' ratios to the eager implementation of the same arithmetic
(updates_eager.py). d3rlpy has an environment of its own, see benchmarks/peers/.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from robot_orl.agents.awac import AWAC, AWACConfig
from robot_orl.compose import build
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.data.sampling.replay import Replay
from robot_orl.nn.compute import Compute, has_fast_bfloat16
from robot_orl.types import Actor, Episode, EpisodeMeta, Signal, Spec

from updates_eager import Arrays, EagerAWAC  # isort: skip

OBSERVATIONS, ACTIONS, HIDDEN, BATCH, TRANSITIONS = 39, 28, [256, 256, 256], 256, 100_000
EPISODE = 100
Block = Callable[[int], float]  # runs so many updates, returns the seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--updates", type=int, default=50, help="of each way per round")
    parser.add_argument("--agents", nargs="+", default=["awac_paper", "awac"])
    parser.add_argument("--d3rlpy-python", type=Path, help="interpreter of the environment that has d3rlpy")
    parser.add_argument("--out", type=Path, help="folder for table.md and updates.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: compare(settings(name), args) for name in args.agents}
    text = "\n".join(table(name, seconds, args.updates) for name, seconds in found.items())
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "table.md").write_text(text)
        (args.out / "updates.json").write_text(json.dumps(found, indent=1) + "\n")


def settings(name: str) -> AWACConfig:
    """An agent of the benchmark's sizes. A fixed deviation: the eager one has no other."""
    sizes = [f"agent.hidden={HIDDEN}", f"agent.batch_size={BATCH}", "agent.log_std_high=-1"]
    same = [*sizes, "agent.log_std_low=-1", "agent.hindsight_share=0"]
    cfg = build("pretrain", [f"agent={name}", "data=none", "out=none", *same]).agent
    assert isinstance(cfg, AWACConfig)
    spec = plain_spec()
    key = next(iter(spec.observation))
    found = cfg.for_task(replace(spec, achieved_goal=key, desired_goal=key))  # of the family with goals
    assert found.weights in ("softmax", "exp_std")
    assert found.multi_step_share == found.policy_gradient_weight == 0  # the eager one has neither
    return found


def compare(cfg: AWACConfig, args: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every round's block, per way."""
    ways: dict[str, Block] = {"eager": eager(cfg)}
    ways["ours, float32, eager"] = ours(cfg, Compute())
    ways["ours, float32, compiled"] = ours(cfg, Compute(compiled=True))
    if has_fast_bfloat16():
        ways["ours, bfloat16, eager"] = ours(cfg, Compute(precision="bfloat16"))
        ways["ours, bfloat16, compiled"] = ours(cfg, Compute(precision="bfloat16", compiled=True))
    if args.d3rlpy_python:
        ways["d3rlpy AWAC"] = peer(args.d3rlpy_python)
    for block in ways.values():
        block(5)  # compiles, allocates
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, block in ways.items():
            seconds[name].append(block(args.updates))
    return seconds


def eager(cfg: AWACConfig) -> Block:
    agent, data = (
        EagerAWAC(cfg, OBSERVATIONS, ACTIONS),
        Arrays(TRANSITIONS, OBSERVATIONS, ACTIONS, cfg.discount),
    )
    rng = np.random.default_rng(0)
    return timed(lambda: agent.update(*data.sample(cfg.batch_size, rng)))


def ours(cfg: AWACConfig, compute: Compute) -> Block:
    spec = plain_spec()
    ones = np.ones(OBSERVATIONS, np.float32)
    agent, replay = AWAC(cfg, spec, Normalizer(0 * ones, ones), seed=0), filled(spec)
    agent.use(compute)
    rng = np.random.default_rng(0)
    return timed(lambda: agent.update(replay.sample(agent.sampling, rng)))


def peer(python: Path) -> Block:
    """d3rlpy in a process of its own, idle while the others run."""
    script = Path(__file__).parent / "peers" / "d3rlpy_updates.py"
    sizes = [TRANSITIONS, OBSERVATIONS, ACTIONS, BATCH, *HIDDEN]
    process = subprocess.Popen(
        [str(python), str(script), *map(str, sizes)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    answers, asked = process.stdout, process.stdin
    if not any(line.strip() == "ready" for line in answers):
        raise SystemExit(f"{python} cannot run {script.name}: is d3rlpy installed there?")

    def block(updates: int) -> float:
        asked.write(f"{updates}\n")
        asked.flush()
        return float(answers.readline())

    return block


def timed(update: Callable[[], object]) -> Block:
    def block(updates: int) -> float:
        start = time.perf_counter()
        for _ in range(updates):
            update()
        return time.perf_counter() - start

    return block


def plain_spec() -> Spec:
    observed = tuple(Signal(f"o{i}", "1") for i in range(OBSERVATIONS))
    action = tuple(Signal(f"a{i}", "1", -1, 1) for i in range(ACTIONS))
    return Spec("benchmark", {"state": observed}, action, 50.0, EPISODE)


def filled(spec: Spec) -> Replay:
    rng, replay = np.random.default_rng(0), Replay(spec)
    for _ in range(TRANSITIONS // EPISODE):
        action = np.tanh(rng.standard_normal((EPISODE, ACTIONS))).astype(np.float32)
        nobody = np.full((EPISODE, ACTIONS), np.nan, np.float32)
        ends = np.arange(EPISODE) == EPISODE - 1
        replay.add(
            Episode(
                obs={"state": rng.standard_normal((EPISODE + 1, OBSERVATIONS)).astype(np.float32)},
                action=action,
                action_policy=nobody,
                action_operator=nobody,
                reward=-np.ones(EPISODE, np.float32),
                terminated=0 * ends > 0,
                truncated=ends,
                t_ns=np.arange(EPISODE, dtype=np.int64),
                sim_state=None,
                actor=np.full(EPISODE, Actor.POLICY, np.uint8),
                meta=EpisodeMeta(),
            )
        )
    return replay


def table(agent: str, seconds: dict[str, list[float]], updates: int) -> str:
    lines = [
        f"| agent={agent} | updates per second, median (slowest .. fastest round) | times eager |",
        "| --- | ---: | ---: |",
    ]
    for name, rounds in seconds.items():
        rates = sorted(updates / second for second in rounds)
        ratio = median(base / second for base, second in zip(seconds["eager"], rounds, strict=True))
        rate = f"{median(rates):.0f} ({rates[0]:.0f} .. {rates[-1]:.0f})"
        lines.append(f"| {name} | {rate} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
