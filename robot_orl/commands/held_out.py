"""What a run's policies reach on evaluation seeds that no setting was chosen on: a step of the benchmark.

    python -m robot_orl.commands.held_out RUN EPISODES FILE STAGE ...

writes FILE, JSON by stage. `robot-orl evaluate` plays the first evaluation seeds: those to choose on.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from robot_orl.benchmark.results import HELD_OUT_SEEDS, write_text
from robot_orl.errors import RobotOrlError
from robot_orl.interrupt import StopFlag
from robot_orl.policies import load_policy
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.evaluate import evaluate
from robot_orl.training.runs.run import Run


def main(path: str, episodes: int, file: Path, stages: Sequence[str]) -> None:
    """stages: whose last policies are played. Raises: Interrupted: nothing is written."""
    import envs  # noqa: F401  registers the tasks with Gymnasium

    torch.set_num_threads(1)
    run = Run.open(path)
    env = make_env(run.task)
    found = {}
    with StopFlag() as stop:

        def stoppable(seeds: Sequence[int]) -> Iterator[int]:
            for seed in seeds:
                stop.check("the same command measures again")
                yield seed

        for stage in stages:
            progress = run.load(stage)["progress"]
            policy, _ = load_policy(run.checkpoint_path(stage), spec_of(env))
            result = evaluate(env, policy, HELD_OUT_SEEDS[:episodes], stoppable)
            found[stage] = result.to_dict() | {name: progress[name] for name in ("updates", "env_steps")}
    write_text(file, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    except RobotOrlError as error:
        print(f"robot-orl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
