"""A million control ticks of the whole stack, faults injected at random, in a time of its own.

    python benchmarks/soak.py --ticks 1000000 --out benchmarks/results/soak

The driver, the maker's SDK, the supervisor and the loop are the real ones; the servos are virtual, moved by
MuJoCo (the model at 400 Hz, the servos' electronics at the servo rate), on a line in memory (robot_orl/
deploy/virtual/memory.py). A random policy moves all joints; runs of some seconds follow each other in one
process, each with one fault of any kind and often short disturbances before it. What is checked:

    every goal on the line     in its range; from the one before no further than the speed limit, or where
                               the joint is (the arm was told to hold); the tool of the goals in its box
    every control tick         joints that servos hold are in their range
    every end of a run         the arm lies in its rest pose, or rests where it is; nothing escaped
    every part                 resident memory, open files and threads

A part is some 10,000 ticks with a seed of its own; parts that are in `soak.json` already are not run again.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from soak_run import World, koch, one_run

PART_TICKS = 10_000
PAGE = os.sysconf("SC_PAGE_SIZE")
BY_HAND = 0.1  # share of runs before which somebody puts the arm into its home pose


@dataclass
class Part:
    """Of one seed. ends: runs by fault and by how they ended.  stop_s: by fault, the longest to a stop."""

    seed: int
    process: int
    ticks: int = 0
    runs: int = 0
    goals: int = 0
    holds: int = 0
    cpu_s: float = 0.0
    virtual_s: float = 0.0
    rss_mb: float = 0.0
    files: int = 0
    threads: int = 0
    ends: dict[str, dict[str, int]] | None = None
    stop_s: dict[str, float] | None = None
    connection: dict[str, int] | None = None
    line: dict[str, int] | None = None
    why: dict[str, int] | None = None
    fastest: list[float] | None = None


def soak(seed: int, ticks: int, servo_hz: float, longest_s: float) -> Part:
    """Raises: Broken: a law does not hold; the line names it. Whatever escaped: it must not."""
    rng = np.random.default_rng(seed)
    world, cfg = World(rng, servo_hz), koch(servo_hz)
    part = Part(seed, os.getpid())
    ends: dict[str, Counter[str]] = {}
    stop_s: dict[str, float] = {}
    connection: Counter[str] = Counter()
    why: Counter[str] = Counter()
    begin_s, start_ns = time.process_time(), world.line.now_ns()
    while part.ticks < ticks:
        by_hand = part.runs == 0 or bool(rng.random() < BY_HAND)
        world.put_right(by_hand)
        ended = one_run(world, cfg, rng, longest_s)
        if ended.how == "refused":  # whoever comes next looks at the arm first
            world.put_right(by_hand=True)
        part.ticks += ended.ticks
        part.runs += 1
        last = ended.faults[-1] if ended.faults else "nothing"
        for kind in {*ended.faults[:-1]} - {last}:
            ends.setdefault(kind, Counter())["went on"] += 1
        ends.setdefault(last, Counter())[ended.how] += 1
        if ended.stop_s is not None:
            stop_s[last] = max(stop_s.get(last, 0.0), ended.stop_s)
        connection += ended.connection
        why[_kind_of(ended.why)] += 1
    gc.collect()
    _give_back()
    part.cpu_s, part.virtual_s = time.process_time() - begin_s, (world.line.now_ns() - start_ns) / 1e9
    part.goals, part.holds = world.goals, world.holds
    part.ends = {kind: dict(found) for kind, found in sorted(ends.items())}
    part.stop_s, part.connection, part.why = stop_s, dict(connection), dict(why)
    part.line, part.fastest = dict(world.noise.counts), world.fastest.round(2).tolist()
    part.rss_mb = round(int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20, 1)
    part.files, part.threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    return part


def _give_back() -> None:
    """What the allocator keeps for later is no leak, and would hide one."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _kind_of(why: str) -> str:
    """The first words of a fault, which name its kind."""
    return why.split(":")[0].split(" (")[0][:40]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first part; each later one takes the next"
    )
    parser.add_argument("--servo-hz", type=float, default=200.0)
    parser.add_argument("--longest", type=float, default=10.0, help="run [s]")
    parser.add_argument("--out", type=Path, help="folder for soak.json and soak.md")
    args = parser.parse_args()
    parts = _done(args.out)
    known = {part.seed for part in parts}
    for seed in range(args.seed, args.seed + -(-args.ticks // PART_TICKS)):
        if seed in known:
            continue
        part = soak(seed, min(PART_TICKS, args.ticks), args.servo_hz, args.longest)
        parts.append(part)
        print(
            f"part {seed}: {part.ticks:,} ticks, {part.runs} runs, {part.rss_mb} MB, {part.cpu_s:.0f} s",
            flush=True,
        )
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            figures = {
                "servo_hz": args.servo_hz,
                "longest_s": args.longest,
                "parts": [asdict(p) for p in parts],
            }
            partial = args.out / "soak.json.partial"
            partial.write_text(json.dumps(figures, indent=1) + "\n")
            partial.replace(args.out / "soak.json")
            (args.out / "soak.md").write_text(table(parts))
    print(table(parts))


def _done(out: Path | None) -> list[Part]:
    file = out / "soak.json" if out is not None else None
    if file is None or not file.exists():
        return []
    return [Part(**row) for row in json.loads(file.read_text())["parts"]]


def table(parts: list[Part]) -> str:
    """Markdown: by kind of fault how the runs ended; then what was counted."""
    ends: dict[str, Counter[str]] = {}
    stop_s: dict[str, float] = {}
    for part in parts:
        for kind, found in (part.ends or {}).items():
            ends.setdefault(kind, Counter()).update(found)
        for kind, seconds in (part.stop_s or {}).items():
            stop_s[kind] = max(stop_s.get(kind, 0.0), seconds)
    columns = ("went on", "parked", "held", "limp", "refused")
    lines = [f"| fault | runs | {' | '.join(columns)} | longest to the stop [s] |", "| --- |" + " ---: |" * 7]
    for kind, found in sorted(ends.items()):
        cells = " | ".join(str(found[column]) for column in columns)
        seconds = f"{stop_s[kind]:.2f}" if kind in stop_s else ""
        lines.append(f"| {kind.replace('_', ' ')} | {sum(found.values())} | {cells} | {seconds} |")
    return "\n".join([*lines, "", *_counted(parts)]) + "\n"


def _counted(parts: list[Part]) -> list[str]:
    total = {
        name: sum(getattr(p, name) for p in parts) for name in ("ticks", "runs", "goals", "holds", "cpu_s")
    }
    connection: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for part in parts:
        connection.update(part.connection or {})
        why.update(part.why or {})
    virtual_h = sum(part.virtual_s for part in parts) / 3600
    lines = [
        f"{total['ticks']:,} control ticks in {total['runs']:,} runs, {virtual_h:.1f} h of the arm's time in "
        f"{total['cpu_s'] / 60:.1f} min of one core; {total['goals']:,} goals checked, "
        f"{total['holds']:,} of them holds.",
        f"Bus: {', '.join(f'{count:,} {name}' for name, count in connection.items())}.",
        f"Ended by: {', '.join(f'{name} {count:,}' for name, count in why.most_common())}.",
    ]
    return [*lines, *_flat(parts)]


def _flat(parts: list[Part]) -> list[str]:
    """Memory, files and threads of the longest process, after a tenth of its parts and at its end."""
    processes: dict[int, list[Part]] = {}
    for part in parts:
        processes.setdefault(part.process, []).append(part)
    longest: list[Any] = max(processes.values(), key=len)
    early, last = longest[len(longest) // 10], longest[-1]
    return [
        f"One process, {sum(p.ticks for p in longest):,} ticks: {early.rss_mb} MB after a tenth of them, "
        f"{last.rss_mb} MB at the end; open files {early.files} and {last.files}; threads "
        f"{early.threads} and {last.threads}."
    ]


if __name__ == "__main__":
    main()
