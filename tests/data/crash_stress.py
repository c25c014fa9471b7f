"""Kills recording processes at random moments and shows that nothing acknowledged is lost.

    python tests/data/crash_stress.py --kills 200 [--collect 50] [--seed 0] [--folder DIR]

Each process first recovers what the one before it left, then records into the same store until it is killed.
--kills: of a process that says on a pipe what is acknowledged: each step, and each committed episode. After
every kill the new episodes are read, checksums verified, and every acknowledged step is looked for.
--collect: of the real `robot-orl collect`, which acknowledges nothing; whatever it left must be what an
undisturbed `collect` records, and in the end it must be all of that.
Processes are forked from one that has imported everything and never touched Zarr, whose threads do not fork.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lives import SPEC, assert_lived, known_before, live, made_life

import envs  # noqa: F401  imported once, for all that are forked
from robot_orl import cli
from robot_orl.data.store import BackgroundWriter, Dataset, SegmentWriter
from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.recovery import pending, recover
from robot_orl.types import Episode

SEEDS = 1000  # of one process
LONGEST_S = 0.7  # until a kill
Tell = Callable[[str], None]
COLLECT = ["collect", "task=fetch_reach", "operator=scripted"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--collect", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to record; a temporary folder by default")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        print(kill_recorders(Path(scratch) / "steps", args.kills, random.Random(args.seed)))
        if args.collect:
            print(kill_collect(Path(scratch), args.collect, random.Random(args.seed + 1)))
    print("nothing that was acknowledged is missing, nothing wrong was read")
    print(f"{time.monotonic() - began:.0f} s")


def kill_recorders(root: Path, kills: int, rng: random.Random) -> str:
    """Returns one line of figures. Raises: SystemExit: something was lost."""
    steps: Counter[int] = Counter()
    committed: set[int] = set()
    seen: set[str] = set()
    left = 0
    for kill in range(kills):
        moment = rng.uniform(0, LONGEST_S), rng.random() < 0.7
        for line in killed_after(*moment, lambda tell, k=kill: record(root, k * SEEDS, tell)):
            kind, seed, count = line.split()
            if kind == "episode":
                committed.add(int(seed))
            steps[int(seed)] = max(steps[int(seed)], int(count))
        answer = in_child(lambda tell, old=frozenset(seen): check(root, steps, committed, old, tell))
        left += sum(line.startswith("left") for line in answer)
        seen |= {line.split()[1] for line in answer if line.startswith("segment")}
    in_child(lambda tell: recover(root) and None)
    *_, figures = in_child(lambda tell: check_all(root, steps, committed, tell))
    return (
        f"{kills} kills; acknowledged: {sum(steps.values())} steps, {len(committed)} committed episodes; "
        f"after a kill {left} journals held steps; {figures}"
    )


def record(root: Path, seed: int, tell: Tell) -> None:
    """Recover, then record episodes without end; every third is not waited for."""
    recover(root)
    buffer, pause = EpisodeBuffer(SPEC, 30), random.Random(seed)
    with BackgroundWriter(SegmentWriter(root, SPEC, "stress"), Journals(root, SPEC, "stress")) as writer:
        unknown: list[tuple[int, int]] = []  # queued, not known to be committed
        while True:
            journal = writer.begin(known_before(made_life(seed)[0].meta))
            assert journal is not None
            episode = live(
                buffer,
                journal,
                seed,
                after_step=lambda n, now=seed: tell(f"step {now} {n}"),
                pause_s=pause.choice([0, 1e-4, 1e-3, 1e-2]),
            )
            assert episode is not None
            writer.append(episode)
            unknown.append((seed, len(episode)))
            if seed % 3:
                writer.flush()
                for done, length in unknown:
                    tell(f"episode {done} {length}")
                unknown.clear()
            seed += 1


def check(root: Path, steps: Counter[int], committed: set[int], seen: frozenset[str], tell: Tell) -> None:
    """After a kill: what is new is intact, and what was acknowledged is committed or in a journal."""
    if not (root / "dataset.json").exists():
        assert not steps, "steps were acknowledged, and there is no dataset"
        return
    dataset = Dataset.open(root, allow_empty=True)
    new = [record for record in dataset.records if record.segment not in seen]
    for record in new:
        assert record.meta.seed is not None
        assert_lived(dataset.load(record, verify=True), record.meta.seed)
    stored = {record.meta.seed: record.length for record in dataset.records}
    waiting = {found.seed: found.steps for found in pending(root) if found.state == "recovered"}
    missing = committed - stored.keys()
    assert not missing, f"committed episodes are missing: {sorted(missing)}"
    for seed, count in steps.items():
        found = max(stored.get(seed, 0), waiting.get(seed, 0))
        assert found >= count, f"episode {seed}: {count} steps were acknowledged, {found} are there"
    assert not [found for found in pending(root) if found.problem]
    for name in {record.segment for record in new}:
        tell(f"segment {name}")
    for seed in waiting:
        tell(f"left {seed}")


def check_all(root: Path, steps: Counter[int], committed: set[int], tell: Tell) -> None:
    """In the end: every episode, bit for bit, once."""
    check(root, steps, committed, frozenset(), lambda line: None)
    assert not pending(root)
    records = Dataset.open(root).records
    for name in ("seed", "uid"):
        values = [record.meta.seed if name == "seed" else record.uid for record in records]
        assert len(set(values)) == len(values), f"two episodes of the same {name}"
    reasons = Counter(record.meta.end_reason for record in records)
    recovered = sum("recovered" in record.segment for record in records)
    tell(
        f"stored: {len(records)} episodes of {sum(r.length for r in records)} steps, {recovered} of them "
        f"recovered ({reasons['crash']} cut off by a kill), all equal bit for bit to what was recorded"
    )


def kill_collect(scratch: Path, kills: int, rng: random.Random) -> str:
    """As `kill_recorders`, with the real command."""
    root, reference = scratch / "collect", scratch / "reference"
    for _ in range(kills):
        command = [*COLLECT, "episodes=100000", f"out={root}"]
        killed_after(rng.uniform(0, 4 * LONGEST_S), False, lambda tell, words=command: cli.main(words))
        in_child(lambda tell: check_intact(root))
    whole = int(in_child(lambda tell: tell(str(whole_episodes(root))))[0])
    for folder in (root, reference):  # by the installed program, once more than there are
        words = [
            str(Path(sys.executable).with_name("robot-orl")),
            *COLLECT,
            f"episodes={whole + 1}",
            f"out={folder}",
        ]
        subprocess.run(words, check=True, capture_output=True)
    figures = in_child(lambda tell: tell(compare(root, reference)))[0]
    return f"{kills} kills of `robot-orl {' '.join(COLLECT)}`; {figures}"


def check_intact(root: Path) -> None:
    if (root / "dataset.json").exists():
        for _ in Dataset.open(root, allow_empty=True).load_all(verify=True):
            pass
        assert not [found for found in pending(root) if found.problem]


def whole_episodes(root: Path) -> int:
    records = Dataset.open(root, allow_empty=True).records if (root / "dataset.json").exists() else []
    return sum(record.meta.end_reason != "crash" for record in records)


def compare(root: Path, reference: Path) -> str:
    """Every episode is that of the undisturbed recording, or its beginning."""
    expected = {episode.meta.seed: episode for episode in Dataset.open(reference).load_all()}
    lengths = {True: [0], False: [0]}
    for episode in Dataset.open(root).load_all(verify=True):
        is_whole = episode.meta.end_reason != "crash"
        lengths[is_whole].append(len(episode))
        same_beginning(episode, expected[episode.meta.seed])
        assert is_whole == (len(episode) == len(expected[episode.meta.seed]))
    assert len(lengths[True]) - 1 == len(expected), "an episode is missing or twice there"
    return (
        f"{len(expected)} whole episodes equal those of an undisturbed recording, so do the "
        f"{sum(lengths[False])} steps of {len(lengths[False]) - 1} that were cut off"
    )


def same_beginning(found: Episode, whole: Episode) -> None:
    names = ("action", "action_operator", "reward", "terminated", "t_ns", "actor", "sim_state")
    pairs = [(getattr(found, name), getattr(whole, name)) for name in names]
    for left, right in [*pairs, *((found.obs[key], whole.obs[key]) for key in whole.obs)]:
        assert left.tobytes() == right[: len(left)].tobytes()
    assert found.truncated.tolist() == [False] * (len(found) - 1) + [True]
    assert (found.meta.seed, found.meta.quality) == (whole.meta.seed, whole.meta.quality)


def killed_after(seconds: float, of_first_line: bool, work: Callable[[Tell], Any]) -> list[str]:
    """Fork and kill, so long after the start or the first line; returns the lines that it told."""
    child, pipe = forked(work)
    first = pipe.readline() if of_first_line else ""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    lines = (first + pipe.read()).splitlines(keepends=True)
    pipe.close()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise SystemExit(f"the recording process ended by itself: status {status}")
    return [line.strip() for line in lines if line.endswith("\n")]


def in_child(work: Callable[[Tell], Any]) -> list[str]:
    """Run in a fork; returns the lines that it told. Raises: SystemExit: it failed."""
    child, pipe = forked(work)
    lines = pipe.read().splitlines()
    pipe.close()
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("failed: see above")
    return lines


def forked(work: Callable[[Tell], Any]) -> tuple[int, Any]:
    """The process and what it tells."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
        try:
            work(lambda line: os.write(theirs, f"{line}\n".encode()) and None)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(theirs)
    return child, os.fdopen(ours)


if __name__ == "__main__":
    main()
