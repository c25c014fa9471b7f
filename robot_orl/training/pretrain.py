"""Offline training: a dataset in, an agent out, with behaviour cloning beside it as the baseline."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium

from robot_orl.agents.base import TensorMetrics, act
from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.seeds import EVALUATION_SEEDS, VALIDATION_SEEDS
from robot_orl.training.evaluate import Act, Evaluation, evaluate
from robot_orl.training.run import EVALUATED, Run, StageClock, finite
from robot_orl.training.state import TrainingState, new_state, unpack
from robot_orl.types import Observation


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
    """What every offline stage of a run shares."""

    run: Run
    env: gymnasium.Env[Any, Any]
    replay: Replay
    fingerprint: str
    seed: int
    cadence: Cadence
    stop: StopFlag


def pretrain(work: Offline, stage: str, agent_config: Any, steps: int) -> Evaluation | None:
    """Train `stage` for `steps` updates, from its checkpoint if there is one.

    Returns the final evaluation, or None if the stage was complete already.
    """
    state = _resume(work, stage, agent_config)
    progress, cadence = state.progress, work.cadence
    measured = work.run.summary.get(stage, {}).get("updates")
    if progress.updates >= steps and measured == progress.updates:
        return None
    progress.target = steps
    clock = StageClock(progress.wall_s)
    work.run.start_log(stage, progress.updates, measures_again=progress.updates >= steps)
    metrics: TensorMetrics = {}
    evaluated = work.run.last_evaluation(stage)

    def save() -> None:
        finite(stage, progress.updates, metrics)
        progress.wall_s = clock()
        work.run.save(stage, state.pack(stage, work.fingerprint))

    def safe_point() -> None:
        if work.stop.requested:
            save()
            work.stop.check(f"{stage} is saved at update {progress.updates}; the same command goes on")

    with Bar(f"{stage}: {agent_config.name}", steps, progress.updates) as bar:
        while progress.updates < steps:
            safe_point()
            if progress.updates // cadence.eval_every > evaluated // cadence.eval_every:
                finite(stage, progress.updates, metrics)
                seeds = VALIDATION_SEEDS[: cadence.eval_episodes]
                curve = evaluate(work.env, policy_of(state), seeds, lambda it: between(it, safe_point))
                evaluated = progress.updates
                log_evaluation(work.run, stage, evaluated, 0, clock(), curve)
                bar.advance(0, note=f"success {curve.success:.0%}")
            metrics = state.agent.update(work.replay.sample(state.agent.sampling, state.rng))
            progress.updates += 1
            bar.advance()
            if progress.updates % cadence.log_every == 0:
                work.run.log(stage, progress.updates, 0, clock(), metrics)
            if progress.updates % cadence.checkpoint_every == 0:
                save()
    save()
    return finish(work.run, work.env, stage, state, clock, cadence.final_episodes, work.stop)


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
    episodes: int,
    stop: StopFlag,
) -> Evaluation:
    """The figures of a finished stage, whose checkpoint is saved, on the evaluation seeds."""
    trained_s = clock()
    with Bar(f"{stage}: evaluation", episodes) as bar:

        def shown(seeds: Sequence[int]) -> Iterator[int]:
            for seed in seeds:
                stop.check(f"{stage} is trained and saved; the same command evaluates it")
                yield seed
                bar.advance()

        result = evaluate(env, policy_of(state), EVALUATION_SEEDS[:episodes], shown)
    step = state.progress.env_steps or state.progress.updates
    log_evaluation(run, stage, step, state.progress.env_steps, trained_s, result)
    run.update_summary(
        {
            stage: result.to_dict()
            | {"env_steps": state.progress.env_steps, "updates": state.progress.updates},
            "wall_s": {stage: round(clock(), 1)},
        }
    )
    return result


def between(seeds: Sequence[int], safe_point: Callable[[], None]) -> Iterator[int]:
    """The seeds, with a safe point before each."""
    for seed in seeds:
        safe_point()
        yield seed


def log_evaluation(
    run: Run, stage: str, step: int, env_steps: int, wall_s: float, result: Evaluation
) -> None:
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
        },
    )


def policy_of(state: TrainingState) -> Act:
    """The deployed policy of an agent as a function of dict observations."""
    module, spec = state.agent.policy(), state.spec

    def choose(obs: Observation) -> Any:
        return act(module, spec.flatten(obs))

    return choose
