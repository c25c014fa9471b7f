"""How a person falls short of a script. Drawn once per episode and scaled by a severity v = 1 - skill.

flaw            what is drawn
gain            factor on the hand's motion, log-normal with sigma 0.6 v: below 1 it is slow and falls
                short, above 1 it overshoots and hunts around the target
speed           cap on the hand's motion as a share of full speed, uniform in [1 - 0.6 v, 1]
tremor          correlated noise on every action, standard deviation uniform in [0, 0.6 v]
misjudgement    constant error in where the hand is believed to be, normal with sigma 0.012 v [m]
pauses          Poisson(3 v) times the hand stops for 2 .. 8 steps
wandering       Poisson(4 v) times it drifts in one random direction for 3 .. 8 steps
drops           Poisson(6 v) times in half an episode of carrying, the gripper opens for 2 .. 6 steps
"""

from dataclasses import dataclass

import numpy as np

from robot_orl.types import Array

GAIN_SIGMA = 0.6
SPEED_LOSS = 0.6
TREMOR = 0.6
TREMOR_CORRELATION = 0.6  # between neighbouring steps: a hand does not shake independently 25 times a second
MISJUDGEMENT_M = 0.012
PAUSES = 3.0
WANDERINGS = 4.0
DROPS = 6.0
OPEN = 1.0  # what the last entry of an action is to open the gripper, in every task that has a script


@dataclass(frozen=True)
class Flaws:
    """One episode's flaws, see the module's table. Spans are (first step, end step)."""

    gain: float
    speed: float
    tremor: float
    misjudgement: Array
    pauses: tuple[tuple[int, int], ...]
    wanderings: tuple[tuple[int, int], ...]
    drops: tuple[tuple[int, int], ...]  # beginning counted in steps of carrying

    @classmethod
    def draw(cls, severity: float, rng: np.random.Generator, horizon: int) -> "Flaws":
        """Args: severity: in [0, 1]; 0 draws no flaw at all.  horizon: steps of the episode."""

        def spans(count: int, shortest: int, longest: int, latest: int) -> tuple[tuple[int, int], ...]:
            starts = rng.integers(0, latest, count)
            lengths = rng.integers(shortest, longest + 1, count)
            return tuple((int(s), int(s + n)) for s, n in zip(starts, lengths, strict=True))

        return cls(
            gain=float(np.exp(severity * GAIN_SIGMA * rng.standard_normal())),
            speed=1.0 - severity * SPEED_LOSS * rng.random(),
            tremor=severity * TREMOR * rng.random(),
            misjudgement=severity * MISJUDGEMENT_M * rng.standard_normal(3),
            pauses=spans(rng.poisson(PAUSES * severity), 2, 8, horizon),
            wanderings=spans(rng.poisson(WANDERINGS * severity), 3, 8, horizon),
            drops=spans(rng.poisson(DROPS * severity), 2, 6, max(1, horizon // 2)),
        )


class FlawedHand:
    """Carries out intended actions with an episode's flaws. `rng` gives the tremor and the drifts.

    An action (A,) moves the hand with all entries but its last, which is the gripper's.
    """

    def __init__(self, flaws: Flaws, rng: np.random.Generator, action_size: int = 4) -> None:
        self.flaws, self.rng = flaws, rng
        self.step, self.carried = 0, 0
        self.open_until = 0  # a drop lasts its steps whether or not the object is still held
        self.tremor = np.zeros(action_size)
        self.last = np.zeros(action_size)
        self.drift = np.zeros(action_size)

    def is_pausing(self) -> bool:
        return _inside(self.flaws.pauses, self.step)

    def pause(self) -> Array:
        """The action of a step without an intention: stand still, keep the fingers as they were."""
        self.step += 1
        self.last = np.append(np.zeros(len(self.last) - 1), self.last[-1])
        return self.last

    def execute(self, intended: Array, carrying: bool) -> Array:
        """The action (A,) in [-1, 1] that comes of `intended` (A,).  carrying: it holds an object."""
        flaws = self.flaws
        if carrying:
            self._start_drops()
        action = np.array(intended, np.float64)
        action[:-1] = np.clip(flaws.gain * action[:-1], -flaws.speed, flaws.speed)
        if _inside(flaws.wanderings, self.step):
            action = self._wander()
        if self.step < self.open_until:
            action[-1] = OPEN
        action += self._next_tremor()
        self.step += 1
        self.last = np.clip(action, -1.0, 1.0)
        return self.last

    def _start_drops(self) -> None:
        """A step of carrying: the drops that begin at it begin."""
        for start, end in self.flaws.drops:
            if self.carried == start:
                self.open_until = max(self.open_until, self.step + end - start)
        self.carried += 1

    def _wander(self) -> Array:
        if any(self.step == start for start, _ in self.flaws.wanderings) or not self.drift.any():
            self.drift = self.rng.uniform(-1.0, 1.0, len(self.last))
        return self.drift.copy()

    def _next_tremor(self) -> Array:
        """One step of a stationary AR(1) process of standard deviation `tremor`."""
        rho = TREMOR_CORRELATION
        fresh = self.flaws.tremor * np.sqrt(1.0 - rho**2) * self.rng.standard_normal(len(self.last))
        self.tremor = rho * self.tremor + fresh
        return self.tremor


def _inside(spans: tuple[tuple[int, int], ...], step: int) -> bool:
    return any(start <= step < end for start, end in spans)
