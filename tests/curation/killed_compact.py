"""Compacts in processes that kill themselves just before one of their changes to the file system.

usage: killed_compact.py FOLDER. Each has a dataset FOLDER/<moment>/set of its own. The moments: every 60th
change, 'move<k>': before the k-th segment is moved in or out of the dataset, and 'after<k>': before the
change that follows that. Prints each moment at which one was killed.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from curation_toys import toy_dataset

from robot_orl.curation.compacting import compact
from robot_orl.interrupt import StopFlag

CHANGES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR


def make(root: Path) -> None:
    dataset = toy_dataset(root, [1, 2, 3], [4, 5], [6])
    dataset.delete([record for record in dataset.episodes if record.meta.seed in (2, 4, 5)], "bad")


def compact_and_die(root: Path, moment: str) -> None:
    changes = moves = 0
    moved = ""

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes, moves, moved
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING > 0
        if event not in CHANGES and not writes:
            return
        is_move = event == "os.rename" and Path(str(arguments[0])).parent.name == "segments"
        if moment in (str(changes), f"move{moves}" if is_move else None, moved):
            os.kill(os.getpid(), signal.SIGKILL)
        moved = f"after{moves}" if is_move else ""
        changes, moves = changes + 1, moves + is_move

    sys.addaudithook(count)
    compact(str(root), StopFlag())


def main(folder: Path) -> None:
    make(folder / "model")
    every = [str(change) for change in range(0, 1000, 60)]
    for moment in [f"{when}{k}" for k in range(3) for when in ("move", "after")] + every:
        shutil.copytree(folder / "model", folder / moment / "set")
        child = os.fork()
        if child == 0:
            compact_and_die(folder / moment / "set", moment)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break  # it has fewer changes
        print(moment)
    shutil.rmtree(folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
