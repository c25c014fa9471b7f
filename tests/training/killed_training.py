"""Child process: `RUN STAGE BATCHES` trains a stage of a run and kills itself after so many batches."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from training_toys import RECIPE, awac_config, offline, online, random_episodes, reach, watched_replay

from robot_orl.training.finetune import finetune
from robot_orl.training.pretrain import pretrain
from robot_orl.training.runs.run import Run


def main(path: str, stage: str, batches: int) -> None:
    env = reach()
    replay = watched_replay(env, random_episodes(env, 4))

    def before(drawn: int) -> None:
        if drawn == batches:
            os.kill(os.getpid(), signal.SIGKILL)

    replay.before = before
    with Run(Path(path)) as run:
        if stage == "offline":
            pretrain(offline(run, env, replay), stage, awac_config(), 20)
        else:
            finetune(online(run, env, replay), RECIPE)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
