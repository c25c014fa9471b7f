"""What recording costs a control loop: ours beside RAM only, and h5py and Zarr appending every step.

    python benchmarks/recording.py --seconds 20 --hz 500

All in one run on this machine, each in a loop of its own with steps of FetchPickAndPlace's size, the
simulator's state included; the tick also runs a policy. A loop skips and counts the slots that its work has
run into; the loop that records nothing tells how many the machine itself loses. Between two episodes every
loop may prepare the next one, as a robot is homed then. `deploy` and `collect` wait there for the commit;
'commit during ticks' does not, and shows why they do.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import zarr
from realtime import busy_processes, make_layers, numpy_policy

from robot_orl.data.store import BackgroundWriter, Dataset, SegmentWriter, layout
from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.recovery import recover
from robot_orl.deploy.realtime import realtime_setup
from robot_orl.deploy.recording import SETTLE_S
from robot_orl.deploy.timing import NS_PER_S, RealClock, Ticker, summarise
from robot_orl.types import Actor, Array, EpisodeMeta, Proposal, Signal, Spec

SIM_STATE = 336
STEPS = 50  # of an episode
Between = Callable[[], None]


@dataclass(frozen=True)
class Step:
    """What a control loop has at hand. arrays: by their names in a segment."""

    arrays: Mapping[str, Array]
    obs: Mapping[str, Array]


Record = Callable[[Step], None]
Recording = tuple[Between, Record]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each loop [s]")
    parser.add_argument("--hz", type=float, default=500.0, help="control rate [Hz]")
    parser.add_argument("--load", type=int, default=0, help="busy processes that run beside everything")
    parser.add_argument("--priority", type=int, default=10, help="SCHED_FIFO priority to ask for; 0: none")
    parser.add_argument("--folder", type=Path, help="where to record; a temporary folder by default")
    args = parser.parse_args()
    spec, steps = made_spec(args.hz), made_steps(np.random.default_rng(0))
    loops = {
        "nothing": nothing,
        "RAM only": ram,
        "ours": ours,
        "ours, commit during ticks": ours_never_waiting,
        "h5py, append per step": h5py_append,
        "Zarr, append per step": zarr_append,
    }
    print(
        f"{args.hz:g} Hz, {args.seconds:g} s per loop, {row_bytes(steps[0])} bytes a step; record_step [us]"
    )
    print(f"{'recording':38}" + "".join(f"{c:>10}" for c in ("p50", "p99", "max", "ticks", "late", "ratio")))
    ours_p50 = 0.0
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch, busy_processes(args.load):
        for name, opened in loops.items():
            root = Path(scratch) / name.replace(" ", "_")
            with opened(root, spec) as recording:
                durations, ticks, missed, why = loop(recording, steps, args.hz, args.seconds, args.priority)
            found = summarise(durations / 1e3)
            ours_p50 = found["p50"] if name == "ours" else ours_p50
            ratio = f"{found['p50'] / ours_p50:.1f}x" if ours_p50 else "-"
            cells = [f"{found[column]:.1f}" for column in ("p50", "p99", "max")]
            print(f"{name:38}" + "".join(f"{c:>10}" for c in (*cells, ticks, missed, ratio)), flush=True)
            if name.startswith("ours"):
                print_stored(root, ticks)
    print(f"real-time scheduling: {why}")


def loop(
    recording: Recording, steps: list[Step], hz: float, seconds: float, priority: int
) -> tuple[Array, int, int, str]:
    """Durations of `record` [ns], ticks, slots that were missed, and what scheduling was had."""
    between, record = recording
    policy = numpy_policy(make_layers(np.random.default_rng(1)))
    slots = round(seconds * hz)
    durations = np.zeros(slots, np.int64)
    with realtime_setup(priority or None) as status:
        ticker = Ticker(round(NS_PER_S / hz), RealClock())
        ticks = 0
        while ticks + ticker.missed < slots:
            if ticks % STEPS == 0:
                between()
                ticker.start()
            ticker.wait()
            step = steps[ticks % len(steps)]
            policy(np.concatenate(list(step.obs.values())))  # a tick is not of recording alone
            before = time.perf_counter_ns()
            record(step)
            durations[ticks] = time.perf_counter_ns() - before
            ticks += 1
    gc.collect()
    return durations[:ticks], ticks, ticker.missed, status.scheduling.reason


@contextmanager
def nothing(root: Path, spec: Spec) -> Iterator[Recording]:
    yield no_pause, lambda step: None


@contextmanager
def ram(root: Path, spec: Spec) -> Iterator[Recording]:
    yield into_buffer(spec, None, 0)


@contextmanager
def ours(root: Path, spec: Spec, settle_s: float = SETTLE_S) -> Iterator[Recording]:
    journals = Journals(root, spec, "benchmark")
    with BackgroundWriter(SegmentWriter(root, spec, "benchmark"), journals) as writer:
        yield into_buffer(spec, writer, settle_s)
    if journals.failures:
        raise SystemExit(journals.told())


def ours_never_waiting(root: Path, spec: Spec) -> AbstractContextManager[Recording]:
    return ours(root, spec, settle_s=0)


def into_buffer(spec: Spec, writer: BackgroundWriter | None, settle_s: float) -> Recording:
    """Episodes of up to STEPS steps, with the journal and the commits of `writer`."""
    buffer, meta = EpisodeBuffer(spec, STEPS), EpisodeMeta(operator="benchmark")
    first = made_steps(np.random.default_rng(2), 1)[0]

    def between() -> None:
        if writer and len(buffer):
            writer.append(buffer.finish(meta))
            writer.settle(settle_s)
        journal = writer.begin(meta) if writer else None
        buffer.begin(first.obs, first.arrays["sim/state"], journal=journal)

    def record(step: Step) -> None:
        action = step.arrays["steps/action"]
        proposal = Proposal(action, Actor.POLICY, policy=action)
        state = step.arrays["sim/state"]
        buffer.append(proposal, step.obs, -1.0, False, False, 0, state, action, success=False)

    return between, record


def no_pause() -> None:
    pass


@contextmanager
def h5py_append(root: Path, spec: Spec) -> Iterator[Recording]:
    with h5py.File(root.with_suffix(".h5"), "w") as file:
        arrays = {
            name: file.create_dataset(
                name, (0, *field.row), field.dtype, maxshape=(None, *field.row), chunks=(1024, *field.row)
            )
            for name, field in layout.fields_of(spec, SIM_STATE).items()
        }

        def record(step: Step) -> None:
            for name, array in arrays.items():
                array.resize(len(array) + 1, axis=0)
                array[-1] = step.arrays[name]
            file.flush()  # else a kill loses it, or the whole file

        yield no_pause, record


@contextmanager
def zarr_append(root: Path, spec: Spec) -> Iterator[Recording]:
    group = zarr.create_group(root, zarr_format=3)
    arrays = {
        name: group.create_array(name, shape=(0, *field.row), chunks=(1024, *field.row), dtype=field.dtype)
        for name, field in layout.fields_of(spec, SIM_STATE).items()
    }

    def record(step: Step) -> None:
        for name, array in arrays.items():
            array.append(step.arrays[name][None])

    yield no_pause, record


def made_spec(hz: float) -> Spec:
    sizes = {"observation": 25, "achieved_goal": 3, "desired_goal": 3}
    observation = {key: tuple(Signal(f"{key}{i}") for i in range(size)) for key, size in sizes.items()}
    return Spec("benchmark", observation, tuple(Signal(f"a{i}") for i in range(4)), hz, STEPS)


def made_steps(rng: np.random.Generator, count: int = 4) -> list[Step]:
    """Steps of random numbers by the names of a segment's arrays."""
    fields = layout.fields_of(made_spec(1.0), SIM_STATE)
    found = [
        {n: np.asarray(rng.normal(size=f.row)).astype(f.dtype) for n, f in fields.items()}
        for _ in range(count)
    ]
    keys = made_spec(1.0).observation
    return [Step(arrays, {key: arrays[f"obs/{key}"] for key in keys}) for arrays in found]


def row_bytes(step: Step) -> int:
    return sum(value.nbytes for value in step.arrays.values())


def print_stored(root: Path, ticks: int) -> None:
    """What was recorded is there, whole and intact."""
    steps = sum(len(episode) for episode in Dataset.open(root).load_all(verify=True))
    report = recover(root)
    print(
        f"  committed and verified: {steps} of {ticks} steps; from the last journal: {report.found[0].steps}"
    )


if __name__ == "__main__":
    main()
