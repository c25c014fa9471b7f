"""What the policy process answers to an observation: an action, and what the bundle thinks of it.

A second policy may run beside, in the shadow: it is asked the same, and its answer is only kept.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from robot_orl.deploy.bundle import Bundle
from robot_orl.types import Array


@dataclass(frozen=True, eq=False)
class Answer:
    """To one observation.

    action: (A,) in [-1, 1], of the bundle that acts.
    value: mean of Q(s, action) over the bundle's critics.  disagreement: their standard deviation. NaN
    without a critic.
    shadow_action: (A,), what the shadow would have done.  shadow_value: what the shadow's critics say of
    it. NaN without a shadow, or without its critic.
    bundle_number: which bundle acted: 0 the first, then one more with each swap; who comes back has its own.
    novelty: how far the observation is from normal ones; NaN where the bundle has no calibrated alarm.
    alarm: bits of `Alarm`.
    """

    action: Array
    value: float
    disagreement: float
    shadow_action: Array
    shadow_value: float
    bundle_number: int = 0
    novelty: float = math.nan
    alarm: int = 0


class AnswerLayout:
    """An answer as one row of float32 in shared memory, for actions of A signals:

    0        A       A+1            A+2             2A+2           2A+3            2A+4      2A+5    2A+6
    | action | value | disagreement | shadow_action | shadow_value | bundle_number | novelty | alarm |
    """

    def __init__(self, action_size: int) -> None:
        self.action_size = action_size
        self.size = 2 * action_size + 6

    def pack(self, answer: Answer, row: Array) -> None:
        """Write into row (size,) float32."""
        a = self.action_size
        row[:a] = answer.action
        row[a] = answer.value
        row[a + 1] = answer.disagreement
        row[a + 2 : 2 * a + 2] = answer.shadow_action
        row[2 * a + 2] = answer.shadow_value
        row[2 * a + 3] = answer.bundle_number
        row[2 * a + 4] = answer.novelty
        row[2 * a + 5] = answer.alarm

    def unpack(self, row: Array) -> Answer:
        """From row (size,); the answer keeps none of its memory."""
        a = self.action_size
        return Answer(
            action=row[:a].copy(),
            value=float(row[a]),
            disagreement=float(row[a + 1]),
            shadow_action=row[a + 2 : 2 * a + 2].copy(),
            shadow_value=float(row[2 * a + 2]),
            bundle_number=int(row[2 * a + 3]),
            novelty=float(row[2 * a + 4]),
            alarm=int(row[2 * a + 5]),
        )


class Answerer:
    """Asks the bundle that acts and, if there is one, the shadow.

    One thread asks and orders the way back; any thread swaps, which is a single assignment.
    """

    def __init__(self, bundle: Bundle, shadow: Bundle | None = None) -> None:
        self._acting = self._previous = self._newest = self._taken = bundle, 0
        self._numbers = itertools.count(1)
        self._shadow = shadow
        self._nothing = np.full(bundle.spec.action_size, np.nan, np.float32)

    @property
    def bundle(self) -> Bundle:
        """The one that acts."""
        return self._acting[0]

    def __call__(self, flat: Array) -> Answer:
        """flat: (D,) float32 observation."""
        self._take()
        return self._answer(flat)

    def rehearse(self, flat: Array) -> None:
        """As if an observation had come, so that the next answer is quick; nothing changes by it."""
        self._answer(flat)

    def _answer(self, flat: Array) -> Answer:
        bundle, number = self._acting
        action = bundle.policy(flat)
        value, disagreement = _judged(bundle, flat, action)
        shadow_action, shadow_value = self._nothing, math.nan
        if self._shadow is not None:
            shadow_action = self._shadow.policy(flat)
            shadow_value, _ = _judged(self._shadow, flat, shadow_action)
        novelty, alarm = math.nan, 0
        if (calibration := bundle.calibration) is not None:
            novelty = calibration.novelty(flat)
            alarm = int(calibration.alarm(novelty, value, disagreement))
        return Answer(action, value, disagreement, shadow_action, shadow_value, number, novelty, alarm)

    def swap(self, bundle: Bundle) -> int:
        """From the next observation on `bundle` acts. It is loaded and checked already, and fits.

        Returns its number.
        """
        number = next(self._numbers)
        self._newest = bundle, number
        return number

    def back(self, number: int) -> None:
        """If bundle `number` acts, from the next observation on the one before does; it is still loaded."""
        self._take()
        if self._acting[1] == number:
            self._acting, self._previous = self._previous, self._acting

    def _take(self) -> None:
        """Let the bundle act that was swapped in since, if one was."""
        if (newest := self._newest) is not self._taken:
            self._previous, self._acting, self._taken = self._acting, newest, newest


def _judged(bundle: Bundle, flat: Array, action: Array) -> tuple[float, float]:
    """Mean and standard deviation over the critics."""
    if bundle.critic is None:
        return math.nan, math.nan
    q = bundle.critic(flat, action)
    return float(q.mean()), float(q.std())
