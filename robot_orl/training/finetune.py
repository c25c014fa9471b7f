"""Online finetuning: act, record, learn, with a fixed number of updates per environment step.

Everything changes at the end of an episode only: the episode is committed to the run's own dataset,
then learned from, then the checkpoint is written. So a resumed run repeats at most one episode, with
the same seed, the same noise and the same weights.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import gymnasium
import numpy as np

from robot_orl.agents.base import Agent, act
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay
from robot_orl.data.store.layout import DATASET_FILE
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.rollout import rollout
from robot_orl.schema import differing
from robot_orl.seeds import VALIDATION_SEEDS, finetune_seed
from robot_orl.training.evaluate import Evaluation, evaluate
from robot_orl.training.pretrain import Cadence, between, finish, log_evaluation, policy_of
from robot_orl.training.run import Run, StageClock, finite
from robot_orl.training.state import Progress, TrainingState, unpack
from robot_orl.types import Actor, Episode, EpisodeMeta, Metrics, Observation, Proposal

STAGE = "online"

# What says nothing about how the agent became what it is.
FREE = {"run", "env_steps", "log_every", "eval_every", "eval_episodes", "final_episodes", "threads"}


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
    """What finetuning works on. agent_config: the run's, with any changed settings.

    asked: what the command was asked for, for the summary.
    """

    run: Run
    env: gymnasium.Env[Any, Any]
    offline: Replay
    fingerprint: str
    seed: int
    agent_config: Any
    cadence: Cadence
    stop: StopFlag
    asked: dict[str, Any] = field(default_factory=dict)


def finetune(work: Online, recipe: Recipe) -> Evaluation | None:
    """Returns the final evaluation, or None if the stage was complete already.

    An unfinished stage goes on with the settings that it began with. A finished one may go on with
    more steps under others, or with other data, such as episodes that it was deployed for meanwhile.
    Raises: UsageError: other settings for an unfinished stage.  DataError: its episodes are lost.
    """
    state, kept = _resume(work, recipe)
    progress = state.progress
    if _is_complete(work, recipe, progress):
        return None
    online = _committed(work, progress.episodes)
    progress.target = recipe.env_steps
    work.run.update_summary({"finetune": work.asked | ({"before": kept["before"]} if kept["before"] else {})})
    mixture = Mixture(work.offline, online, recipe.offline_share)
    clock = StageClock(progress.wall_s)
    work.run.start_log(STAGE, progress.env_steps, measures_again=progress.env_steps >= recipe.env_steps)
    evaluated = work.run.last_evaluation(STAGE)

    def save() -> None:
        progress.wall_s = clock()
        work.run.save(STAGE, state.pack(STAGE, work.fingerprint) | kept)

    if progress.is_finished(STAGE):
        save()  # with the target that it reached, where fewer steps are asked for than before
    title = f"online: {state.agent_config.name}"
    with (
        SegmentWriter(work.run.path / "online", state.spec, "finetune") as writer,
        Bar(title, recipe.env_steps, progress.env_steps) as bar,
    ):
        while progress.env_steps < recipe.env_steps:
            saved = f"online is saved at step {progress.env_steps}; the same command goes on"
            work.stop.check(saved)
            if progress.env_steps // work.cadence.eval_every > evaluated // work.cadence.eval_every:
                evaluated = progress.env_steps
                curve = _measure(work, state, clock, saved)
                bar.advance(0, note=f"success {curve.success:.0%}")
            episode = _explore(work, state, recipe.noise)
            writer.append(episode)
            online.add(episode)
            metrics = _learn(state, mixture, recipe, len(episode))
            finite(STAGE, progress.env_steps + len(episode), metrics)
            before = progress.env_steps
            progress.env_steps += len(episode)
            progress.episodes += 1
            bar.advance(min(len(episode), recipe.env_steps - before))
            if progress.env_steps // work.cadence.log_every > before // work.cadence.log_every:
                _log(work, progress.env_steps, clock(), episode, metrics)
            save()
    return finish(work.run, work.env, STAGE, state, clock, work.cadence.final_episodes, work.stop)


def _resume(work: Online, recipe: Recipe) -> tuple[TrainingState, dict[str, Any]]:
    """The state to go on from, and what its checkpoint keeps besides.

    recipe, asked: of now.  before: see `_history`.  began_from: hash of the offline policy.
    """
    state = unpack(work.run.load("offline"), work.agent_config)
    began_from = policy_hash(state.agent)
    kept = {"recipe": asdict(recipe), "asked": work.asked, "before": [], "began_from": began_from}
    if not work.run.has(STAGE):
        state.agent.start_online()
        state.progress = Progress()
        state.rng = np.random.default_rng([work.seed, 1])
        return state, kept
    saved = work.run.load(STAGE)
    state = unpack(saved, work.agent_config)
    if saved.get("began_from", began_from) != began_from:
        raise DataError(
            f"run {work.run.path} was finetuned from another offline agent than it holds now; pretrain and "
            "finetune with another out="
        )
    goes_on = state.progress.is_finished(STAGE) and recipe.env_steps > state.progress.env_steps
    if not goes_on and not _is_complete(work, recipe, state.progress):
        _require_same(work, recipe, saved)
    return state, kept | {"before": _history(work, saved)}


def _is_complete(work: Online, recipe: Recipe, progress: Progress) -> bool:
    """Trained for as many steps as asked, and measured."""
    measured = work.run.summary.get(STAGE, {}).get("env_steps")
    return progress.env_steps >= recipe.env_steps and measured == progress.env_steps


def _require_same(work: Online, recipe: Recipe, saved: Mapping[str, Any]) -> None:
    """Raises: UsageError: an unfinished stage is to go on with other data or settings."""
    before = saved.get("recipe", asdict(recipe)) | {
        "env_steps": recipe.env_steps,
        "agent": saved["agent_config"],
    }
    changed = differing(before, asdict(recipe) | {"agent": asdict(work.agent_config)})
    if saved["fingerprint"] != work.fingerprint:
        changed.insert(0, "data")
    if changed:
        raise UsageError(
            f"finetuning of run {work.run.path} began with other values of: {', '.join(changed)}; finish it "
            "with the same, then it can go on with others"
        )


def _history(work: Online, saved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the finished parts of the stage were asked for, where the rest is asked for something else."""
    earlier, last = saved.get("before", []), saved.get("asked", work.asked)
    return [*earlier, last] if set(differing(last, work.asked)) - FREE else earlier


def _committed(work: Online, episodes: int) -> Replay:
    """The online episodes that the checkpoint knows; a later one, of a killed process, is retired.

    It will be collected again under the same seed, and would otherwise count twice.
    """
    replay = Replay(work.offline.spec, work.offline.reward_for)
    folder = work.run.path / "online"
    dataset = Dataset.open(folder, allow_empty=True) if (folder / DATASET_FILE).exists() else None
    found = 0 if dataset is None else len(dataset.episodes)
    if found < episodes:
        raise DataError(f"{folder} holds {found} of the {episodes} episodes that the checkpoint learned from")
    if dataset is None:  # killed before the first episode was committed
        return replay
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


def _log(work: Online, now: int, wall_s: float, episode: Episode, metrics: Metrics) -> None:
    episode_metrics = {
        "episode/return": float(episode.reward.sum()),
        "episode/success": float(bool(episode.meta.success)),
    }
    work.run.log(STAGE, now, now, wall_s, metrics | episode_metrics)


def _measure(work: Online, state: TrainingState, clock: Callable[[], float], saved: str) -> Evaluation:
    """A point of the learning curve. saved: what to say where it is stopped."""

    def stoppable(seeds: Sequence[int]) -> Iterator[int]:
        return between(seeds, lambda: work.stop.check(saved))

    now, seeds = state.progress.env_steps, VALIDATION_SEEDS[: work.cadence.eval_episodes]
    curve = evaluate(work.env, policy_of(state), seeds, stoppable)
    log_evaluation(work.run, STAGE, now, now, clock(), curve)
    return curve


def policy_hash(agent: Agent) -> str:
    """12 hex digits over the weights of the deployed policy."""
    digest = hashlib.sha256()
    for tensor in agent.policy().state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]
