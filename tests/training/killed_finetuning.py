"""Child process: `RUN ENVIRONMENTS` finetunes a run, slowly enough to be killed on the way."""

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from training_toys import LONG, SPARSE, online, random_episodes, reach, watched_replay

from robot_orl.training.finetune import finetune
from robot_orl.training.runs.run import Run


def main(path: str, environments: int) -> None:
    env = reach()
    replay = watched_replay(env, random_episodes(env, 4))
    replay.before = lambda drawn: time.sleep(0.002)
    with Run(Path(path)) as run:
        print("begun", flush=True)
        finetune(replace(online(run, env, replay), cadence=SPARSE), replace(LONG, environments=environments))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
