"""The recording session: an operator acts in a task, and every episode is committed as it ends."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import CRASH
from robot_orl.data.trimming import start_seed
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock, Ticker
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.rollout import FAULT, Begin, CutShort, rollout
from robot_orl.seeds import EPISODES_PER_STAGE, collection_seed
from robot_orl.tasks import spec_of
from robot_orl.types import Episode, EpisodeMeta, Observation, Operator, Pace, Proposal

OPERATOR_STREAM = 1
CUT_SHORT = (CRASH, FAULT)  # end reasons of episodes that are recorded again


@runtime_checkable
class ChoosesStart(Protocol):
    """An operator that says, of the episode it has begun, where it begins and what it comes of."""

    reset_options: Mapping[str, Any]
    origin: str
    notes: str


class RealTime:
    """A rollout's pace by the clock: absolute deadlines, missed slots skipped."""

    def __init__(self, control_hz: float, clock: Clock | None = None) -> None:
        self._ticker = Ticker(round(NS_PER_S / control_hz), clock or RealClock())
        self._start_ns = 0

    def start(self) -> int:
        self._start_ns = self._ticker.start()
        return 0

    def wait(self) -> int:
        return self._ticker.wait() - self._start_ns


def recorded(dataset: Dataset | None, operator: str, seed: int) -> list[EpisodeMeta]:
    """The episodes that this operator has recorded whole, of that seed of a run.

    A person may choose another start, or cut it off: then the session tells whose they are.
    """
    if dataset is None:
        return []
    starts = range(collection_seed(seed, 0), collection_seed(seed, EPISODES_PER_STAGE - 1) + 1)
    configs = {segment.path.name: segment.attributes["config"] for segment in dataset.segments}
    sessions = {
        name
        for name, config in configs.items()
        if (config.get("operator", {}).get("name"), config.get("seed")) == (operator, seed)
    }
    found = [r for r in dataset.episodes if r.meta.seed in starts or r.segment in sessions]
    return [r.meta for r in found if r.meta.operator == operator and r.meta.end_reason not in CUT_SHORT]


def unrecorded_seeds(before: Iterable[EpisodeMeta], seed: int) -> Iterator[int]:
    """Start seeds that are not among those of `before`, whole or trimmed, without end."""
    taken = {start_seed(meta) for meta in before}
    starts = (collection_seed(seed, episode) for episode in count())
    return (start for start in starts if start not in taken)


def missing_seeds(dataset: Dataset | None, operator: str, seed: int, episodes: int) -> list[int]:
    """The start seeds of episodes 0 .. episodes-1 that this operator has not recorded whole yet."""
    taken = {meta.seed for meta in recorded(dataset, operator, seed)}
    wanted = (collection_seed(seed, episode) for episode in range(episodes))
    return [start for start in wanted if start not in taken]


def record(
    env: gymnasium.Env[Any, Any],
    operator: Operator,
    writer: BackgroundWriter,
    seeds: list[int],
    bar: Bar,
    stop: StopFlag,
    realtime: bool = False,
) -> None:
    """One episode per start seed. Raises: Interrupted: between two episodes; all of them are committed."""
    pace = RealTime(spec_of(env).control_hz) if realtime else None
    for seed in seeds:
        stop.check(f"{bar.done} of {bar.total} episodes are committed; the same command goes on")
        try:
            writer.append(record_episode(env, operator, seed, pace, writer.begin))
        except CutShort as cut:
            writer.append(cut.episode) if len(cut.episode) else writer.drop()
            raise
        writer.flush()  # a commit during ticks would make some of them late
        bar.advance()


def record_episode(
    env: gymnasium.Env[Any, Any],
    operator: Operator,
    seed: int,
    pace: Pace | None = None,
    begin: Begin | None = None,
) -> Episode:
    """The operator's randomness and the start state both follow from `seed`, as streams of their own.

    Gymnasium seeds a task with `default_rng(seed)`: the same stream would tie skill to where things lie.
    """
    quality = operator.begin(np.random.default_rng([seed, OPERATOR_STREAM]))
    meta = EpisodeMeta(quality=quality, operator=operator.name, policy_hash=operator.policy_hash)
    options = None
    if isinstance(operator, ChoosesStart):
        options = operator.reset_options
        meta = replace(meta, origin=operator.origin, notes=operator.notes)

    def choose(obs: Observation) -> Proposal:
        action = operator.action(obs)
        if action is None:
            raise UsageError(f"operator '{operator.name}' took its hands off; collecting needs one that acts")
        return Proposal(action, operator.actor, operator=action)

    return rollout(
        env, choose, seed=seed, meta=meta, pace=pace, keep_frames=True, options=options, begin=begin
    )
