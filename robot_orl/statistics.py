"""Small statistics that several parts report alike. Imports nothing of the project."""

import math


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval for a success rate from `successes` out of `n` trials; (0, 1) without trials.

    z: normal quantile, 1.96 for 95%.  Source: Wilson 1927, "Probable inference", eq. for the score
    interval; unlike the textbook interval it stays inside [0, 1] and is not a point at 0 or n.
    """
    if n == 0:
        return 0.0, 1.0
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes out of {n} trials")
    rate, z2 = successes / n, z * z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and n the bound is exactly 0 or 1; rounding must not move it.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high
