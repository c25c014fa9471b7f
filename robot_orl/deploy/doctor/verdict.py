"""Whether a control rate can be kept on this host, from what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from robot_orl.deploy.doctor.measure import Period

# Of the period: the error of 999 of 1000 periods, and what a tick's work may take (p99).
GOOD_ERROR, USABLE_ERROR = 0.05, 0.20
GOOD_WORK, USABLE_WORK = 0.50, 0.80
USABLE_MISSED = 0.001  # of the slots; none for a good verdict
GOOD, USABLE, NO = "good", "usable", "no"


@dataclass(frozen=True)
class Verdict:
    """verdict: 'good', 'usable' or 'no'.  why: the figures that decided."""

    hz: float
    verdict: str
    why: str


def judge(hz: float, periods: Sequence[Period], work_us: float) -> Verdict:
    """The worst of the measurements at a rate decides.

        verdict   p99.9 of the period error   slots missed   work of a tick (p99)
        good      up to 5% of the period      none           up to 50% of the period
        usable    up to 20%                   up to 0.1%     up to 80%
        no        more                        more           more

    work_us: what inference and a round trip on the bus take together, p99 [us].
    """
    period_us = 1e6 / hz
    error_us = max(float(period.error_us["p99.9"] or 0.0) for period in periods)
    slots = sum(period.ticks + period.missed for period in periods)
    missed = max(period.missed / (period.ticks + period.missed) for period in periods)
    error, work = error_us / period_us, work_us / period_us
    if error <= GOOD_ERROR and missed == 0 and work <= GOOD_WORK:
        found = GOOD
    elif error <= USABLE_ERROR and missed <= USABLE_MISSED and work <= USABLE_WORK:
        found = USABLE
    else:
        found = NO
    why = (
        f"p99.9 {error_us:.0f} us is {error:.1%} of the period; "
        f"{sum(period.missed for period in periods):,} of {slots:,} slots missed; "
        f"work {work_us:.0f} us is {work:.0%}"
    )
    return Verdict(hz, found, why)
