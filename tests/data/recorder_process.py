"""Processes that record, for tests that kill them.   usage: recorder_process.py append|die_at ROOT SEED

append: episodes without end; prints the seed and length of each once it is committed.
die_at: for n = 0, 3, ... a process of its own kills itself just before the n-th change that its second
append makes to the file system, until an append has fewer; each has a dataset ROOT/<n>. Prints the n.
"""

import os
import signal
import sys
from pathlib import Path

from made_episodes import made_episode, made_spec

from robot_orl.data.store.writer import SegmentWriter

LONG = 3000  # some appends begin a chunk, most rewrite one


def append(root: str, seed: int) -> None:
    with SegmentWriter(root, made_spec(), "killed") as writer:
        while True:
            length = LONG if seed % 3 == 0 else 1 + seed % 40
            writer.append(made_episode(seed, length))
            os.write(1, f"{seed} {length}\n".encode())  # whole or not at all, unlike an unbuffered print
            seed += 1


def die_at(root: str, seed: int) -> None:
    at, was_killed = 0, True
    while was_killed:
        child = os.fork()
        if child == 0:
            _append_and_die(Path(root, str(at)), seed, at)
            os._exit(0)
        was_killed = os.waitpid(child, 0)[1] != 0
        print(at, flush=True)
        at += 3  # not 2: opening and renaming take turns


def _append_and_die(root: Path, seed: int, at: int) -> None:
    changes = 0
    armed = False

    def count_changes(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes
        changes_a_file = event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.truncate") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR) > 0
        )
        if armed and changes_a_file:
            if changes == at:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1

    sys.addaudithook(count_changes)
    writer = SegmentWriter(root, made_spec(), "killed")
    writer.append(made_episode(seed, 20))
    armed = True
    writer.append(made_episode(seed + 1, 30))


if __name__ == "__main__":
    {"append": append, "die_at": die_at}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
