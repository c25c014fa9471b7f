"""Whether a bundle that was swapped in is to give way to the one before: a pure state machine.

            swapped                          a bound is passed
    STEADY ---------> WATCHED (baseline) ------------------------> STEADY, the bundle before acts again

What the bundle before did is the baseline: the clamps among its last `window` ticks, and the mean reward per
tick of its last whole episodes, of one if that is all there is. What the new one does is held against it for
as long as it acts. Ticks that the bundle before did not have count as free ones: swapped in early, the new
one is judged the more strictly. Without a whole episode before, it is judged by its clamps alone.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from robot_orl.schema import Schema, setting
from robot_orl.types import Safety

CLAMPS = sum(bit for bit in Safety if bit < Safety.NON_FINITE)
EPISODES_KEPT = 20


@dataclass
class RollbackConfig(Schema):
    """When a bundle that was swapped in gives way to the one before. A veto ends the run; the way back
    is only noted then."""

    enabled: bool = setting(True, "The bundle before acts again, if it is worse than this.")
    window: int = setting(100, "Ticks over which clamps are counted.", unit="ticks", low=1, high=1_000_000)
    clamps: float = setting(
        0.1, "The share of ticks that the supervisor clamps may rise by this much.", low=0, high=1
    )
    episodes: int = setting(
        3,
        "Whole episodes of the new bundle before rewards are judged, by however many the one before had.",
        low=1,
        high=EPISODES_KEPT,
    )
    reward: float = setting(0.2, "The mean reward per tick may fall by this much.", low=0, high=1e9)


class Rollback:
    """Every method that can find a bound passed returns why, in words, or None."""

    def __init__(self, bounds: RollbackConfig) -> None:
        self.bounds = bounds
        self.is_watching = False
        self._baseline_clamps = 0.0
        self._baseline_reward: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._clamped: deque[bool] = deque(maxlen=self.bounds.window)
        self._count = 0  # of True in it
        self._rewards: deque[float] = deque(maxlen=EPISODES_KEPT)

    def swapped(self) -> None:
        """From the next tick on another bundle acts, and what was seen until now is the baseline."""
        self._baseline_clamps = self._count / self.bounds.window
        self._baseline_reward = _mean(self._rewards)
        self.is_watching = True
        self._begin()

    def went_back(self) -> None:
        """From the next tick on the bundle before acts again, and nothing more is asked of it."""
        self.is_watching = False
        self._begin()

    def step(self, safety: int) -> str | None:
        """A tick. safety: bits of what the supervisor changed."""
        if len(self._clamped) == self.bounds.window:
            self._count -= self._clamped[0]
        is_clamped = bool(safety & CLAMPS)
        self._clamped.append(is_clamped)
        self._count += is_clamped
        share, allowed = self._count / self.bounds.window, self._baseline_clamps + self.bounds.clamps
        if not self.is_watching or share <= allowed:  # a window that is not full yet can be over the bound
            return None
        return (
            f"{self._count} clamps in {self.bounds.window} ticks, {self._baseline_clamps:.1%} before, "
            f"{self.bounds.clamps:.1%} more are allowed"
        )

    def episode(self, reward: float) -> str | None:
        """A whole episode. reward: mean per tick; NaN where the robot cannot tell."""
        if reward != reward:
            return None
        self._rewards.append(reward)
        known, before = _mean(self._rewards), self._baseline_reward
        if not self.is_watching or before is None or known is None:
            return None
        if len(self._rewards) < self.bounds.episodes or known >= before - self.bounds.reward:
            return None
        return (
            f"a reward of {known:.2f} per tick in {len(self._rewards)} episodes, {before:.2f} before, "
            f"{self.bounds.reward:.2f} less is allowed"
        )

    def veto(self, safety: int) -> str | None:
        """The supervisor refused to go on."""
        if not self.is_watching or not safety:
            return None
        return f"a veto of the supervisor, {_names(safety)}"


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _names(safety: int) -> str:
    return ", ".join(str(bit.name).lower() for bit in Safety if safety & bit)
