"""Statistics of a feature as LeRobot's readers normalise by: least, greatest, mean, deviation, quantiles.

Of vectors (n, D) per column, of frames per colour channel in [0, 1]. Values that are not finite are left
out; where none is left, a statistic is None.
"""

from typing import Any

import numpy as np

from robot_orl.types import Array

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
SAMPLED_ROWS = 100_000  # of which the quantiles of a whole dataset are taken
SAMPLED_FRAMES = 32  # of an episode and camera


class VectorStats:
    """Of a feature over many blocks of rows, in memory that does not grow with them.

    every: quantiles are those of each `every`-th row; 1: of all of them.
    """

    def __init__(self, width: int, every: int = 1) -> None:
        self._rows = 0
        self._count = np.zeros(width)
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)  # sum of squared distances from the mean
        self._low = np.full(width, np.inf)
        self._high = np.full(width, -np.inf)
        self._every = every
        self._sample: list[Array] = []

    def add(self, rows: Array) -> None:
        """rows: (n, width). Means and deviations are merged after Chan et al. 1979."""
        values = _wide(rows)
        known = np.isfinite(values)
        count = known.sum(0)
        total = self._count + count
        mean = np.where(known, values, 0.0).sum(0) / np.maximum(count, 1)
        distance = np.where(known, values - mean, 0.0)
        apart = mean - self._mean
        weight = count / np.maximum(total, 1)
        self._squares += (distance**2).sum(0) + apart**2 * self._count * weight
        self._mean += apart * weight
        self._count = total
        self._low = np.minimum(self._low, np.where(known, values, np.inf).min(0, initial=np.inf))
        self._high = np.maximum(self._high, np.where(known, values, -np.inf).max(0, initial=-np.inf))
        self._sample.append(np.asarray(rows[(-self._rows) % self._every :: self._every], np.float32))
        self._rows += len(rows)

    def result(self) -> dict[str, list[Any]]:
        """As stats.json has it: per statistic (width,), count (1,)."""
        sample = _wide(np.concatenate(self._sample))
        quantiles = dict(zip(QUANTILES, _quantiles(sample), strict=True))
        deviation = np.sqrt(self._squares / np.maximum(self._count, 1))

        def known(values: Array) -> list[float | None]:
            return [float(v) if n else None for v, n in zip(values, self._count, strict=True)]

        found: dict[str, list[Any]] = {"min": known(self._low), "max": known(self._high)}
        found |= {"mean": known(self._mean), "std": known(deviation), "count": [self._rows]}
        return found | quantiles


def _wide(rows: Array) -> Array:
    """As float64; a signalling NaN among them is no reason to warn."""
    with np.errstate(invalid="ignore"):
        return np.asarray(rows, np.float64)


def _quantiles(sample: Array) -> list[list[Any]]:
    """Per quantile (width,), of the finite values of each column."""
    shares = list(QUANTILES.values())
    if len(sample) and np.isfinite(sample).all():
        found: list[list[Any]] = np.quantile(sample, shares, axis=0).tolist()
        return found
    columns = [column[np.isfinite(column)] for column in sample.T]
    each = [np.quantile(c, shares).tolist() if len(c) else [None] * len(shares) for c in columns]
    return [list(values) for values in zip(*each, strict=True)]


class ImageStats:
    """Of a camera's frames: a histogram of 256 levels per channel tells them all."""

    def __init__(self) -> None:
        self._levels = np.zeros((3, 256), np.int64)
        self._frames = 0

    def add(self, frames: Array) -> None:
        """frames: (n, H, W, 3) uint8."""
        for channel in range(3):
            self._levels[channel] += np.bincount(frames[..., channel].ravel(), minlength=256)
        self._frames += len(frames)

    def result(self) -> dict[str, list[Any]]:
        """As stats.json has it: per statistic (3, 1, 1) in [0, 1], count (1,) in frames."""
        level = np.arange(256) / 255.0
        pixels = self._levels.sum(1)
        mean = self._levels @ level / pixels
        deviation = np.sqrt(np.maximum(self._levels @ level**2 / pixels - mean**2, 0.0))
        below = self._levels.cumsum(1)

        def at(share: float) -> Array:
            """The least level that at least this share of the pixels does not exceed."""
            return np.array([level[np.searchsorted(row, max(share * row[-1], 1))] for row in below])

        found = {"min": at(0.0), "max": at(1.0), "mean": mean, "std": deviation}
        found |= {name: at(q) for name, q in QUANTILES.items()}
        return {**{name: v.reshape(3, 1, 1).tolist() for name, v in found.items()}, "count": [self._frames]}


def sampled_frames(frames: Array) -> Array:
    """(at most SAMPLED_FRAMES, H, W, 3), spread evenly."""
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), SAMPLED_FRAMES)).round().astype(int)
    return frames[chosen]
