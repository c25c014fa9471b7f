"""Our control loop against the sleeping loop of common stacks, and four ways to run a policy.

    python benchmarks/realtime.py --seconds 60 --hz 500 --out benchmarks/results/realtime

All with one policy (2 layers of 256) in one run on this machine, with a busy process on each processor. The
sleeping loop is `time.sleep(dt - elapsed)`. Ours runs as `robot-orl deploy` does, recording included.
A period error is |time between two ticks - period|; drift is how far the last tick was from
anchor + k * period.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.doctor import host
from robot_orl.deploy.doctor.example_policy import Layers, random_layers
from robot_orl.deploy.doctor.measure import busy_processes, measure_stalls
from robot_orl.deploy.doctor.processes import busy_shares, processes
from robot_orl.deploy.doctor.result import timestamp
from robot_orl.deploy.realtime import realtime_setup
from robot_orl.deploy.timing import (
    NS_PER_S,
    SPIN_NS,
    RealClock,
    SpinningClock,
    Ticker,
    control_clock,
    summarise,
)

from realtime_inference import InItsProcess, calls_in_a_row, calls_in_ticks, policies  # isort: skip
from realtime_loops import make_bundle, our_loop, our_processes, sleeping_loop  # isort: skip

COLUMNS = ("p50", "p99", "p99.9", "max")
SPINS_US = (0, 50, 100, 200, 400)
ROUNDS = 20
IN_ITS_PROCESS = "ONNX Runtime in the policy's process (as deployed)"
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each loop [s]")
    parser.add_argument("--hz", type=float, default=500.0, help="control rate [Hz]")
    parser.add_argument("--load", type=int, default=host.processors(), help="busy processes beside it all")
    parser.add_argument("--priority", type=int, default=20, help="SCHED_FIFO priority to ask for")
    parser.add_argument("--cpu", type=int, default=None, help="processor of the pinned loop; the first")
    parser.add_argument("--calls", type=int, default=4000, help="of each way to run the policy")
    parser.add_argument("--taste", type=float, default=3.0, help="least duration of small measurements [s]")
    parser.add_argument("--out", type=Path, help="folder for table.md and realtime.json")
    args = parser.parse_args()
    found: Result = {"when": timestamp(time.time()), "host": host.facts(), "nice": os.nice(0)}
    found |= {name: getattr(args, name) for name in ("seconds", "hz", "load", "priority")}
    layers = random_layers(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as scratch, busy_processes(args.load) as children:
        bundle = make_bundle(Path(scratch) / "bundle", layers, args.hz, 2 * round(args.seconds * args.hz))
        with beside(found, [os.getpid(), *children]):
            found["stalls"] = stalls(args)
            found["spins"] = compare_spins(args)
            found["loops"] = compare_loops(bundle, args, Path(scratch))
            found["inference"] = compare_inference(bundle, layers, args)
    text = tables(found)
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "table.md").write_text(text)
        (args.out / "realtime.json").write_text(json.dumps(found, indent=1) + "\n")


@contextmanager
def beside(found: Result, own: list[int]) -> Iterator[None]:
    """Notes who else was busy meanwhile, as a share of one processor."""
    before, begin = processes(), time.monotonic()
    yield
    shares = busy_shares(before, processes(), time.monotonic() - begin, own)
    found["beside"] = [{"name": p.name, "share": round(share, 3)} for p, share in shares[:8] if share > 0.01]


def stalls(args: argparse.Namespace) -> Result:
    """What the machine itself takes: no loop can be better."""
    with realtime_setup(args.priority or None):
        return measure_stalls(max(args.taste, args.seconds / 4), RealClock())


def compare_spins(args: argparse.Namespace) -> list[Result]:
    """How late the ticks of an empty real-time loop come that is awake so long before them; in turns."""
    period_ns = round(NS_PER_S / args.hz)
    late: dict[int, list[int]] = {spin: [] for spin in SPINS_US}
    used_ns = dict.fromkeys(SPINS_US, 0)
    ticks = max(1, round(max(args.taste, args.seconds / 4) / ROUNDS * args.hz))
    with realtime_setup(args.priority or None):
        for _ in range(ROUNDS):
            for spin_us in SPINS_US:
                plain = RealClock()
                clock = SpinningClock(plain, spin_us * 1000) if spin_us else plain
                ticker = Ticker(period_ns, clock)
                begin_ns = time.thread_time_ns()
                deadline_ns = ticker.start()
                for _ in range(ticks):
                    missed = ticker.missed
                    woken_ns = ticker.wait()
                    deadline_ns += (1 + ticker.missed - missed) * period_ns
                    late[spin_us].append(woken_ns - deadline_ns)
                used_ns[spin_us] += time.thread_time_ns() - begin_ns
    return [
        {
            "spin_us": spin,
            "late_us": summarise(np.array(late[spin]) / 1e3),
            "processor": used_ns[spin] / (len(late[spin]) * period_ns),
        }
        for spin in SPINS_US
    ]


def compare_loops(bundle: Bundle, args: argparse.Namespace, scratch: Path) -> list[Result]:
    seconds, priority = args.seconds, args.priority or None
    cpu = args.cpu if args.cpu is not None else min(os.sched_getaffinity(0))

    def ours(name: str, priority: int | None, spin_ns: int, cpu: int | None = None) -> Result:
        folder = scratch / name.replace(" ", "-")
        return {"name": name, **our_loop(bundle, seconds, priority, spin_ns, cpu, folder)}

    return [
        {"name": "time.sleep(dt - elapsed)", **sleeping_loop(bundle, seconds, None)},
        {"name": "the same, real-time scheduling", **sleeping_loop(bundle, seconds, priority)},
        ours("ours in one process, ordinary scheduling", None, 0),
        ours("ours in one process, real-time", priority, 0),
        ours("the same, spin tail", priority, SPIN_NS),
        ours(f"the same, spin tail, on processor {cpu} alone", priority, SPIN_NS, cpu),
        {
            "name": "ours as deployed: three processes, real-time, spin tail",
            **our_processes(bundle, seconds, priority, SPIN_NS, scratch / "processes"),
        },
    ]


def compare_inference(bundle: Bundle, layers: Layers, args: argparse.Namespace) -> list[Result]:
    """In turns, so that whatever disturbs this machine disturbs all of them."""
    runtimes = policies(bundle, layers)
    obs = np.random.default_rng(1).normal(size=layers[0][0].shape[0]).astype(np.float32)
    row: dict[str, list[int]] = {name: [] for name in runtimes}
    ticks: dict[str, list[int]] = {name: [] for name in runtimes}
    ticks[IN_ITS_PROCESS] = []
    period_ns = round(NS_PER_S / args.hz)
    deployed = InItsProcess(bundle, args.priority or None)
    with closing(deployed), realtime_setup(args.priority or None) as status:
        clock = control_clock(status.scheduling.obtained)
        for _ in range(ROUNDS):
            for name, policy in runtimes.items():
                row[name] += calls_in_a_row(policy, obs, args.calls // ROUNDS)
            for name, policy in runtimes.items():
                ticks[name] += calls_in_ticks(policy, obs, args.calls // ROUNDS, period_ns, clock)
            ticks[IN_ITS_PROCESS] += deployed.calls(obs, args.calls // ROUNDS, period_ns, clock)
    both = {"in_a_row_us": row, "once_per_tick_us": ticks}
    return [
        {"name": name} | {key: summarise(np.array(of[name]) / 1e3) for key, of in both.items() if name in of}
        for name in ticks
    ]


def tables(found: Result) -> str:
    """All of it in Markdown."""
    stalls, known = found["stalls"], found["host"]
    others = ", ".join(f"{other['name']} {other['share']:.0%}" for other in found["beside"]) or "nothing else"
    kind = "a virtual machine, " if known["is_virtual"] else ""
    lines = [
        f"{known['cpu']}, {known['cpus']} processors, {kind}{known['kernel']}; {found['load']} busy "
        f"processes of this benchmark's own, all at nice {found['nice']}. Beside it ran, in shares of a "
        f"processor: {others}.",
        "",
        f"The machine itself: {stalls['count']} stalls of 50 us and more in {stalls['watched_s']:.1f} s that "
        f"a real-time thread was awake, the longest {stalls['longest_us']:.0f} us.",
        "",
        f"| loop at {found['hz']:g} Hz, {found['seconds']:g} s each | period error p50 | p99 | p99.9 "
        "| max [us] | ticks | slots missed | drift [us] | collections, longest [us] |",
        "| --- |" + " ---: |" * 8,
        *map(_loop_row, found["loops"]),
        "",
        f"| awake before a tick at {found['hz']:g} Hz | late p50 | p99 | p99.9 | max [us] | ticks "
        "| processor |",
        "| --- |" + " ---: |" * 6,
        *(
            f"| {row['spin_us']} us | {_cells(row['late_us'])} | {row['late_us']['count']:,} "
            f"| {row['processor']:.1%} |"
            for row in found["spins"]
        ),
    ]
    eager = found["inference"][0]
    for key, title in (
        ("in_a_row_us", "calls in a row"),
        ("once_per_tick_us", f"a call per tick at {found['hz']:g} Hz"),
    ):
        lines += [
            "",
            f"| inference, 2 x 256, one thread, {title} | p50 | p99 | p99.9 | max [us] | calls "
            "| times eager, p50 | p99 |",
            "| --- |" + " ---: |" * 7,
        ]
        for row in (row for row in found["inference"] if key in row):
            faster = [f"{eager[key][q] / row[key][q]:.1f}" for q in ("p50", "p99")]
            lines.append(
                f"| {row['name']} | {_cells(row[key])} | {row[key]['count']:,} | {' | '.join(faster)} |"
            )
    return "\n".join(lines) + "\n"


def _loop_row(row: Result) -> str:
    missed = "-" if row["missed"] is None else f"{row['missed']:,}"
    gc = row["collections"]
    return (
        f"| {row['name']} | {_cells(row['period_error_us'])} | {row['ticks']:,} | {missed} "
        f"| {row['drift_us']:,.0f} | {gc['count']}, {gc['longest_us']:,.0f} |"
    )


def _cells(summary: Result) -> str:
    return " | ".join(f"{summary[column]:,.1f}" for column in COLUMNS)


if __name__ == "__main__":
    main()
