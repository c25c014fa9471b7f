"""Offline training: a dataset in, an agent out, with behaviour cloning beside it as the baseline."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium

from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.seeds import EVALUATION_SEEDS, VALIDATION_SEEDS
from robot_orl.training.checks.diagnosis import diagnose
from robot_orl.training.checks.watch import Watch
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.playing.evaluator import Evaluator
from robot_orl.training.run_off import run_off, stoppable
from robot_orl.training.runs.run import EVALUATED, Run, StageClock
from robot_orl.training.speed import Speed
from robot_orl.training.state import Progress, TrainingState, new_state, unpack
from robot_orl.types import Metrics


@dataclass(frozen=True)
class Cadence:
    """How often to look, in updates (pretraining) or environment steps (finetuning)."""

    log_every: int
    eval_every: int
    eval_episodes: int
    checkpoint_every: int
    final_episodes: int


@dataclass
class Offline:
    """What every offline stage of a run shares.

    workers: processes that evaluate, see `Evaluator`.  keep_every: updates between two checkpoints that
    are kept for good; None: none is.  speed: how updates are computed.
    """

    run: Run
    env: gymnasium.Env[Any, Any]
    replay: Replay
    fingerprint: str
    seed: int
    cadence: Cadence
    stop: StopFlag
    workers: int | None = None
    keep_every: int | None = None
    speed: Speed = field(default_factory=Speed)


def pretrain(
    work: Offline, stage: str, agent_config: Any, steps: int, stop_at_success: float | None = None
) -> Evaluation | None:
    """Train `stage` for `steps` updates, from its checkpoint if there is one.

    stop_at_success: a point of the learning curve whose lower 95% bound reaches it ends the stage.
    Returns the final evaluation, or None if the stage was complete already.
    """
    state = _resume(work, stage, agent_config)
    progress, cadence = state.progress, work.cadence
    is_trained = is_trained_for(progress, steps, stop_at_success)
    if is_trained and work.run.summary.get(stage, {}).get("updates") == progress.updates:
        return None
    state.agent.use(work.speed.compute(steps))
    with Evaluator(work.run, work.env, work.workers) as evaluator:
        training = _Training(work, stage, state, evaluator, steps, stop_at_success)
        work.run.start_log(stage, progress.updates, measures_again=is_trained)
        training.evaluated = work.run.last_evaluation(stage)
        training.aim()
        if training.is_kept():
            work.run.keep(stage, progress.updates)  # killed between the save and this
        with Bar(f"{stage}: {agent_config.name}", steps, progress.updates) as bar:
            while True:
                training.safe_point()
                if training.is_point_due():
                    bar.advance(0, note=f"success {training.measure():.0%}")
                if is_trained_for(progress, steps, stop_at_success):
                    break
                batch = work.replay.sample(state.agent.sampling, state.rng)
                metrics = state.agent.update(batch)
                progress.updates, progress.reached = progress.updates + 1, None
                training.watch.saw(progress.updates, batch, metrics)
                bar.advance()
                if progress.updates % cadence.log_every == 0:
                    training.watch.check()
                    work.run.log(stage, progress.updates, 0, training.clock(), metrics)
                if progress.updates % cadence.checkpoint_every == 0 or training.is_kept():
                    training.save()
        training.save()
        training.measure_last()
        found = diagnose(work.run, stage, state, work.replay)
        return finish(work.run, work.env, stage, state, training.clock, cadence, work.stop, evaluator, found)


def is_trained_for(progress: Progress, steps: int, stop_at_success: float | None) -> bool:
    """Whether an offline stage has all the updates that it was asked for, or need not have them."""
    return progress.updates >= steps or is_ended_by(progress.reached, stop_at_success)


def is_ended_by(bound: float | None, stop_at_success: float | None) -> bool:
    """bound: lower one of a success, as in `Progress.reached`."""
    return bound is not None and stop_at_success is not None and bound >= stop_at_success


class _Training:
    """A stage under way: its saves and the points of its learning curve."""

    def __init__(
        self,
        work: Offline,
        stage: str,
        state: TrainingState,
        evaluator: Evaluator,
        steps: int,
        stop_at_success: float | None,
    ) -> None:
        self._work, self._stage, self._state, self._evaluator = work, stage, state, evaluator
        self._steps, self._stop_at_success = steps, stop_at_success
        self.clock = StageClock(state.progress.wall_s)
        self.watch = Watch(work.run, stage, state, [work.replay])
        self.evaluated = 0  # the update of the last point
        self._saved: Progress | None = None

    def save(self) -> None:
        """Write the checkpoint, unless that of just this point is written."""
        progress, run = self._state.progress, self._work.run
        self.watch.check_weights()
        if self._saved is None or replace(self._saved, wall_s=progress.wall_s) != progress:
            progress.wall_s = self.clock()
            run.save(self._stage, self._pack())
            self._saved = replace(progress)
        if self.is_kept():
            run.keep(self._stage, progress.updates)

    def is_kept(self) -> bool:
        """Whether the checkpoint of this update is to be kept for good."""
        every, updates = self._work.keep_every, self._state.progress.updates
        return every is not None and updates > 0 and updates % every == 0

    def safe_point(self) -> None:
        """Raises: Interrupted: saved, because that was asked for."""
        stop, updates = self._work.stop, self._state.progress.updates
        if stop.requested:
            self.save()
            stop.check(f"{self._stage} is saved at update {updates}; the same command goes on")

    def aim(self) -> None:
        """At so many updates as were asked for, or just those that there are if success ends it here."""
        progress = self._state.progress
        if not is_ended_by(progress.reached, self._stop_at_success):
            progress.reached = None
        progress.target = self._steps if progress.reached is None else progress.updates

    def is_point_due(self) -> bool:
        """A stage's last point is measured by its final evaluation, unless success ended it."""
        every, updates = self._work.cadence.eval_every, self._state.progress.updates
        return updates < self._steps and updates // every > self.evaluated // every

    def measure(self) -> float:
        """A point of the learning curve, logged when all that follows from it is saved: a kill repeats it."""
        progress, point = self._state.progress, self._validate()
        progress.reached = point.wilson95[0]
        self.aim()
        self._work.run.save_best(self._stage, self._pack(), point, progress.updates)
        if progress.reached is not None:
            self.save()
        self.evaluated = progress.updates
        found = diagnose(self._work.run, self._stage, self._state, self._work.replay)
        log_evaluation(self._work.run, self._stage, progress.updates, 0, self.clock(), point, found)
        return point.success

    def measure_last(self) -> None:
        """The last policy may be the best as well, if there are others to compare it with."""
        updates = self._state.progress.updates
        if self._work.cadence.eval_every <= updates and self.evaluated < updates:
            self._work.run.save_best(self._stage, self._pack(), self._validate(), updates)

    def _validate(self) -> Evaluation:
        self.watch.check_weights()
        seeds = VALIDATION_SEEDS[: self._work.cadence.eval_episodes]
        return self._evaluator(self._state, seeds, lambda items: between(items, self.safe_point))

    def _pack(self) -> dict[str, Any]:
        return self._state.pack(self._stage, self._work.fingerprint)


def _resume(work: Offline, stage: str, agent_config: Any) -> TrainingState:
    if not work.run.has(stage):
        normalizer = Normalizer.fit(features_of(work.replay.observations(), work.replay.spec))
        return new_state(agent_config, work.replay.spec, normalizer, work.seed)
    saved = work.run.load(stage)
    if saved["fingerprint"] != work.fingerprint:
        raise UsageError(
            f"the data changed since run {work.run.path} began; choose another out=, or the same data"
        )
    return unpack(saved)


def finish(
    run: Run,
    env: gymnasium.Env[Any, Any],
    stage: str,
    state: TrainingState,
    clock: StageClock,
    cadence: Cadence,
    stop: StopFlag,
    evaluator: Evaluator | None = None,
    found: Metrics | None = None,
) -> Evaluation:
    """The best policy of a finished and saved stage, and the last one's figures on the evaluation seeds.

    evaluator: of a stage that has one already.  found: what else is known of the agent, see `diagnose`.
    """
    trained_s, episodes = clock(), cadence.final_episodes
    with Evaluator(run, env) as own:
        evaluator = evaluator or own
        run_off(run, stage, state, cadence.eval_episodes, evaluator, stop)
        with Bar(f"{stage}: evaluation", episodes) as bar:
            shown = stoppable(stage, bar, stop)
            result = evaluator(state, EVALUATION_SEEDS[:episodes], shown)
    step = state.progress.env_steps or state.progress.updates
    log_evaluation(run, stage, step, state.progress.env_steps, trained_s, result, found)
    entry = result.to_dict() | {"env_steps": state.progress.env_steps, "updates": state.progress.updates}
    best = best_of(run, stage)
    run.update_summary(
        {stage: entry, "wall_s": {stage: round(clock(), 1)}} | ({"best": {stage: best}} if best else {})
    )
    return result


def best_of(run: Run, stage: str) -> dict[str, Any]:
    """For the summary: the step of the stage's best policy, and the validation that found it so.

    Empty: there is none. What `evaluate` measured of the same policy stays.
    """
    found = run.best(stage)
    if found is None:
        return {}
    curve, step = found
    before = run.summary.get("best", {}).get(stage, {})
    return (before if before.get("step") == step else {}) | {"step": step, "curve": curve.to_dict()}


def between(seeds: Sequence[int], safe_point: Callable[[], None]) -> Iterator[int]:
    """The seeds, with a safe point before each."""
    for seed in seeds:
        safe_point()
        yield seed


def log_evaluation(
    run: Run,
    stage: str,
    step: int,
    env_steps: int,
    wall_s: float,
    result: Evaluation,
    found: Metrics | None = None,
) -> None:
    """A point of the learning curve. found: what else is known of the agent then, see `diagnose`."""
    low, high = result.wilson95
    run.log(
        stage,
        step,
        env_steps,
        wall_s,
        {
            EVALUATED: result.success,
            "eval/success_any": result.success_any,
            "eval/return": result.episode_return,
            "eval/wilson_low": low,
            "eval/wilson_high": high,
            "eval/episodes": result.episodes,
            **(found or {}),
        },
    )
