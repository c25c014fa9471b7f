"""Repairs in processes that kill themselves just before one of their changes to the file system.

usage: killed_repair.py MODEL FOLDER. Each has a copy FOLDER/<moment> of the damaged dataset MODEL. Moments:
'move<k>', before the k-th file or folder moves in or out of the dataset proper; 'after<k>', before the change
that follows it; and every 70th change. Prints each moment at which one was killed.
"""

import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from dying import die_at

from robot_orl.curation.checking.mending import Mending
from robot_orl.curation.checking.repair import make_plan


def repair_and_die(root: Path, moment: str) -> None:
    plan = make_plan(root)
    held = (root, root / "segments")
    die_at(moment, lambda source, target: source.parent in held or target.parent in held)
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
