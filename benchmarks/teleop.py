"""Does a session keep its rate while somebody watches? Late ticks with and without a page, and beside viser.

    python benchmarks/teleop.py --viser-python .venv-viser/bin/python --out benchmarks/results/teleop

All in turns in one run, `--rounds` times, of a task with 50 Hz: a recording session of `robot-orl collect` is
held by a page that presses 'start' and holds a key, and its own dataset tells when each action was sent. The
page is

    none       a random operator in real time, without any page
    elsewhere  a client that takes every picture and drives, but draws nothing: the page is on another machine
    here       Chromium on this machine, which draws 3-D on its processors

and viser is shown to the last of these. A tick is late by how much it began after anchor + k * period.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.doctor import host
from robot_orl.deploy.doctor.result import timestamp
from robot_orl.deploy.timing import NS_PER_S, summarise
from robot_orl.tasks import TaskConfig, make_env, spec_of

from teleop_pages import Drawn, Elsewhere  # isort: skip

TASK = "arm_lift"
PAGES = {"elsewhere": Elsewhere, "here": Drawn}
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each session [s]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viser-python", help="interpreter of an environment with viser and mjviser")
    parser.add_argument("--out", type=Path, help="folder for table.md and teleop.json")
    args = parser.parse_args()
    hz = spec_of(make_env(TaskConfig(TASK))).control_hz
    found: dict[str, list[Result]] = {}
    for _ in range(args.rounds):
        for name, ticks_ns in measured(args, hz):
            found.setdefault(name, []).append(lateness(ticks_ns, hz))
    text = table(found, hz)
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "table.md").write_text(text)
        facts = {"when": timestamp(time.time()), "host": host.facts(), "task": TASK, "hz": hz}
        facts |= {"seconds": args.seconds, "loops": found}
        (args.out / "teleop.json").write_text(json.dumps(facts, indent=1) + "\n")


def measured(args: argparse.Namespace, hz: float) -> Iterator[tuple[str, np.ndarray]]:
    """Each loop once: its name, and when its ticks began [ns]."""
    with tempfile.TemporaryDirectory() as scratch:
        yield "ours, no page", alone(Path(scratch) / "alone", args.seconds, hz)
        for where in PAGES:
            yield f"ours, page {where}", session(Path(scratch) / where, args.seconds, where)
        if args.viser_python:
            for where in PAGES:
                yield f"viser, page {where}", viser(Path(scratch), args, hz, where)


def alone(out: Path, seconds: float, hz: float) -> np.ndarray:
    """Episodes of a random operator end at the task's horizon; the first ticks of each are as of any."""
    horizon = spec_of(make_env(TaskConfig(TASK))).horizon
    episodes = max(1, round(seconds * hz / horizon))
    subprocess.run(
        [*collect(out), "operator=random", "realtime=true", f"episodes={episodes}"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return ticks_of(out)


def session(out: Path, seconds: float, where: str) -> np.ndarray:
    words = ["operator=browser", "port=0", f"seconds={seconds}", "countdown_s=0", "stop_at_success=false"]
    with started([*collect(out), *words]) as (process, url), PAGES[where](url) as page:
        page.records()
        process.wait()
    return ticks_of(out)


def viser(scratch: Path, args: argparse.Namespace, hz: float, where: str) -> np.ndarray:
    env = make_env(TaskConfig(TASK))
    model: Any = env.unwrapped.model  # type: ignore[attr-defined]
    mujoco.mj_saveModel(model, str(scratch / "model.mjb"))
    substeps = round(1 / hz / model.opt.timestep)
    script = Path(__file__).parent / "peers" / "viser_loop.py"
    words = ["--hz", str(hz), "--seconds", str(args.seconds), "--substeps", str(substeps)]
    command = [args.viser_python, str(script), str(scratch / "model.mjb"), *words]
    with started(command) as (process, url), PAGES[where](url) as page:
        page.watches()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        lines = process.stdout.read().splitlines()
    said = next(line for line in lines if line.startswith(b"ticks "))
    return np.array(json.loads(said.removeprefix(b"ticks ")))


def collect(out: Path) -> list[str]:
    return [sys.executable, "-m", "robot_orl.cli", "collect", f"task={TASK}", f"out={out}"]


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process, and the page that it says it serves."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            yield process, _address(process)
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    stream = process.stdout if "collect" in process.args else process.stderr
    while line := stream.readline().decode():
        if address := re.search(r" at (http\S+)", line):
            return address[1]
    raise SystemExit(f"no page: {process.args}")


def ticks_of(out: Path) -> np.ndarray:
    """Of all episodes in turn [ns], each from its own start."""
    dataset = Dataset.open(out)
    return np.concatenate([dataset.load(record).t_ns for record in dataset.episodes])


def lateness(ticks_ns: np.ndarray, hz: float) -> Result:
    """[us]; and the share of the rate that was reached."""
    period_ns = NS_PER_S / hz
    late = ticks_ns - np.floor(ticks_ns / period_ns + 1e-6) * period_ns
    gaps = np.diff(ticks_ns)
    gaps = gaps[gaps > 0]  # between two episodes it goes back
    return {
        "late_us": summarise(late / 1e3),
        "rate_hz": float(NS_PER_S / gaps.mean()),
        "ticks": len(ticks_ns),
    }


def table(found: dict[str, list[Result]], hz: float) -> str:
    """The median round of each figure."""
    rows = [
        f"| {TASK}, {hz:g} Hz | rate [Hz] | late p50 [ms] | p99 [ms] | max [ms] |",
        "| --- |" + " ---: |" * 4,
    ]
    for name, rounds in found.items():
        late = [np.median([r["late_us"][q] for r in rounds]) / 1e3 for q in ("p50", "p99", "max")]
        rate = np.median([r["rate_hz"] for r in rounds])
        rows.append(f"| {name} | {rate:.2f} | " + " | ".join(f"{x:.2f}" for x in late) + " |")
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return "\n".join([*rows, "", f"Median of {len(next(iter(found.values())))} rounds; load {load}."]) + "\n"


if __name__ == "__main__":
    assert shutil.which("chromium"), "needs chromium"
    main()
