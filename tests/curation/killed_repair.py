"""Repairs in processes that kill themselves just before one of their changes to the file system.

usage: killed_repair.py MODEL FOLDER. Each has a copy FOLDER/<moment> of the damaged dataset MODEL. Moments:
'move<k>', before the k-th file or folder moves in or out of the dataset proper; 'after<k>', before the change
that follows it; and every 70th change. Prints each moment at which one was killed.
"""

import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from robot_orl.curation.checking.mending import Mending
from robot_orl.curation.checking.repair import make_plan

CHANGES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR


def repair_and_die(root: Path, moment: str) -> None:
    plan = make_plan(root)
    changes = moves = 0
    moved = ""

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes, moves, moved
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING > 0
        if event not in CHANGES and not writes:
            return
        ends = [Path(str(end)) for end in arguments[:2]] if event == "os.rename" else []
        is_move = any(end.parent in (root, root / "segments") for end in ends)
        if moment in (str(changes), f"move{moves}" if is_move else None, moved):
            os.kill(os.getpid(), signal.SIGKILL)
        moved = f"after{moves}" if is_move else ""
        changes, moves = changes + 1, moves + is_move

    sys.addaudithook(count)
    Mending(plan, datetime.now(UTC)).run()


def was_killed(model: Path, root: Path, moment: str) -> bool:
    shutil.copytree(model, root)
    child = os.fork()
    if child == 0:
        repair_and_die(root, moment)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def main(model: Path, folder: Path) -> None:
    for kind, step in (("move", 1), ("after", 1), ("", 70)):
        number = 0
        while was_killed(model, folder / f"{kind}{number}", f"{kind}{number}"):
            print(f"{kind}{number}", flush=True)
            number += step


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
