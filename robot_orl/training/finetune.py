"""Online finetuning: act, record, learn, with a fixed number of updates per environment step.

Everything changes at the end of an episode only: the episode is committed to the run's own dataset,
then learned from, then the checkpoint is written. So a resumed run repeats at most one episode, with
the same seed, the same noise and the same weights.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from robot_orl.agents.base import Agent, act
from robot_orl.data.layout import DATASET_FILE
from robot_orl.data.mixture import Mixture
from robot_orl.data.reader import Dataset
from robot_orl.data.replay import Replay
from robot_orl.data.writer import SegmentWriter
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.rollout import rollout
from robot_orl.seeds import VALIDATION_SEEDS, finetune_seed
from robot_orl.training.evaluate import Evaluation, evaluate
from robot_orl.training.pretrain import Cadence, finish, log_evaluation, policy_of
from robot_orl.training.run import Run, StageClock
from robot_orl.training.state import Progress, TrainingState, unpack
from robot_orl.types import Actor, Episode, EpisodeMeta, Metrics, Observation, Proposal

STAGE = "online"


@dataclass(frozen=True)
class Recipe:
    """env_steps: total environment steps of the stage.  updates_per_step: gradient updates for each.

    offline_share: of every batch.  noise: standard deviation of the exploration noise on actions in
    [-1, 1].  warmup_steps: environment steps with the policy frozen, before the first update.
    """

    env_steps: int
    updates_per_step: int
    offline_share: float
    noise: float
    warmup_steps: int


@dataclass
class Online:
    """What finetuning works on. agent_config: the run's, with any changed settings."""

    run: Run
    env: gymnasium.Env[Any, Any]
    offline: Replay
    fingerprint: str
    seed: int
    agent_config: Any
    cadence: Cadence
    stop: StopFlag


def finetune(work: Online, recipe: Recipe) -> Evaluation | None:
    """Returns the final evaluation, or None if the stage was complete already."""
    state = _resume(work)
    progress = state.progress
    measured = work.run.summary.get(STAGE, {}).get("env_steps")
    if progress.env_steps >= recipe.env_steps and measured == progress.env_steps:
        return None
    online = _committed(work, progress.episodes)
    mixture = Mixture(work.offline, online, recipe.offline_share)
    clock = StageClock(progress.wall_s)
    work.run.start_log(STAGE, progress.env_steps)
    title = f"online: {state.agent_config.name}"
    with (
        SegmentWriter(work.run.path / "online", state.spec, "finetune") as writer,
        Bar(title, recipe.env_steps, progress.env_steps) as bar,
    ):
        while progress.env_steps < recipe.env_steps:
            work.stop.check(f"online is saved at step {progress.env_steps}; the same command goes on")
            episode = _explore(work, state, recipe.noise)
            writer.append(episode)
            online.add(episode)
            metrics = _learn(state, mixture, recipe, len(episode))
            before = progress.env_steps
            progress.env_steps += len(episode)
            progress.episodes += 1
            bar.advance(min(len(episode), recipe.env_steps - before))
            _report(work, state, clock, before, episode, metrics, recipe.env_steps, bar)
            progress.wall_s = clock()
            work.run.save(STAGE, state.pack(STAGE, work.fingerprint))
    return finish(work.run, work.env, STAGE, state, clock, work.cadence.final_episodes)


def _resume(work: Online) -> TrainingState:
    if work.run.has(STAGE):
        return unpack(work.run.load(STAGE), work.agent_config)
    state = unpack(work.run.load("offline"), work.agent_config)
    state.agent.start_online()
    state.progress = Progress()
    state.rng = np.random.default_rng([work.seed, 1])
    return state


def _committed(work: Online, episodes: int) -> Replay:
    """The online episodes that the checkpoint knows; a later one, of a killed process, is retired.

    It will be collected again under the same seed, and would otherwise count twice.
    """
    replay = Replay(work.offline.spec, work.offline.reward_for)
    folder = work.run.path / "online"
    if not (folder / DATASET_FILE).exists():  # killed before the first episode was committed
        return replay
    dataset = Dataset.open(folder, allow_empty=True)
    beyond = dataset.episodes[episodes:]
    if beyond:
        dataset.delete(beyond, "collected after the last checkpoint; collected again on resume")
    return replay.extend(dataset.load(record) for record in dataset.episodes[:episodes])


def _explore(work: Online, state: TrainingState, noise: float) -> Episode:
    """One episode with the current policy and Gaussian noise."""
    module, spec, rng = state.agent.policy(), state.spec, state.rng

    def choose(obs: Observation) -> Proposal:
        proposed = act(module, spec.flatten(obs))
        noisy = proposed + noise * rng.standard_normal(spec.action_size)
        return Proposal(np.clip(noisy, -1, 1).astype(np.float32), Actor.POLICY, policy=proposed)

    meta = EpisodeMeta(operator="policy", policy_hash=policy_hash(state.agent))
    return rollout(work.env, choose, seed=finetune_seed(work.seed, state.progress.episodes), meta=meta)


def _learn(state: TrainingState, mixture: Mixture, recipe: Recipe, steps: int) -> Metrics:
    metrics: Metrics = {}
    if state.progress.env_steps < recipe.warmup_steps:
        return metrics
    for _ in range(steps * recipe.updates_per_step):
        metrics = state.agent.update(mixture.sample(state.agent.sampling, state.rng))
        state.progress.updates += 1
    return metrics


def _report(
    work: Online,
    state: TrainingState,
    clock: Callable[[], float],
    before: int,
    episode: Episode,
    metrics: Metrics,
    total: int,
    bar: Bar,
) -> None:
    """Log when a multiple of the cadence was passed in the steps since `before`."""
    now, cadence = state.progress.env_steps, work.cadence
    if now // cadence.log_every > before // cadence.log_every:
        episode_metrics = {
            "episode/return": float(episode.reward.sum()),
            "episode/success": float(episode.meta.success),
        }
        work.run.log(STAGE, now, now, clock(), metrics | episode_metrics)
    if now // cadence.eval_every > before // cadence.eval_every and now < total:
        curve = evaluate(work.env, policy_of(state), VALIDATION_SEEDS[: cadence.eval_episodes])
        log_evaluation(work.run, STAGE, now, now, clock(), curve)
        bar.advance(0, note=f"success {curve.success:.0%}")


def policy_hash(agent: Agent) -> str:
    """12 hex digits over the weights of the deployed policy."""
    digest = hashlib.sha256()
    for tensor in agent.policy().state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]
