"""Compacts in processes that kill themselves just before one of their changes to the file system.

usage: killed_compact.py FOLDER. Each has a dataset FOLDER/<moment>/set of its own. The moments: every 60th
change, 'move<k>': before the k-th segment is moved in or out of the dataset, and 'after<k>': before the
change that follows that. Prints each moment at which one was killed.
"""

import os
import shutil
import sys
from pathlib import Path

from curation_toys import toy_dataset
from dying import die_at

from robot_orl.curation.compacting import compact
from robot_orl.interrupt import StopFlag


def make(root: Path) -> None:
    dataset = toy_dataset(root, [1, 2, 3], [4, 5], [6])
    dataset.delete([record for record in dataset.episodes if record.meta.seed in (2, 4, 5)], "bad")


def compact_and_die(root: Path, moment: str) -> None:
    die_at(moment, lambda source, target: source.parent.name == "segments")
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
