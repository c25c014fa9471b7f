"""What in an episode that is reviewed would mislead a learner."""

import numpy as np

from data_collection.teleop.session import Label
from robot_orl.types import Actor, Array, Episode

STILL_S = 2.0  # without anybody acting, after which the person is told


def unmoved(episode: Episode) -> Array:
    """(T,) bool: steps that count as a person's although nobody acted in them."""
    return (episode.actor == Actor.HUMAN) & np.isnan(episode.action_operator).any(axis=1)


def doubts(label: Label, success: bool, still: Array, horizon: int, hz: float) -> str:
    """One line; "": there are none.

    success: as the task sees it at the end of what is kept.  still: see `unmoved`.  horizon: the task's.
    """
    start, stop = label.trim or (0, len(still))
    longest = _longest_run(still[start:stop])
    found = []
    if label.success and not success:
        found += ["you say success, but the task does not: its rewards stay those of a failure"]
    if label.success is False and success:
        found += ["you say failure, but the task says success: its rewards stay those of a success"]
    if longest == stop - start:
        found += ["nobody acts in any of these steps: standing still would be learned"]
    elif longest >= STILL_S * hz:
        found += [f"nobody acts for {int(longest / hz)} s in a row: standing still would be learned"]
    if stop - start > horizon:
        found += [f"{stop - start} steps; policies have {horizon} to do it, the task's horizon"]
    return "; ".join(found)


def _longest_run(flags: Array) -> int:
    """Of those that are set, one behind the other."""
    clear = np.flatnonzero(np.concatenate([[True], ~flags, [True]]))
    return int(np.diff(clear).max()) - 1
