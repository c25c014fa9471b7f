"""How fast a learner gets its batches: ours beside direct Zarr, h5py, Minari, TorchRL and mp4, in one run.

    python benchmarks/dataset.py                     about 5 minutes, 7 GB in a temporary folder
    python benchmarks/dataset.py --quick             seconds: that everything runs, not how fast

Episodes have the shape of FetchPickAndPlace; frames are drawn by its own camera, 96x96. One thread computes;
our frame stream reads with two more. A figure is the median of the repetitions, the range stands beside it.
`cold`: the files were dropped from the page cache (posix_fadvise) before each repetition.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and PyTorch are loaded
os.environ.setdefault("MUJOCO_GL", "egl")

import dataset_made as made
import dataset_peers as peers
import numpy as np
import torch

import envs
from robot_orl.data.sampling.frame_cache import MappedFrames
from robot_orl.data.sampling.frames import FrameStream
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.data.store import Dataset
from robot_orl.tasks import task_env
from robot_orl.types import Array, Episode

BATCH = 256
HINDSIGHT = Sampling(BATCH, n_step=3, hindsight_share=0.8)
BUFFERS = (1024, 4096, 16_384)
Draw = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20_000, help="of 50 steps, without frames")
    parser.add_argument("--films", type=int, default=1000, help="episodes of 50 steps with frames")
    parser.add_argument("--repetitions", type=int, default=5, help="of each measurement")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each repetition at least [s]")
    parser.add_argument("--quick", action="store_true", help="small data, one short repetition")
    parser.add_argument("--json", type=Path, help="write the figures of every repetition here")
    args = parser.parse_args()
    if args.quick:
        args.episodes, args.films, args.repetitions, args.seconds = 40, 6, 1, 0.01
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        table = Table(args.repetitions, args.seconds)
        compare_rows(table, Path(scratch), args.episodes)
        compare_frames(table, Path(scratch), args.films)
        compare_loading(table, Path(scratch), args.episodes)
    if args.json:
        args.json.write_text(
            json.dumps({"arguments": vars(args) | {"json": None}, "rows": table.rows}, indent=1)
        )


def compare_rows(table: Table, folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    dataset = made.write(folder / "rows", made.spec(), made.episodes(count, rng))
    replay = Replay(dataset.spec, task_env(envs.make(made.TASK)).reward_for)
    replay.extend(dataset.load_all(sim_state=False))
    some = made.episodes(min(count, 200), rng)
    online = Replay(dataset.spec, replay.reward_for).extend(some)
    table.section(f"transitions/s, batches of {BATCH} of {len(replay):,}", "bare")
    table.measure("bare index_select", lambda: peers.index_select(replay, BATCH), is_reference=True)
    table.measure("  of s, a, r, s' in one row", lambda: peers.one_row(replay, BATCH))
    table.measure("ours: Replay", lambda: lambda: replay.sample(Sampling(BATCH), rng))
    table.measure("ours: 3-step, 80% hindsight", lambda: lambda: replay.sample(HINDSIGHT, rng))
    mixture = Mixture(replay, online)
    table.measure("ours: half offline, half online", lambda: lambda: mixture.sample(Sampling(BATCH), rng))
    table.measure("  with 3-step, 80% hindsight", lambda: lambda: mixture.sample(HINDSIGHT, rng))
    table.measure("direct Zarr", lambda: peers.zarr_rows(dataset, BATCH, rng))
    table.measure("h5py", lambda: peers.h5py_rows(replay, folder, BATCH, rng))
    table.measure("TorchRL memmap replay", lambda: peers.torchrl_memmap(peers.columns(replay), folder, BATCH))
    found = list(made.episodes(min(count, 1000), rng))
    sampler: list[Any] = []

    def minari() -> Draw:
        sampler.extend(peers.minari_sampler(found, folder, BATCH))
        return sampler[0]

    table.measure("Minari, a transition an episode", minari, per_draw=min(BATCH, len(found)))
    whole = BATCH // made.STEPS * made.STEPS
    table.measure("Minari, whole episodes", lambda: sampler[1], per_draw=whole)


def compare_frames(table: Table, folder: Path, count: int) -> None:
    rng = np.random.default_rng(1)
    films = made.drawn_films(min(max(count // 2, 1), 10), rng)
    shape = made.spec(cameras=True)

    def filmed() -> Iterator[Episode]:
        return made.episodes(count, np.random.default_rng(2), films)

    dataset = made.write(folder / "films", shape, filmed())
    noisy_films = made.with_sensor_noise(films, rng)
    noisy = made.write(folder / "noisy", shape, made.episodes(max(count // 2, 1), rng, noisy_films))
    table.section(f"steps/s with frames of s and s', of {count * made.STEPS:,}", "ours")
    table.passes("ours: FrameStream, cold", dataset, is_reference=True)
    table.passes("  frames with sensor noise, cold", noisy)
    table.passes("  not cold", dataset, is_cold=False)
    cache = folder / "cache"
    started = time.perf_counter()
    mapped = MappedFrames(dataset, cache)
    built_s = time.perf_counter() - started
    table.measure("ours: memory-mapped cache", lambda: drawer(mapped, rng))
    table.measure("  cold", lambda: drawer(MappedFrames(dataset, cache), rng), cold=cache)
    table.section(f"frames/s, of {count * (made.STEPS + 1):,}", "ours")
    table.measure(
        "direct Zarr, random, cold", lambda: peers.zarr_frames(dataset, BATCH, rng), cold=folder / "films"
    )
    hdf5 = folder / "hdf5"
    hdf5.mkdir()
    table.measure("h5py, random, cold", lambda: peers.h5py_frames(filmed(), hdf5, BATCH, rng), cold=hdf5)
    memmap: list[Draw] = []

    def torchrl() -> Draw:
        memmap.append(peers.torchrl_memmap(frames_of(filmed()), folder / "memmap", BATCH))
        return memmap[0]

    table.measure("TorchRL memmap replay", torchrl)
    table.measure("  cold", lambda: memmap[0], cold=folder / "memmap")
    players: list[Draw] = []

    def video() -> Draw:
        players.extend(peers.video_frames(islice(filmed(), 200), folder / "mp4", BATCH // 4, rng))
        return players[0]

    table.measure("mp4 by PyAV, random", video, per_draw=BATCH // 4)
    table.measure("mp4 by PyAV, in order", lambda: players[1], per_draw=BATCH // 4)
    table.section(f"episodes in a batch of {BATCH}, of {count:,}", "uniform")
    table.add("uniform draws", [uniform_episodes(count)], is_reference=True)
    for size in BUFFERS:
        table.add(f"ours: buffer of {size:,} frames", [episodes_met(dataset, size)])
    table.section("seconds", "")
    table.add("building the cache", [built_s])


def compare_loading(table: Table, folder: Path, count: int) -> None:
    root = folder / "rows"
    some = made.write(folder / "some", made.spec(), made.episodes(count // 2, np.random.default_rng(3)))

    def load() -> None:
        dataset = Dataset.open(root)
        replay = Replay(dataset.spec)
        replay.reserve(sum(record.length for record in dataset.episodes), len(dataset.episodes))
        replay.extend(dataset.load_all(sim_state=False))

    table.add(f"loading {count * made.STEPS:,} transitions, verified", table.timed(load))
    table.add("  cold", table.timed(load, cold=root))
    table.add(f"opening {count // 2:,} episodes", table.timed(lambda: Dataset.open(some.path)))
    table.add("  and info", table.timed(lambda: Dataset.open(some.path).info()))


class Table:
    """Measures, prints a row each, and keeps the figures. rows: as they go into the JSON."""

    def __init__(self, repetitions: int, seconds: float) -> None:
        self.rows: list[dict[str, Any]] = []
        self._repetitions = repetitions
        self._seconds = seconds
        self._reference = 1.0
        self._title = self._ratio_to = ""

    def section(self, title: str, ratio_to: str = "") -> None:
        """A group of rows. Ratios are to its own reference or, where it has none, to the last one's."""
        self._title, self._ratio_to = title, ratio_to
        print(f"\n{title:38}{'median':>12}{'lowest':>12}{'highest':>12}{ratio_to and '/ ' + ratio_to:>12}")

    def add(self, name: str, figures: list[float] | None, is_reference: bool = False, note: str = "") -> None:
        """figures: of the repetitions; None: the library is not installed."""
        self.rows.append({"section": self._title, "name": name, "figures": figures, "note": note})
        if figures is None:
            print(f"{name:38}{'not installed':>24}", flush=True)
            return
        median = float(np.median(figures))
        if is_reference:
            self._reference = median
        ratio = f"{median / self._reference:.3g}" if self._ratio_to else ""
        cells = "".join(f"{readable(figure):>12}" for figure in (median, min(figures), max(figures)))
        print(f"{name:38}{cells}{ratio:>12}  {note}".rstrip(), flush=True)

    def measure(
        self,
        name: str,
        make: Callable[[], Draw],
        per_draw: int = BATCH,
        is_reference: bool = False,
        cold: Path | None = None,
    ) -> None:
        """Batches drawn one after the other, items per second. make: what draws one; may import a peer."""
        try:
            draw = make()
        except (ImportError, IndexError):  # or the other half of a peer that is not installed
            self.add(name, None)
            return
        draw()
        rates, before, drawn = [], bytes_from_disk(), 0
        for _ in range(self._repetitions):
            if cold:
                drop(cold)
            started, draws, spent = time.perf_counter(), 0, 0.0
            while spent < self._seconds:
                draw()
                draws += 1
                spent = time.perf_counter() - started
            rates.append(draws * per_draw / spent)
            drawn += draws * per_draw
        note = f"{(bytes_from_disk() - before) / drawn / 1e3:.1f} kB of disk each" if cold else ""
        self.add(name, rates, is_reference, note)

    def passes(self, name: str, dataset: Dataset, is_cold: bool = True, is_reference: bool = False) -> None:
        """Whole passes over a dataset, from the first read to the last batch."""
        root, rates = Path(str(dataset.path)), []
        steps, before = sum(record.length for record in dataset.episodes), bytes_from_disk()
        for seed in range(self._repetitions):
            drop(root) if is_cold else None
            started = time.perf_counter()
            for _ in FrameStream(dataset).batches(BATCH, np.random.default_rng(seed), epochs=1):
                pass
            rates.append(steps / (time.perf_counter() - started))
        read = (bytes_from_disk() - before) / self._repetitions / 1e6
        self.add(name, rates, is_reference, f"{read:.0f} MB of disk a pass" if is_cold else "")

    def timed(self, call: Callable[[], Any], cold: Path | None = None) -> list[float]:
        """Seconds of each call."""
        found = []
        for _ in range(self._repetitions):
            if cold:
                drop(cold)
            started = time.perf_counter()
            call()
            found.append(time.perf_counter() - started)
        return found


def drawer(mapped: MappedFrames, rng: np.random.Generator) -> Draw:
    return lambda: mapped.gather(rng.integers(len(mapped), size=BATCH))


def frames_of(found: Iterator[Episode]) -> dict[str, Array]:
    return {"frames": np.concatenate([one.images[made.CAMERA] for one in found])}


def uniform_episodes(count: int) -> float:
    """Expected number of episodes among BATCH steps drawn from all without replacement."""
    steps = count * made.STEPS
    missed = np.prod([(steps - made.STEPS - i) / (steps - i) for i in range(min(BATCH, steps))])
    return float(count * (1 - max(missed, 0)))


def episodes_met(dataset: Dataset, buffer_frames: int) -> float:
    """Mean number of episodes in the full batches of one pass."""
    batches = FrameStream(dataset, buffer_frames=buffer_frames).batches(
        BATCH, np.random.default_rng(0), epochs=1
    )
    met = [len(np.unique(b.step // made.STEPS)) for b in batches if len(b.step) == BATCH]
    return float(np.mean(met))


def drop(folder: Path) -> None:
    """Take the files below a folder out of the page cache, also where they are memory-mapped."""
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if str(folder) in line:  # a page that is mapped would stay
            first, last = (int(number, 16) for number in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)  # so would what is not yet on the disk
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def bytes_from_disk() -> int:
    """What this process had the disk read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def readable(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    sys.exit(main())
