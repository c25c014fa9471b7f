"""What finetuning works on, and where it goes on: what its checkpoint keeps besides the agent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch

from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import DataError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.nn.compute import Compute
from robot_orl.schema import defaults_of, differing
from robot_orl.tasks import TaskConfig
from robot_orl.training.playing.shared_memory import Weights
from robot_orl.training.pretrain import Cadence
from robot_orl.training.runs.run import Run
from robot_orl.training.speed import Speed, can_compile
from robot_orl.training.state import Progress, TrainingState, unpack
from robot_orl.types import Array

STAGE = "online"

# What says nothing about how the agent became what it is.
FREE = {
    *("run", "env_steps", "log_every", "eval_every", "eval_episodes", "final_episodes", "threads"),
    *("checkpoint_every", "keep_every", "stop_at_success"),
}


@dataclass(frozen=True)
class Recipe:
    """env_steps: total environment steps of the stage.  updates_per_step: gradient updates for each.

    offline_share: of every batch.  noise: standard deviation of the exploration noise on actions in
    [-1, 1].  warmup_steps: environment steps with the policy frozen, before the first update.
    environments: how many play at once.  deterministic: learn from episodes in the order of their numbers.
    intervention_share: of the offline share, from steps in which somebody had taken over.
    """

    env_steps: int
    updates_per_step: int
    offline_share: float
    noise: float
    warmup_steps: int
    environments: int = 1
    deterministic: bool = True
    intervention_share: float = 0.0

    def mixture(self, offline: Replay, online: Replay) -> Mixture:
        return Mixture(offline, online, self.offline_share, self.intervention_share)


@dataclass
class Online:
    """What finetuning works on. task: of the environments that play.  env: evaluates at the end.

    agent_config: the run's, with any changed settings.  asked: what the command was asked for, for the
    summary.  stop_at: end where the lower bound of a point of the learning curve reaches this success.
    speed: how updates are computed.  keep_every: environment steps between two checkpoints that are kept
    for good.  operator: settings of who may take over, as of `operator=...`; None: nobody. It may be another
    one whenever the run goes on.
    """

    run: Run
    task: TaskConfig
    env: gymnasium.Env[Any, Any]
    offline: Replay
    fingerprint: str
    seed: int
    agent_config: Any
    cadence: Cadence
    stop: StopFlag
    asked: dict[str, Any] = field(default_factory=dict)
    stop_at: float | None = None
    speed: Speed = field(default_factory=Speed)
    keep_every: int | None = None
    operator: Any = None


@dataclass
class Stage:
    """Where finetuning is. before: see `_history`.  began_from: hash of the offline policy.

    under_way: weights by number, of the episodes that were being played.  pending: the point of the learning
    curve that was not settled.  last_point: the environment step of the last one that was begun.
    compiled: whether the updates until now were; None: none was made for what is asked for.
    in_order: whether all episodes until now were learned from in the order of their numbers.
    """

    state: TrainingState
    began_from: str
    before: list[dict[str, Any]] = field(default_factory=list)
    under_way: Mapping[int, Array] = field(default_factory=dict)
    pending: dict[str, Any] | None = None
    last_point: int = 0
    compiled: bool | None = None
    in_order: bool = True

    def compute(self, work: Online, recipe: Recipe) -> Compute:
        """How to go on: as it began, although other env_steps may be asked for now."""
        compute = work.speed.compute(recipe.env_steps * recipe.updates_per_step)
        if work.speed.compile == "auto" and self.compiled is not None:
            compute.compiled = self.compiled and can_compile(compute.device)
        return compute

    def save(self, work: Online, recipe: Recipe) -> None:
        """The checkpoint: this, and what was asked for."""
        weights = {number: torch.from_numpy(value) for number, value in self.under_way.items()}
        kept = {
            "recipe": asdict(recipe),
            "asked": work.asked,
            "before": self.before,
            "began_from": self.began_from,
            "under_way": weights,
            "pending": self.pending,
            "last_point": self.last_point,
            "compiled": self.compiled,
            "in_order": self.in_order and _is_in_order(asdict(recipe)),
            "precision": work.speed.precision,
        }
        work.run.save(STAGE, self.state.pack(STAGE, work.fingerprint) | kept)

    def keep(self, work: Online) -> None:
        """Keep the checkpoint for good where the kept ones before it are of an earlier multiple of steps.

        Told by the files themselves: a run that was killed between a save and this makes up for it.
        """
        every, now = work.keep_every, self.state.progress.env_steps
        if every is None:
            return
        last = max((step for step in work.run.kept(STAGE) if step <= now), default=0)
        if now // every > last // every:
            work.run.keep(STAGE, now)

    def is_trained(self, work: Online, recipe: Recipe) -> bool:
        """For as many steps as asked, or to the success that was asked for."""
        reached, asked = self.state.progress.reached, work.stop_at
        is_good = reached is not None and asked is not None and reached >= asked
        return is_good or self.state.progress.env_steps >= recipe.env_steps

    def is_complete(self, work: Online, recipe: Recipe) -> bool:
        """Trained, and measured."""
        measured = work.run.summary.get(STAGE, {}).get("env_steps")
        return self.is_trained(work, recipe) and measured == self.state.progress.env_steps


def resume(work: Online, recipe: Recipe) -> Stage:
    """Where to go on from.

    An unfinished stage goes on with the settings that it began with. A finished one may go on with
    more steps under others, or with other data, such as episodes that it was deployed for meanwhile.
    Raises: UsageError: other settings for an unfinished stage.  DataError: it belongs to another agent.
    """
    state = unpack(work.run.load("offline"), work.agent_config)
    policy = state.agent.policy()
    weights = Weights(policy)
    began_from = weights.name(weights.of(policy))
    if not work.run.has(STAGE):
        state.agent.start_online()
        state.progress = Progress()
        state.rng = np.random.default_rng([work.seed, 1])
        return Stage(state, began_from)
    saved = work.run.load(STAGE)
    if saved.get("began_from", began_from) != began_from:
        raise DataError(
            f"run {work.run.path} was finetuned from another offline agent than it holds now; pretrain and "
            "finetune with another out="
        )
    stage = Stage(
        unpack(saved, work.agent_config),
        began_from,
        _history(work, saved),
        # A checkpoint of an earlier version has none of these: what was not learned from is played anew.
        {number: value.numpy() for number, value in saved.get("under_way", {}).items()},
        saved.get("pending"),
        saved.get("last_point", work.run.last_evaluation(STAGE)),
        saved.get("compiled"),
        saved.get("in_order", True) and _is_in_order(saved.get("recipe", {})),
    )
    progress = stage.state.progress
    goes_on = progress.is_finished(STAGE) and recipe.env_steps > progress.env_steps
    if goes_on:
        stage.compiled = None
        _require_order(work, recipe, stage)
    elif not stage.is_complete(work, recipe):
        _require_same(work, recipe, saved)
    return stage


def _require_same(work: Online, recipe: Recipe, saved: Mapping[str, Any]) -> None:
    """Raises: UsageError: an unfinished stage is to go on with other data or settings."""
    now = asdict(recipe) | {"agent": asdict(work.agent_config)}
    before = saved.get("recipe", {}) | {"env_steps": recipe.env_steps, "agent": saved["agent_config"]}
    defaults = asdict(recipe) | {"agent": defaults_of(work.agent_config)}
    changed = differing(before, now, defaults=defaults)
    if saved.get("precision", work.speed.precision) != work.speed.precision:
        changed.append("precision")
    if saved["fingerprint"] != work.fingerprint:
        changed.insert(0, "data")
    if changed:
        raise UsageError(
            f"finetuning of run {work.run.path} began with other values of: {', '.join(changed)}; finish it "
            "with the same, then it can go on with others"
        )


def _is_in_order(recipe: Mapping[str, Any]) -> bool:
    """One environment alone plays its episodes in their order whatever was asked for."""
    return bool(recipe.get("deterministic", True)) or recipe.get("environments", 1) == 1


def _require_order(work: Online, recipe: Recipe, stage: Stage) -> None:
    """Raises: UsageError: episodes were learned from as they came, which has no order to go on with."""
    if recipe.deterministic and not stage.in_order:
        raise UsageError(
            f"run {work.run.path} was finetuned with deterministic=false until now, and goes on so only: its "
            "episodes have no fixed order"
        )


def _history(work: Online, saved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the finished parts of the stage were asked for, where the rest is asked for something else.

    A field that an earlier version did not have makes no difference.
    """
    earlier, last = saved.get("before", []), saved.get("asked", work.asked)
    return [*earlier, last] if set(differing(last, work.asked, defaults=work.asked)) - FREE else earlier
