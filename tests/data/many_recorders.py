"""ROOT FIRST COUNT: append COUNT made episodes, seeds from FIRST on, to the dataset at ROOT."""

import sys

from made_episodes import made_episode, made_spec

from robot_orl.data.store import SegmentWriter

if __name__ == "__main__":
    root, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with SegmentWriter(root, made_spec(), f"recorder-{first}") as writer:
        for seed in range(first, first + count):
            writer.append(made_episode(seed, 5 + seed % 7))
