"""kill -9 at any moment, and readers beside a writer: what was acknowledged is there, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from made_episodes import assert_same_bits, made_episode

from robot_orl.data.store import Dataset
from robot_orl.errors import DataError

PROGRAM = Path(__file__).with_name("recorder_process.py")

pytestmark = pytest.mark.e2e


@contextmanager
def recorder(root: Path, first_seed: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(PROGRAM), "append", str(root), str(first_seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def acknowledged(process: "subprocess.Popen[str]", count: int | None = None) -> dict[int, int]:
    """Seed and length of the next `count` episodes that were acknowledged; of all that remain if None."""
    assert process.stdout is not None
    lines = process.stdout if count is None else [process.stdout.readline() for _ in range(count)]
    return {int(seed): int(length) for seed, length in (line.split() for line in lines)}


def test_no_acknowledged_episode_is_lost_to_kills_at_random_moments(tmp_path: Path) -> None:
    root, rng = tmp_path / "set", np.random.default_rng(0)
    promised: dict[int, int] = {}
    for kill in range(8):
        with recorder(root, first_seed=1000 * kill) as process:
            promised |= acknowledged(process, int(rng.integers(1, 6)))
            time.sleep(rng.uniform(0, 0.06))  # into some part of a later append
            os.kill(process.pid, signal.SIGKILL)
            promised |= acknowledged(process)
        found = {episode.meta.seed: episode for episode in Dataset.open(root).load_all()}
        assert promised.keys() <= found.keys()
        assert len(found) <= len(promised) + kill + 1  # at most one each that was not yet acknowledged
        for seed, episode in found.items():
            assert seed is not None
            assert_same_bits(episode, made_episode(seed, promised.get(seed, len(episode))))
    info = Dataset.open(root).info()
    assert (info.segments, info.unsealed, info.writers) == (8, 8, ())


def test_a_kill_between_any_two_files_of_an_append_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "die_at", str(tmp_path), "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *kills, survivor = map(int, done.stdout.split())
    assert kills[-1] >= 4 * 11 - 3  # two files for each of 11 arrays, each opened and renamed
    for at in kills:
        [found] = Dataset.open(tmp_path / str(at)).load_all()
        assert_same_bits(found, made_episode(7, 20))
    first, second = Dataset.open(tmp_path / str(survivor)).load_all()
    assert_same_bits(first, made_episode(7, 20))
    assert_same_bits(second, made_episode(8, 30))


def test_readers_see_whole_episodes_while_another_process_writes(tmp_path: Path) -> None:
    root = tmp_path / "set"
    with recorder(root, first_seed=0) as process:
        promised = acknowledged(process, 1)
        sizes = []
        for _ in range(6):
            dataset = Dataset.open(root)
            assert dataset.info().writers == (f"process {process.pid}",)
            assert dict(dataset.info().rows())["state"] == f"being written by process {process.pid}"
            found = {episode.meta.seed: episode for episode in dataset.load_all()}
            assert promised.keys() <= found.keys()
            for seed, length in promised.items():
                assert_same_bits(found[seed], made_episode(seed, length))
            sizes.append(len(found))
            promised |= acknowledged(process, 3)
        assert sizes == sorted(sizes)
        assert sizes[-1] > sizes[0]
        with pytest.raises(DataError, match=f"is being written by process {process.pid}: wait for it"):
            dataset.delete(dataset.episodes[:1], "too early")
    dataset = Dataset.open(root)
    assert dataset.info().writers == ()  # the kernel dropped the dead writer's lock
    dataset.delete(dataset.episodes[:1], "now")
    assert len(Dataset.open(root).episodes) == len(dataset.records) - 1
