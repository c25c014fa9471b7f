"""What a run's policies reach on evaluation seeds that no setting was chosen on: a step of the benchmark.

    python -m robot_orl.commands.held_out RUN EPISODES FILE STAGE ...

writes FILE, JSON by stage: the last policy's figures, and as `best` those of the one that the run found best
by validation episodes, where it looked for one. `robot-orl evaluate` plays the first evaluation seeds: those
to choose on.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from robot_orl.benchmark.results import HELD_OUT_SEEDS, write_text
from robot_orl.errors import RobotOrlError
from robot_orl.interrupt import StopFlag
from robot_orl.policies import load_policy
from robot_orl.tasks import make_env, spec_of
from robot_orl.training.evaluate import evaluate
from robot_orl.training.runs.run import Run


def main(path: str, episodes: int, file: Path, stages: Sequence[str]) -> None:
    """stages: whose last and best policies are played. Raises: Interrupted: nothing is written."""
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

        def measured(stage: str, which: str) -> dict[str, Any]:
            progress = run.load(stage, which)["progress"]
            policy, _ = load_policy(run.checkpoint_path(stage, which), spec_of(env))
            result = evaluate(env, policy, HELD_OUT_SEEDS[:episodes], stoppable)
            return result.to_dict() | {name: progress[name] for name in ("updates", "env_steps")}

        for stage in stages:
            found[stage] = measured(stage, "last")
            if (best := run.best(stage)) is not None:
                is_last = best[1] == (found[stage]["env_steps"] or found[stage]["updates"])
                found[stage]["best"] = dict(found[stage]) if is_last else measured(stage, "best")
    write_text(file, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    except RobotOrlError as error:
        print(f"robot-orl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
