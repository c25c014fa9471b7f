"""Who took over while a run was finetuned, how often, and how well steps kept to real time.

All of it follows from the recorded episodes, so that nothing is counted twice or lost by a kill.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from robot_orl.intervention import interventions
from robot_orl.types import Actor, Array, Episode, Metrics

PARTS = 20  # of a run, in each of which interventions are counted
NEVER_MS = 1e-3  # no tick of real time is on time so exactly; in a simulation all are
LATE = {"p50": 50.0, "p99": 99.0, "max": 100.0}  # percentiles


@dataclass(frozen=True)
class Played:
    """Of one episode: its steps, those of somebody who had taken over, and how many times they had."""

    steps: int
    theirs: int
    times: int
    success: bool
    seed: int | None
    reward: float


def played(episode: Episode) -> Played:
    actor = np.asarray(episode.actor)
    theirs, meta = int((actor == Actor.INTERVENTION).sum()), episode.meta
    reward = float(episode.reward.sum())
    return Played(len(actor), theirs, interventions(actor), bool(meta.success), meta.seed, reward)


class Takeovers:
    """period_ns: of control.  played: what there is to know of the episodes of the run, in their order."""

    def __init__(self, period_ns: float) -> None:
        self._period_ns = period_ns
        self.played: list[Played] = []
        self._late_ms: list[Array] = []
        self._told = 0  # episodes of which `lately` has told

    def saw(self, episode: Episode) -> None:
        """The next one of the run."""
        self.played.append(played(episode))
        late = late_ms(episode.t_ns, self._period_ns)
        if np.any(late > NEVER_MS):
            self._late_ms.append(late)

    @property
    def any(self) -> bool:
        return any(one.times for one in self.played)

    def seeing(self, episodes: Iterable[Episode]) -> Iterable[Episode]:
        """The same ones, of an earlier process, seen on their way."""
        for episode in episodes:
            self.saw(episode)
            yield episode

    def told(self, env_steps: int) -> None:
        """`lately` told of the episodes up to this environment step, in an earlier process."""
        ends = np.cumsum([one.steps for one in self.played])
        self._told = int(np.searchsorted(ends, env_steps, side="right"))

    def lately(self) -> Metrics:
        """Of the episodes since this was asked last, for the log."""
        found, self._told = _of(self.played[self._told :]), len(self.played)
        return {
            "interventions/per_episode": found["per_episode"],
            "interventions/step_share": found["step_share"],
        }

    def figures(self) -> Metrics:
        """For the summary. over_time: parts of the run, one after the other, with as many episodes each.

        lateness_ms: of ticks of control behind their time; missing where nothing was played in real time.
        """
        size = max(1, -(-len(self.played) // PARTS))
        parts = [self.played[i : i + size] for i in range(0, len(self.played), size)]
        ends = np.cumsum([sum(one.steps for one in part) for part in parts])
        found = {
            **_of(self.played),
            "over_time": [
                {"env_steps": int(end), **_of(part)} for end, part in zip(ends, parts, strict=True)
            ],
        }
        if self._late_ms:
            late = np.concatenate(self._late_ms)
            found["lateness_ms"] = {
                name: round(float(np.percentile(late, share)), 3) for name, share in LATE.items()
            } | {"ticks": len(late)}
        return found


def late_ms(t_ns: Array, period_ns: float) -> Array:
    """How late each step's action was, behind the tick that it was for, (T - 1,) ms.

    t_ns: (T,) from the episode's start, at which ticks are counted. One that comes a period late or later
    misses ticks, and is as late as it is behind the first that it missed.
    """
    due = np.round(t_ns[:-1] / period_ns) + 1
    return np.asarray(np.maximum(0.0, t_ns[1:] - due * period_ns) / 1e6)


def _of(part: Sequence[Played]) -> Metrics:
    episodes, steps = len(part), sum(one.steps for one in part)
    times = sum(one.times for one in part)
    return {
        "episodes": episodes,
        "interventions": times,
        "per_episode": round(times / episodes, 4) if episodes else 0.0,
        "episodes_with": sum(one.times > 0 for one in part),
        "step_share": round(sum(one.theirs for one in part) / steps, 4) if steps else 0.0,
        "success": round(sum(one.success for one in part) / episodes, 4) if episodes else 0.0,
    }
