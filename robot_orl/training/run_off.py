"""The best policy of a stage by more than a lucky point of its learning curve.

Of a dozen points of 20 episodes each the highest is partly luck. At the end of a stage the policy kept as the
best and the last one therefore play each other: both on the same validation seeds, five times as many as a
point has and none of them a point's. The winner, of two alike the last, is kept as the best.
"""

from collections.abc import Iterator, Sequence

from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.seeds import VALIDATION_SEEDS
from robot_orl.training.playing.evaluator import Evaluator, Progress
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, unpack

ROUNDS = 5  # run-off episodes of a policy for each of a point's


def run_off(
    run: Run, stage: str, last: TrainingState, point: int, evaluator: Evaluator, stop: StopFlag
) -> None:
    """Nothing to do where the stage has no best policy, or where that is the last.

    last: the state that is saved as the stage's last checkpoint.  point: episodes of a point of the curve.
    Raises: Interrupted: the same figures come out when it is called again.
    """
    found, step = run.best(stage), last.progress.env_steps or last.progress.updates
    if found is None or found[1] == step:
        return
    best, seeds = run.load(stage, "best"), run_off_seeds(point)
    with Bar(f"{stage}: best or last", 2 * len(seeds)) as bar:
        shown = stoppable(stage, bar, stop)
        of_best, of_last = (evaluator(state, seeds, shown) for state in (unpack(best), last))
    if of_best.success > of_last.success:
        run.put_best(stage, best, of_best, found[1])
    else:
        run.put_best(stage, last.pack(stage, best["fingerprint"]), of_last, step)


def run_off_seeds(point: int) -> Sequence[int]:
    """point: episodes of a point of the learning curve, which are on the first validation seeds."""
    return VALIDATION_SEEDS[point : (1 + ROUNDS) * point] or VALIDATION_SEEDS


def stoppable(stage: str, bar: Bar, stop: StopFlag) -> Progress:
    """Shows how far an evaluation after training is, and ends it where that was asked for."""

    def shown(seeds: Sequence[int]) -> Iterator[int]:
        for seed in seeds:
            stop.check(f"{stage} is trained and saved; the same command evaluates it")
            yield seed
            bar.advance()

    return shown
