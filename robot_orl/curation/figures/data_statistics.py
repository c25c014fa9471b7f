"""Statistics of a dataset: signals, time, coverage and outcomes, read once and segment by segment."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_orl.curation.figures.columns import Column, ColumnFigures
from robot_orl.curation.figures.coverage import Coverage, cover
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.statistics import wilson_interval
from robot_orl.types import Array, Episode

BLOCK_ROWS = 2**16
SAMPLE = 20_000  # steps on which coverage is judged
GAP_PERIODS = 2.0
GAPS_KEPT = 5
QUALITY_EDGES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Gap:
    """A pause between step `step` and the next [s]."""

    episode: str
    step: int
    seconds: float


@dataclass(frozen=True)
class TimeFigures:
    """Periods between actions [ms] against the declared one; None: no time is known.

    gaps: how many periods are longer than GAP_PERIODS of the declared.  longest: the worst of them.
    backwards: how often time goes back.  unknown: steps without a time.
    """

    declared_ms: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    gaps: int
    longest: tuple[Gap, ...]
    backwards: int
    unknown: int
    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """Success of a group of episodes. judged: those where it is known; wilson95: of their rate."""

    name: str
    episodes: int
    judged: int
    successes: int
    wilson95: tuple[float, float] | None

    @property
    def rate(self) -> float | None:
        return self.successes / self.judged if self.judged else None


@dataclass(frozen=True)
class DataStatistics:
    """All of it. observation, action: per signal.  states, actions: coverage, None: nothing varies."""

    path: str
    task: str
    episodes: int
    transitions: int
    observation: tuple[ColumnFigures, ...]
    action: tuple[ColumnFigures, ...]
    time: TimeFigures
    states: Coverage | None
    actions: Coverage | None
    lengths: tuple[int, ...]
    operators: tuple[Outcome, ...]
    qualities: tuple[Outcome, ...]

    def length_figures(self) -> dict[str, float]:
        """Of the episodes [steps]."""
        median = float(np.median(self.lengths))
        return {"min": min(self.lengths), "median": median, "max": max(self.lengths)}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            **{name: getattr(self, name) for name in ("path", "task", "episodes", "transitions")},
            "observation": [column.to_dict() for column in self.observation],
            "action": [column.to_dict() for column in self.action],
            "time": {**vars(self.time), "longest": [vars(gap) for gap in self.time.longest]},
            "coverage": {
                "states": self.states.to_dict() if self.states else None,
                "actions": self.actions.to_dict() if self.actions else None,
            },
            "lengths": self.length_figures(),
            "operators": [{**vars(item), "rate": item.rate} for item in self.operators],
            "qualities": [{**vars(item), "rate": item.rate} for item in self.qualities],
        }


def compute(dataset: Dataset, after_episode: Callable[[], None] = lambda: None) -> DataStatistics:
    """Read the episodes in use. after_episode: called after each, to show how far it is or to stop.

    Raises: DataError: names the file that is damaged.
    """
    records = dataset.episodes
    signals, time = _Signals(dataset, sum(record.length for record in records)), _Time(dataset)
    for record, episode in zip(records, dataset.load_all(sim_state=False), strict=True):
        signals.add(episode)
        time.add(record, episode)
        after_episode()
    signals.flush()
    return DataStatistics(
        path=str(dataset.path),
        task=dataset.spec.task,
        episodes=len(records),
        transitions=sum(record.length for record in records),
        observation=tuple(column.finish() for column in signals.observation),
        action=tuple(column.finish() for column in signals.action),
        time=time.finish(),
        states=cover(signals.sampled_observations()),
        actions=cover(signals.sampled_actions()),
        lengths=tuple(record.length for record in records),
        operators=_outcomes(records, lambda record: record.meta.operator),
        qualities=_outcomes(records, _bucket),
    )


class _Signals:
    """Blocks of whole episodes, so that each column is added some 65,000 rows at a time."""

    def __init__(self, dataset: Dataset, transitions: int) -> None:
        spec = self._spec = dataset.spec
        self.observation = [Column(key, s) for key, signals in spec.observation.items() for s in signals]
        self.action = [Column("action", signal) for signal in spec.action]
        rng = np.random.default_rng(0)  # the same steps whenever it is asked
        self._chosen = np.sort(rng.choice(transitions, min(SAMPLE, transitions), replace=False))
        self._done = self._rows = 0
        self._obs: list[Array] = []
        self._actions: list[Array] = []
        self._sampled_obs: list[Array] = []
        self._sampled_actions: list[Array] = []

    def add(self, episode: Episode) -> None:
        self._obs.append(self._spec.flatten(episode.obs))
        self._actions.append(episode.action)
        self._rows += len(episode)
        if self._rows >= BLOCK_ROWS:
            self.flush()

    def flush(self) -> None:
        for columns, parts in ((self.observation, self._obs), (self.action, self._actions)):
            if parts:
                starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
                for column, rows in zip(columns, np.concatenate(parts).T, strict=True):
                    column.add(rows, starts)
        first, last = np.searchsorted(self._chosen, [self._done, self._done + self._rows])
        if last > first:
            here = self._chosen[first:last] - self._done
            self._sampled_obs.append(np.concatenate([part[:-1] for part in self._obs])[here])
            self._sampled_actions.append(np.concatenate(self._actions)[here])
        self._done += self._rows
        self._rows = 0
        self._obs, self._actions = [], []

    def sampled_observations(self) -> Array:
        return np.concatenate(self._sampled_obs)

    def sampled_actions(self) -> Array:
        return np.concatenate(self._sampled_actions)


class _Time:
    """Periods between the actions of an episode; 4 bytes a step."""

    def __init__(self, dataset: Dataset) -> None:
        self._declared_ms = 1e3 / dataset.spec.control_hz
        self._periods: list[Array] = []
        self._longest: list[Gap] = []
        self._unknown = 0

    def add(self, record: EpisodeRecord, episode: Episode) -> None:
        known = episode.t_ns >= 0
        self._unknown += int((~known).sum())
        steps = np.flatnonzero(known[1:] & known[:-1])
        period = ((episode.t_ns[steps + 1] - episode.t_ns[steps]) / 1e6).astype(np.float32)
        self._periods.append(period)
        if len(period) and period.max() > GAP_PERIODS * self._declared_ms:
            worst = np.argsort(-period, kind="stable")[:GAPS_KEPT]
            found = [
                Gap(record.id, int(steps[i]), float(period[i]) / 1e3)
                for i in worst
                if self._is_gap(period[i])
            ]
            self._longest = sorted([*self._longest, *found], key=lambda gap: -gap.seconds)[:GAPS_KEPT]

    def _is_gap(self, period_ms: Any) -> Any:
        return period_ms > GAP_PERIODS * self._declared_ms

    def finish(self) -> TimeFigures:
        periods = np.concatenate(self._periods)
        known = len(periods) > 0
        p50, p99 = np.percentile(periods, [50, 99]).tolist() if known else (None, None)
        top = GAP_PERIODS * 2 * self._declared_ms  # everything longer is in the last bin
        counts, edges = np.histogram(np.clip(periods, 0, top), 40, (0, top))
        return TimeFigures(
            declared_ms=self._declared_ms,
            p50_ms=p50,
            p99_ms=p99,
            max_ms=float(periods.max()) if known else None,
            gaps=int(self._is_gap(periods).sum()),
            longest=tuple(self._longest),
            backwards=int((periods < 0).sum()),
            unknown=self._unknown,
            edges_ms=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
        )


def _bucket(record: EpisodeRecord) -> str:
    """Which quarter of [0, 1] the quality label lies in."""
    quality = record.meta.quality
    if quality is None:
        return "unknown"
    bounds = (0.0, *QUALITY_EDGES, 1.0)
    i = int(np.searchsorted(QUALITY_EDGES, quality, side="right"))
    return f"{bounds[i]:g} to {bounds[i + 1]:g}"


def _outcomes(records: Iterable[EpisodeRecord], group: Callable[[EpisodeRecord], str]) -> tuple[Outcome, ...]:
    groups: dict[str, list[bool | None]] = defaultdict(list)
    for record in records:
        groups[group(record)].append(record.meta.success)
    found = []
    for name, outcomes in sorted(groups.items()):
        judged = [outcome for outcome in outcomes if outcome is not None]
        interval = wilson_interval(sum(judged), len(judged)) if judged else None
        found.append(Outcome(name, len(outcomes), len(judged), sum(judged), interval))
    return tuple(found)
