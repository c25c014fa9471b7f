"""When to look at a robot whose policy runs: thresholds on what its bundle thinks of each state.

Three scores, each with a threshold that normal states cross at a stated rate:

    value          mean of Q(s, policy(s)) over the critics; low: this rarely ends well      LOW_VALUE
    disagreement   their standard deviation; high: they guess                                UNSURE
    novelty        Mahalanobis distance of s from normal states; high: never seen            NOVEL

LOW_VALUE and UNSURE are hints to intervene, NOVEL is the out-of-distribution alarm. With two critics the
disagreement alone is weak: critics that share their data are wrong together. The distance needs none.
"""

import math
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from robot_orl.errors import DataError
from robot_orl.types import Array

STD_FLOOR = 1e-2  # of a signal's scale, as in training: one that hardly varies is no reason for an alarm
VARIANCE_FLOOR = 1e-3  # of a direction, of standardised signals: what is tied together may be off by 3%
RATE = 1e-3


class Alarm(IntFlag):
    """What is said of a state, as a bit mask."""

    LOW_VALUE = 1 << 0
    UNSURE = 1 << 1
    NOVEL = 1 << 2


def said(alarm: int) -> str:
    """For people; empty: nothing."""
    words = {
        Alarm.NOVEL: "OUT OF DISTRIBUTION",
        Alarm.LOW_VALUE: "INTERVENE: low value",
        Alarm.UNSURE: "INTERVENE: critics disagree",
    }
    return ", ".join(word for bit, word in words.items() if alarm & bit)


@dataclass(frozen=True, eq=False)
class Calibration:
    """mean, whiten: (D,), (D, D) float32; novelty is |(s - mean) @ whiten|.

    value_low, disagreement_high: NaN without critics: never crossed.
    rate: how often normal states cross each threshold.  states, episodes: how many they were set on.
    source: what these were, for people.
    """

    mean: Array
    whiten: Array
    novelty_high: float
    value_low: float
    disagreement_high: float
    rate: float
    states: int
    episodes: int
    source: str

    def novelty(self, flat: Array) -> float:
        """(D,) -> distance in standard deviations; about sqrt(D) is normal."""
        z = (flat - self.mean) @ self.whiten
        return math.sqrt(float(z @ z))

    def alarm(self, novelty: float, value: float, disagreement: float) -> Alarm:
        """What crosses its threshold; a NaN does not, but for a novelty that is none."""
        found = Alarm(0)
        if not novelty <= self.novelty_high:
            found |= Alarm.NOVEL
        if value < self.value_low:
            found |= Alarm.LOW_VALUE
        if disagreement > self.disagreement_high:
            found |= Alarm.UNSURE
        return found

    def save(self, file: Path) -> None:
        save_file({"mean": self.mean, "whiten": self.whiten}, file)

    def thresholds(self) -> dict[str, float | int | str | None]:
        """All but the arrays, as plain JSON."""
        names = ("novelty_high", "value_low", "disagreement_high", "rate", "states", "episodes", "source")
        found = {name: getattr(self, name) for name in names}
        return {name: None if value != value else value for name, value in found.items()}

    @classmethod
    def load(cls, file: Path, thresholds: dict[str, float | int | str | None], size: int) -> "Calibration":
        """Inverse of `save` and `thresholds`. Raises: DataError: not of observations of `size` signals."""
        try:
            arrays = load_file(file)
            mean, whiten = arrays["mean"], arrays["whiten"]
        except Exception as error:  # safetensors raises a class of its own
            raise DataError(f"{file}: cannot be read ({error}); export again") from error
        if mean.shape != (size,) or whiten.shape != (size, size):
            shapes = f"{mean.shape}, {whiten.shape}"
            raise DataError(f"{file}: is of shapes {shapes}, not {size} signals; export again")
        values = {name: math.nan if value is None else value for name, value in thresholds.items()}
        return cls(mean, whiten, **values)  # type: ignore[arg-type]


def calibrate(
    reference: Array,
    held_out: Array,
    q: Array | None,
    *,
    rate: float = RATE,
    episodes: int,
    source: str,
) -> Calibration:
    """reference: (N, D) normal states.  held_out: (M, D) others, of episodes that are not among these.
    q: (E, M) by each critic of the policy's action there; None without critics.  episodes: of held_out.
    """
    mean, whiten = whitening(reference)
    z = (held_out - mean) @ whiten
    value_low = disagreement_high = math.nan
    if q is not None:
        value_low = -threshold(-q.mean(axis=0), rate)
        if len(q) > 1:
            disagreement_high = threshold(q.std(axis=0), rate)
    return Calibration(
        mean=mean,
        whiten=whiten,
        novelty_high=threshold(np.sqrt((z * z).sum(axis=1)), rate),
        value_low=value_low,
        disagreement_high=disagreement_high,
        rate=max(rate, 1 / (len(held_out) + 1)),  # fewer states cannot show less
        states=len(held_out),
        episodes=episodes,
        source=source,
    )


def whitening(states: Array) -> tuple[Array, Array]:
    """(N, D) -> mean (D,) and W (D, D): (s - mean) @ W has variance 1 in every direction that varies."""
    mean = states.mean(axis=0, dtype=np.float64)
    std = np.maximum(states.std(axis=0, dtype=np.float64), STD_FLOOR)
    standard = (states - mean) / std
    variance, directions = np.linalg.eigh(standard.T @ standard / len(standard))
    whiten = directions / np.sqrt(np.maximum(variance, 0) + VARIANCE_FLOOR) / std[:, None]
    return mean.astype(np.float32), whiten.astype(np.float32)


def threshold(scores: Array, rate: float) -> float:
    """That a new score, exchangeable with these (n,), exceeds with a probability of `rate` at most.

    The ceil((n + 1) (1 - rate))-th smallest, the largest where there are too few; source: Vovk et al. 2005,
    "Algorithmic learning in a random world" (conformal prediction). States of one episode resemble each
    other: alarms come in runs.
    """
    rank = math.ceil((len(scores) + 1) * (1 - rate) - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
