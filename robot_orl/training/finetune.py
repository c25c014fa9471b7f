"""Online finetuning: act, record, learn, with a fixed number of updates per environment step.

Players act beside the learner, see `exploration` for who does what when. The agent changes at the end of an
episode only: it is committed to the run's own dataset, then learned from. A checkpoint every so many
environment steps and the committed episodes are together enough to come back to any moment: killed and
started again, a run learns from the later episodes again and has bitwise the weights of one that was not.

Somebody may take over from the policy while it acts (Luo et al. 2024, HIL-SERL): in the player's process, in
real time for a person, while learning goes on here. Their steps get a share of their own in every batch.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.progress import Bar
from robot_orl.training.checks.diagnosis import diagnose
from robot_orl.training.checks.watch import Watch
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.online.curve import Curve
from robot_orl.training.online.desk import Desk
from robot_orl.training.online.exploration import (
    LOOK_S,
    AsTheyCome,
    Exploration,
    InOrder,
    Recorded,
    Source,
    recorded,
)
from robot_orl.training.online.overseer import Overseer
from robot_orl.training.online.stage import STAGE, Online, Recipe, Stage, resume
from robot_orl.training.online.takeovers import Takeovers
from robot_orl.training.playing.players import Players
from robot_orl.training.pretrain import finish
from robot_orl.training.runs.run import Run, StageClock, read_metrics
from robot_orl.training.state import Progress, TrainingState
from robot_orl.types import Episode, Metrics

RETURN = "episode/return"  # in each line of the log that is about an episode


def finetune(work: Online, recipe: Recipe) -> Evaluation | None:
    """Returns the final evaluation, or None if the stage was complete already.

    Raises: UsageError: other settings for an unfinished stage.  DataError: its episodes are lost.
    RunError: training diverged, or an environment process failed.
    """
    stage = resume(work, recipe)
    if stage.is_complete(work, recipe):
        return None
    progress, run = stage.state.progress, work.run
    takeovers = Takeovers(1e9 / stage.state.spec.control_hz)
    empty = work.offline.like()
    found = recorded(
        run.path / STAGE, empty, progress.episodes, work.seed, recipe.deterministic, takeovers.seeing
    )
    is_trained = stage.is_trained(work, recipe)
    if not is_trained or progress.reached is None:
        progress.target = recipe.env_steps
    run.update_summary({"finetune": work.asked | ({"before": stage.before} if stage.before else {})})
    clock = StageClock(progress.wall_s)
    run.start_log(STAGE, progress.env_steps, measures_again=is_trained)
    takeovers.told(_last_logged(run))
    stage.save(work, recipe)  # what is committed from now on was asked for as it is now
    stage.keep(work)
    if not is_trained:
        _train(work, recipe, stage, found, clock, takeovers)
    mixture = recipe.mixture(work.offline, found.learned)
    last = diagnose(run, STAGE, stage.state, mixture)
    return finish(run, work.env, STAGE, stage.state, clock, work.cadence, work.stop, found=last)


def _train(
    work: Online, recipe: Recipe, stage: Stage, found: Recorded, clock: StageClock, takeovers: Takeovers
) -> None:
    """Until there are enough environment steps, or success. The checkpoint is made at the end, too."""
    state, progress, cadence = stage.state, stage.state.progress, work.cadence
    mixture = recipe.mixture(work.offline, found.learned)
    watch = Watch(work.run, STAGE, state, [work.offline, found.learned])
    compute = stage.compute(work, recipe)
    state.agent.use(compute)
    stage.compiled = compute.compiled
    progress.reached = None
    with (
        SegmentWriter(work.run.path / STAGE, state.spec, "finetune") as writer,
        Desk(state.spec.observation_size) as desk,
        _players(work, recipe, state, desk) as players,
        Curve(work.run, STAGE, work.task, cadence.eval_episodes, stage.pending, stage.last_point) as curve,
        Bar(f"online: {state.agent_config.name}", recipe.env_steps, progress.env_steps) as bar,
    ):
        source = Source(players, writer, found.dataset, found.later, work.seed, recipe.noise)
        episodes = _order(recipe, stage, source, found)
        stage.under_way = episodes.under_way
        times = Times(source)
        seen = desk if work.operator is not None else None
        overseer = Overseer(
            seen,
            state,
            mixture,
            work.run,
            recipe.env_steps,
            work.stop,
            compiles=compute.compiled,
            earlier=takeovers.played,
        )

        def save() -> None:
            watch.check_weights()
            progress.wall_s = clock()
            stage.pending, stage.last_point = curve.pending, curve.last_step
            with times.saving():
                stage.save(work, recipe)
                stage.keep(work)
            overseer.saved()

        rest = source.meanwhile = partial(_rest, work, progress, source, overseer, takeovers, save)
        saves = [cadence.checkpoint_every, *([work.keep_every] if work.keep_every else [])]
        while progress.env_steps < recipe.env_steps:
            rest()
            if _is_due(cadence.eval_every, curve.last_step, progress.env_steps):
                watch.check_weights()
                if _ends(work, stage, _settled(curve, overseer)):
                    break
                found_now = diagnose(work.run, STAGE, state, mixture)
                curve.begin(state, work.fingerprint, clock(), found_now)
                rest()
            episode = episodes.take(state.agent.policy())
            times.begin()
            takeovers.saw(episode)
            before = progress.env_steps
            metrics = _learn(stage, mixture, recipe, episode, watch, overseer)
            overseer.learned(episode)
            if (note := _note(curve)) is not None:
                overseer.measured()
            bar.advance(min(len(episode), recipe.env_steps - before), note=note)
            if _is_due(cadence.log_every, before, progress.env_steps):
                watch.check()
                helped = takeovers.lately() if work.operator is not None else {}
                _log(work, progress.env_steps, clock(), episode, metrics | times.shares() | helped)
                work.run.update_summary(_helped(work, takeovers))
            if any(_is_due(every, before, progress.env_steps) for every in saves):
                save()
        _ends(work, stage, _settled(curve, overseer))
        # Before the checkpoint: killed after that, it is not trained again.
        figures = {"environments": recipe.environments, "reached": progress.reached}
        work.run.update_summary({"engine": figures | times.shares()} | _helped(work, takeovers))
        save()


def _rest(
    work: Online,
    progress: Progress,
    source: Source,
    overseer: Overseer,
    takeovers: Takeovers,
    save: Callable[[], None],
) -> None:
    """Between two episodes, and while one is waited for: orders are heard, and a stop ends it here.

    Raises: Interrupted: a stop was requested; everything is saved.
    """
    overseer.rest(save)
    if work.stop.requested:
        source.keep()
        work.run.update_summary(_helped(work, takeovers))
        save()
        work.stop.check(f"online is saved at step {progress.env_steps}; the same command goes on")


def _players(work: Online, recipe: Recipe, state: TrainingState, desk: Desk) -> Players:
    policy, operator = state.agent.policy(), work.operator
    seat = None if operator is None or recipe.environments > 1 else desk
    return Players(work.task, state.spec, policy, recipe.environments, operator=operator, desk=seat)


def _helped(work: Online, takeovers: Takeovers) -> Metrics:
    """For the summary: who took over; nothing where nobody could."""
    return {"interventions": takeovers.figures()} if work.operator is not None or takeovers.any else {}


def _order(recipe: Recipe, stage: Stage, source: Source, found: Recorded) -> Exploration:
    if not recipe.deterministic:
        return AsTheyCome(source, found.numbers)
    state = stage.state
    return InOrder(source, state.progress.episodes, state.agent.policy(), stage.under_way)


def _is_due(every: int, last: int, now: int) -> bool:
    """Whether a multiple of `every` lies between two environment steps; an episode has many of them."""
    return now // every > last // every


def _settled(curve: Curve, overseer: Overseer) -> Evaluation | None:
    while not curve.is_known(LOOK_S):
        overseer.attend("measuring")
    point = curve.settle()
    overseer.measured()
    return point


def _ends(work: Online, stage: Stage, point: Evaluation | None) -> bool:
    """Whether a point of the learning curve is as good as was asked for.

    By the lower bound of its interval: among many points of 20 episodes some show 95% by luck.
    """
    if point is None or work.stop_at is None or point.wilson95[0] < work.stop_at:
        return False
    progress = stage.state.progress
    progress.reached, progress.target = point.wilson95[0], progress.env_steps
    return True


def _learn(
    stage: Stage, mixture: Mixture, recipe: Recipe, episode: Episode, watch: Watch, overseer: Overseer
) -> Metrics:
    """The updates that an episode's steps allow; the metrics are those of the last one."""
    state, progress = stage.state, stage.state.progress
    is_warm = progress.env_steps >= recipe.warmup_steps
    mixture.online.add(episode)
    progress.env_steps += len(episode)
    progress.episodes += 1
    metrics: Metrics = {}
    if is_warm:
        for left in range(len(episode) * recipe.updates_per_step, 0, -1):
            overseer.attend("learning", left)
            batch = mixture.sample(state.agent.sampling, state.rng)
            metrics = dict(state.agent.update(batch))
            progress.updates += 1
            watch.saw(progress.updates, batch, metrics)
    return metrics


def _log(work: Online, now: int, wall_s: float, episode: Episode, metrics: Metrics) -> None:
    episode_metrics = {
        RETURN: float(episode.reward.sum()),
        "episode/success": float(bool(episode.meta.success)),
    }
    work.run.log(STAGE, now, now, wall_s, metrics | episode_metrics)


def _last_logged(run: Run) -> int:
    """The environment step of the last line of the log that is about an episode; 0: there is none."""
    rows = [row for row in read_metrics(run.path) if row["stage"] == STAGE and RETURN in row]
    return rows[-1]["env_steps"] if rows else 0


def _note(curve: Curve) -> str | None:
    point = curve.look()
    return None if point is None else f"success {point.success:.0%}"


class Times:
    """What of the learner's time was not learning, from its first episode on: until then processes start."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start_s: float | None = None
        self._saved_s = 0.0

    def begin(self) -> None:
        """An episode was taken."""
        if self._start_s is None:
            self._start_s, self._source.waited_s, self._saved_s = time.monotonic(), 0.0, 0.0

    @contextmanager
    def saving(self) -> Iterator[None]:
        before_s = time.monotonic()
        yield
        self._saved_s += time.monotonic() - before_s

    def shares(self) -> Metrics:
        """Of waiting for episodes, and of writing checkpoints."""
        all_s = 0.0 if self._start_s is None else time.monotonic() - self._start_s
        waited, saved = self._source.waited_s, self._saved_s
        return {
            "time/learner_waits": waited / all_s if all_s else 0.0,
            "time/checkpoints": saved / all_s if all_s else 0.0,
        }
