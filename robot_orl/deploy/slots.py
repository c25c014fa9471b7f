"""The slots of a run: which servo tick is the policy's, what was missed, and how long all of it took.

    servo slots     | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |        per_policy = 4
    policy's slots  |       0       |       1       |

The policy is asked once in each slot of its: in the first servo tick that there is.
"""

from robot_orl.deploy.interpolation import Rates
from robot_orl.deploy.report import Servoing
from robot_orl.deploy.timing import NS_PER_S, Clock, Ticker, TimingLog


class Slots:
    """missed: slots of the policy in which it was not asked.  timing: of the policy's slots."""

    def __init__(self, rates: Rates, clock: Clock, count: int) -> None:
        """count: of the policy, that the run is to have."""
        servo_ns = round(NS_PER_S / rates.servo_hz)
        self.ticker = Ticker(servo_ns, clock)
        # Each sent action may be an episode's last, after which comes one tick more.
        self.timing = TimingLog(servo_ns * rates.per_policy, 2 * count + 1)
        self.missed = 0
        self.homing_ns = 0
        self._rates, self._clock = rates, clock
        self._servo_timing = TimingLog(servo_ns, (2 * count + 1) * rates.per_policy)
        self._slot, self._policy_slot = 0, -1  # since the ticks were anchored
        self._missed_at_last = 0

    def begin(self, homing_began_ns: int) -> None:
        """The robot is at a start: ticks are anchored here."""
        self.timing.restart()
        self._servo_timing.restart()
        self._slot, self._policy_slot = 0, -1
        self.homing_ns += self.ticker.start() - homing_began_ns

    def next(self, now_ns: int, is_waiting: bool) -> tuple[int, bool]:
        """A tick begins. Returns how many slots lie between the last one and this, and whether it is one of
        the policy's.

        is_waiting: the last question is open, so there is no other in this slot.
        """
        slots = 1 + self.ticker.missed - self._missed_at_last
        self._slot += slots
        self._missed_at_last = self.ticker.missed
        if self._rates.per_policy > 1:
            self._servo_timing.tick(now_ns)
        passed = (self._slot - 1) // self._rates.per_policy - self._policy_slot
        if not passed:
            return slots, False
        self._policy_slot += passed
        self.missed += passed - 1 + is_waiting
        self.timing.tick(now_ns)
        return slots, True

    def worked(self, began_ns: int, is_due: bool) -> None:
        """A tick ends that began then. is_due: it was the policy's."""
        took_ns = self._clock.now_ns() - began_ns
        if is_due:
            self.timing.work(took_ns)
        if self._rates.per_policy > 1:
            self._servo_timing.work(took_ns)

    def servoing(self) -> Servoing:
        is_faster = self._rates.per_policy > 1
        timing = self._servo_timing if is_faster else self.timing
        return Servoing(self._rates.servo_hz, self.ticker.missed, timing, self._rates.said)
