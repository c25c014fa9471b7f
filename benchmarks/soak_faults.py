"""What goes wrong in a soak, when, and by whose hand; see soak.py."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot_orl.deploy.dynamixel.registers import RAD_PER_TICK
from robot_orl.deploy.timing import Clock
from robot_orl.deploy.virtual.faults import Event, FaultsConfig, LineFaults
from robot_orl.types import Array

OF_LINE = ("noise", "babble")
OF_SERVO = ("overheating", "overload", "shock", "encoder", "voltage", "watchdog", "restart", "missing")
OF_POLICY = ("policy_nan", "policy_huge", "policy_late", "policy_raises")
OF_LOOP = ("stall", "stale_observation", "bad_observation")
OF_PEOPLE = ("hand", "hang_up", "interrupt", "emergency")
KINDS = ("nothing", *OF_LINE, *OF_SERVO, *OF_POLICY, *OF_LOOP, *OF_PEOPLE)


@dataclass(frozen=True)
class Fault:
    """at_s: after the start of the run.  lasts_s: of what ends by itself."""

    kind: str
    at_s: float
    lasts_s: float
    id: int

    def event(self) -> Event:
        """For those that a virtual arm knows."""
        lasts = self.lasts_s if self.kind in ("missing", "voltage", "hang_up") else None
        return Event(0.0, self.kind, None if self.kind == "hang_up" else self.id, lasts)


def planned(rng: np.random.Generator, duration_s: float, ids: int) -> list[Fault]:
    """One fault of any kind, and often some short disturbances before it."""

    def one(kind: str, longest_s: float) -> Fault:
        lasts_s = float(np.exp(rng.uniform(np.log(0.005), np.log(longest_s))))
        return Fault(kind, float(rng.uniform(0, duration_s)), lasts_s, int(rng.integers(1, ids + 1)))

    short = rng.choice(["noise", "stall", "stale_observation", "missing", "hang_up"], rng.integers(0, 4))
    return [*(one(str(kind), 0.04) for kind in short), one(str(rng.choice(KINDS)), 5.0)]


class Noise(LineFaults):
    """A line that is bad from time to time, and a look at every goal that a computer sends.

    rate: share of packets hit, each kind.  babble: answers begin with noise.  look: is given every packet
    of the computer, before anything happens to it.
    """

    def __init__(self, rng: np.random.Generator, look: Callable[[bytes], None]) -> None:
        super().__init__(FaultsConfig())
        self.rate, self.babble = 0.0, False
        self._rng = rng
        self._look = look

    def sent(self, data: bytes) -> bytes:
        self._look(data)
        if self._hits(self.rate, "dropped"):
            return b""
        return self._flipped(data) if self._hits(self.rate, "corrupted") else data

    def answered(self, data: bytes) -> tuple[bytes, int]:
        if self._hits(self.rate, "dropped"):
            return b"", 0
        if self._hits(self.rate, "corrupted"):
            data = self._flipped(data)
        if self.babble or self._hits(self.rate, "garbage"):
            self.counts["garbage"] += self.babble
            data = self._rng.bytes(int(self._rng.integers(1, 40))) + data
        late = float(self._rng.exponential(0.01)) if self._hits(self.rate, "late") else 0.0
        return data, round(late * 1e9)


class Wanderer:
    """A policy that moves all joints at random around a pose, at times as fast as it may, and can go wrong.

    wrong: what it does instead; None: nothing.
    """

    def __init__(self, rng: np.random.Generator, size: int, clock: Clock) -> None:
        self.wrong: str | None = None
        self.late_s = 0.0
        self._rng, self._size, self._clock = rng, size, clock
        self._drift = np.zeros(size)
        self._left = np.zeros(size)  # what was asked for so far, and is to be taken back

    def __call__(self, flat: Array) -> Array:
        if self.wrong == "policy_raises":
            raise FloatingPointError("a policy that broke down")
        if self.wrong == "policy_late":
            self._clock.sleep_until(self._clock.now_ns() + round(self.late_s * 1e9))
        self._drift = 0.9 * self._drift + 0.4 * self._rng.normal(size=self._size)
        action = np.clip(self._drift - 0.05 * self._left, -1, 1)
        if self._rng.random() < 0.02:
            action = self._rng.choice([-1.0, 1.0], self._size)
        self._left += action
        if self.wrong == "policy_nan":
            action[self._rng.integers(self._size)] = np.nan
        elif self.wrong == "policy_huge":
            action *= float(10.0 ** self._rng.uniform(1, 37))
        return action.astype(np.float32)


def goals_in(data: bytes) -> dict[int, float] | None:
    """Goal positions by id [rad], of a packet that writes some; None: it writes none."""
    body = data[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
    if body[:3] == b"\x03\x74\x00":
        return {data[4]: _angle(body[3:7])}
    if body[:5] != b"\x83\x74\x00\x04\x00":
        return None
    return {body[at]: _angle(body[at + 1 : at + 5]) for at in range(5, len(body), 5)}


def _angle(raw: bytes) -> float:
    return (int.from_bytes(raw, "little", signed=True) - 2048) * RAD_PER_TICK
