"""Figures of one signal over any number of rows, block by block, in constant memory."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_orl.types import Array, Signal

BINS = 64  # at most, of a signal's histogram
FINEST = 22  # bits below the largest magnitude: no finer bins than float32 tells apart
SAME = 1e-6  # a range below this share of the magnitude is what rounding makes of one value


@dataclass
class Histogram:
    """Counts in bins [i, i + 1) * 2**exponent, so coarse that at most BINS of them span the values.

    Bins of all exponents share their edges, so counts merge exactly and the result does not depend on the
    order or size of the blocks. closed_at: a value that belongs to the bin below it, as the end of a range.
    """

    closed_at: float = math.inf
    exponent: int = 0
    first: int = 0  # index of the first bin
    counts: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    _low: float = math.inf
    _high: float = -math.inf

    @property
    def edges(self) -> Array:
        """(bins + 1,)"""
        return np.arange(self.first, self.first + len(self.counts) + 1) * 2.0**self.exponent

    def add(self, values: Array) -> None:
        """values: (n,) finite float64 that were float32: none is smaller than those can be, but zero."""
        if not len(values):
            return
        self._low = min(self._low, float(values.min()))
        self._high = max(self._high, float(values.max()))
        largest = max(abs(self._low), abs(self._high))
        exponent = math.frexp(largest)[1] - FINEST
        while self._bin(self._high, exponent) - self._bin(self._low, exponent) >= BINS:
            exponent += 1
        first, last = self._bin(self._low, exponent), self._bin(self._high, exponent)
        counts = np.zeros(last - first + 1, np.int64)
        if len(self.counts):
            merged = (self.first + np.arange(len(self.counts))) >> (exponent - self.exponent)
            np.add.at(counts, merged - first, self.counts)
        index = np.floor(values * 2.0**-exponent).astype(np.int64)
        if self.closed_at % 2.0**exponent == 0:
            index[values == self.closed_at] -= 1
        counts += np.bincount(index - first, minlength=len(counts))
        self.exponent, self.first, self.counts = exponent, first, counts

    def _bin(self, value: float, exponent: int) -> int:
        width = 2.0**exponent
        return math.floor(value / width) - (value == self.closed_at and value % width == 0)

    def occupied(self, low: float, high: float) -> float:
        """Share of the bins over [low, high] that hold a value; 1 where all lies in one bin."""
        if not len(self.counts):
            return 0.0
        width = 2.0**self.exponent
        first = math.floor(low / width)
        last = max(first, math.ceil(high / width) - 1)
        places = self.first + np.flatnonzero(self.counts)
        return int(((places >= first) & (places <= last)).sum()) / (last - first + 1)


class Column:
    """Collects the figures of one signal."""

    def __init__(self, key: str, signal: Signal) -> None:
        self.key, self.signal = key, signal
        self._count = self._missing = self._low = self._high = self._still = self._episodes = 0
        self._mean = self._squares = 0.0
        self._min, self._max = math.inf, -math.inf
        self._changes, self._change_sum, self._change_max = 0, 0.0, 0.0
        self._histogram = Histogram(signal.high)

    def add(self, rows: Array, starts: Array) -> None:
        """rows: (n,) of whole episodes, which begin at `starts`, (E,)."""
        rows = rows.astype(np.float64)
        finite = np.isfinite(rows)
        values = rows if finite.all() else rows[finite]
        self._missing += len(rows) - len(values)
        self._episodes += len(starts)
        self._still += int((np.minimum.reduceat(rows, starts) == np.maximum.reduceat(rows, starts)).sum())
        self._add_changes(rows, starts)
        if not len(values):
            return
        self._low += int((values <= self.signal.low).sum())
        self._high += int((values >= self.signal.high).sum())
        self._min, self._max = min(self._min, float(values.min())), max(self._max, float(values.max()))
        mean, count = float(values.mean()), self._count + len(values)
        apart = mean - self._mean  # Chan et al. 1983: moments of two parts make those of the whole
        self._squares += float(((values - mean) ** 2).sum())
        self._squares += apart**2 * self._count * len(values) / count
        self._mean += apart * len(values) / count
        self._count = count
        self._histogram.add(values)

    def _add_changes(self, rows: Array, starts: Array) -> None:
        with np.errstate(invalid="ignore"):  # infinity less infinity
            change = np.abs(np.diff(rows))
        within = np.isfinite(change)
        within[starts[1:] - 1] = False  # from one episode to the next
        change = change[within]
        if len(change):
            self._changes += len(change)
            self._change_sum += float(change.sum())
            self._change_max = max(self._change_max, float(change.max()))

    def finish(self) -> "ColumnFigures":
        count, known = self._count, self._count > 0
        low, high = self.signal.low, self.signal.high
        span = (low if math.isfinite(low) else self._min, high if math.isfinite(high) else self._max)
        largest = max(abs(self._min), abs(self._max)) if known else 0.0
        return ColumnFigures(
            key=self.key,
            name=self.signal.name,
            unit=self.signal.unit,
            count=count,
            missing=self._missing,
            min=self._min if known else None,
            mean=self._mean if known else None,
            std=math.sqrt(self._squares / count) if known else None,
            max=self._max if known else None,
            at_low=self._low / count if known else 0.0,
            at_high=self._high / count if known else 0.0,
            still=self._still / self._episodes if self._episodes else 0.0,
            change_mean=self._change_sum / self._changes if self._changes else None,
            change_max=self._change_max if self._changes else None,
            occupied=self._histogram.occupied(*span) if known else 0.0,
            is_dead=known and count > 1 and self._max - self._min <= SAME * largest,
            edges=tuple(self._histogram.edges.tolist()) if known else (),
            counts=tuple(self._histogram.counts.tolist()),
        )


@dataclass(frozen=True)
class ColumnFigures:
    """key, name, unit: which signal.  count: finite values; missing: NaN and infinite ones.

    std: of the population.  at_low, at_high: shares at or beyond the declared bounds.  still: share of
    episodes in which it never changes.  change_mean, change_max: absolute, from step to step [unit].
    occupied: share of the histogram's bins, over the declared range or else what was seen, with a value.
    is_dead: the same value throughout.  edges, counts: the histogram.
    """

    key: str
    name: str
    unit: str
    count: int
    missing: int
    min: float | None
    mean: float | None
    std: float | None
    max: float | None
    at_low: float
    at_high: float
    still: float
    change_mean: float | None
    change_max: float | None
    occupied: float
    is_dead: bool
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{self.key}.{self.name}"

    @property
    def at_bounds(self) -> float:
        return self.at_low + self.at_high

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))
