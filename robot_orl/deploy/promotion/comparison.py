"""Two policies on the same starts: is the new one good enough to take the place of the current one?

    of n pairs             current succeeds   current fails
    new succeeds                both            only_new
    new fails               only_current         neither

Only pairs that differ speak: matched starts need fewer episodes than two separate evaluations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from robot_orl.statistics import wilson_interval
from robot_orl.types import Array

RESAMPLES = 10_000
DRAWN = 1_000_000  # pairs at once, for the memory that they take
MOST = 10_000  # episodes of a comparison: so many evaluation seeds there are
Interval = tuple[float, float]


class Verdict(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    NOT_ENOUGH = "not enough episodes"


@dataclass(frozen=True)
class Pairs:
    """How many of the pairs ended in which way."""

    both: int
    only_new: int
    only_current: int
    neither: int

    @classmethod
    def of(cls, new: Sequence[bool], current: Sequence[bool]) -> "Pairs":
        """Successes on the same starts, in the same order."""
        ways = list(zip(map(bool, new), map(bool, current), strict=True))
        counts = (ways.count(way) for way in ((True, True), (True, False), (False, True), (False, False)))
        return cls(*counts)

    @property
    def n(self) -> int:
        return self.both + self.only_new + self.only_current + self.neither

    @property
    def difference(self) -> float:
        """Success of the new one minus that of the current one."""
        return (self.only_new - self.only_current) / self.n


def mcnemar(pairs: Pairs) -> float:
    """p-value, two-sided and exact, of both being equally good; source: McNemar 1947, with the binomial."""
    fewer, differing = min(pairs.only_new, pairs.only_current), pairs.only_new + pairs.only_current
    tail = sum(math.comb(differing, k) for k in range(fewer + 1)) / 2**differing
    return min(1.0, 2 * tail)


def difference_interval(pairs: Pairs) -> Interval:
    """95% interval of `Pairs.difference`; source: Newcombe 1998, Stat. Med. 17, 2635-2650, method 10.

    Wilson's intervals of both rates, put together with the correlation of the pairs.
    """
    n, d = pairs.n, pairs.difference
    new, current = pairs.both + pairs.only_new, pairs.both + pairs.only_current
    p, q = new / n, current / n
    (p_low, p_high), (q_low, q_high) = wilson_interval(new, n), wilson_interval(current, n)
    phi = _correlation(pairs)
    below = _combined(p - p_low, q_high - q, phi)
    above = _combined(p_high - p, q - q_low, phi)
    return d - below, d + above


def _combined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(pairs: Pairs) -> float:
    """phi of the table, with Newcombe's correction towards 0 for few pairs."""
    a, b, c, d = pairs.both, pairs.only_new, pairs.only_current, pairs.neither
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        return 0.0
    excess = a * d - b * c
    if excess > 0:
        excess = max(0, excess - pairs.n / 2)  # type: ignore[assignment]
    return excess / math.sqrt(margins)


def mean_interval(differences: Array, rng: np.random.Generator) -> Interval:
    """95% interval of the mean of paired differences (n,), by resampling pairs (percentile bootstrap)."""
    n = len(differences)
    each = max(1, DRAWN // n)
    counts = [min(each, RESAMPLES - done) for done in range(0, RESAMPLES, each)]
    means = [differences[rng.integers(n, size=(count, n))].mean(axis=1) for count in counts]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def verdict(interval: Interval, margin: float) -> Verdict:
    """PROMOTE: not worse by more than the margin, shown.  KEEP: worse than that, shown."""
    low, high = interval
    if low >= -margin:
        return Verdict.PROMOTE
    return Verdict.KEEP if high < -margin else Verdict.NOT_ENOUGH


def episodes_needed(pairs: Pairs, margin: float) -> int | None:
    """About how many would show that the new one is not worse than the margin; None: it looks worse.

    The interval narrows with the root of their number. `MOST` + 1 stands for more than can be played.
    """
    room = pairs.difference + margin
    if room <= 0:
        return None
    half = pairs.difference - difference_interval(pairs)[0]
    return math.ceil(min(max(pairs.n, pairs.n * (half / room) ** 2), MOST + 1))


def compared(
    new: Sequence[bool],
    current: Sequence[bool],
    new_returns: Array,
    current_returns: Array,
    margin: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """All figures, plain JSON; returns: (n,), undiscounted, of the same episodes."""
    pairs = Pairs.of(new, current)
    interval = difference_interval(pairs)
    found = verdict(interval, margin)
    differences = np.asarray(new_returns, float) - np.asarray(current_returns, float)
    return {
        "episodes": pairs.n,
        "new": _figures(pairs.both + pairs.only_new, pairs.n, new_returns),
        "current": _figures(pairs.both + pairs.only_current, pairs.n, current_returns),
        "pairs": {name: getattr(pairs, name) for name in ("both", "only_new", "only_current", "neither")},
        "difference": pairs.difference,
        "difference95": list(interval),
        "mcnemar_p": mcnemar(pairs),
        "return_difference": float(differences.mean()),
        "return_difference95": list(mean_interval(differences, rng)),
        "margin": margin,
        "verdict": str(found),
        "may_be_promoted": found is Verdict.PROMOTE,
        "episodes_needed": episodes_needed(pairs, margin) if found is Verdict.NOT_ENOUGH else None,
    }


def _figures(successes: int, n: int, returns: Array) -> dict[str, Any]:
    return {
        "successes": successes,
        "success": successes / n,
        "wilson95": list(wilson_interval(successes, n)),
        "return": float(np.mean(returns)),
    }
