"""What goes wrong on a virtual bus: shares of packets, and things that happen at a certain time.

An event is written TIME:WHAT[:ID[:DURATION]], in seconds, such as `5:overheating:3` or `8:missing:2:0.5`:

    missing       the servo's cable is out for DURATION, for good without one; it keeps its power
    overheating   its temperature jumps above the limit, and falls as it would
    overload, shock, encoder   that hardware error
    voltage       the supply of the servo, of all without an id, falls below the limit for DURATION
    watchdog      its Bus Watchdog trips
    restart       its power fails for a moment: it starts anew, without torque
    hang_up       the port vanishes for DURATION, 1 s without one, as when the USB cable is pulled
"""

import math
from dataclasses import dataclass

import numpy as np

from robot_orl.deploy.dynamixel.registers import MAX_ID
from robot_orl.errors import UsageError, unknown
from robot_orl.schema import Schema, setting

EVENTS = (
    "missing",
    "overheating",
    "overload",
    "shock",
    "encoder",
    "voltage",
    "watchdog",
    "restart",
    "hang_up",
)
WITHOUT_ID = ("voltage", "hang_up")  # may concern all
LATEST_S = 1e9  # 31 years; in nanoseconds still an int64


@dataclass
class FaultsConfig(Schema):
    """Faults of the bus; rates are shares of what is sent, either way."""

    drop: float = setting(0.0, "Share that is lost.", low=0, high=1)
    corrupt: float = setting(0.0, "Share in which a bit is flipped.", low=0, high=1)
    garbage: float = setting(0.0, "Share of answers with noise in front of them.", low=0, high=1)
    late: float = setting(0.0, "Share of answers that come late.", low=0, high=1)
    late_s: float = setting(0.05, "How late they come.", unit="s", low=0, high=10)
    seed: int = setting(0, "Which of them are hit.", low=0, high=2**31)
    events: list[str] = setting(
        factory=list,
        help=f"[5:overheating:3,8:missing:2:0.5,...]: TIME:WHAT[:ID[:DURATION]] of {', '.join(EVENTS)}.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in self.events:
            Event.parse(text)


@dataclass(frozen=True)
class Event:
    """at_s: after the start.  id: None: all, or the port.  duration_s: None: what is usual."""

    at_s: float
    what: str
    id: int | None = None
    duration_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Event":
        """Raises: UsageError: not TIME:WHAT[:ID[:DURATION]]."""
        parts = str(text).split(":")
        problem = UsageError(f"fault '{text}' is not TIME:WHAT[:ID[:DURATION]], such as 5:overheating:3")
        if not 2 <= len(parts) <= 4:
            raise problem
        try:
            at_s = float(parts[0])
            id = int(parts[2]) if len(parts) > 2 and parts[2] else None
            duration_s = float(parts[3]) if len(parts) > 3 else None
        except ValueError:
            raise problem from None
        if math.isnan(at_s) or at_s < 0 or (duration_s is not None and not duration_s >= 0):
            raise problem
        if max(at_s, duration_s or 0.0) > LATEST_S:
            raise UsageError(f"fault '{text}': times are 0 .. {LATEST_S:g} s")
        if parts[1] not in EVENTS:
            raise unknown("fault", parts[1], EVENTS)
        if id is None and parts[1] not in WITHOUT_ID:
            raise UsageError(f"fault '{text}' needs the id of a servo: {parts[0]}:{parts[1]}:ID")
        if id is not None and not 0 <= id <= MAX_ID:
            raise UsageError(f"fault '{text}': ids are 0 .. {MAX_ID}")
        return cls(at_s, parts[1], id, duration_s)


class LineFaults:
    """Hits packets at random. counts: how many of each kind."""

    def __init__(self, cfg: FaultsConfig) -> None:
        self._cfg = cfg
        self._rng = np.random.default_rng(cfg.seed)
        self.counts = {"dropped": 0, "corrupted": 0, "garbage": 0, "late": 0}

    def sent(self, data: bytes) -> bytes:
        """What of the computer's bytes reaches the servos."""
        if self._hits(self._cfg.drop, "dropped"):
            return b""
        return self._flipped(data) if self._hits(self._cfg.corrupt, "corrupted") else data

    def answered(self, data: bytes) -> tuple[bytes, int]:
        """What of a servo's answer reaches the computer, and its delay [ns]."""
        if self._hits(self._cfg.drop, "dropped"):
            return b"", 0
        if self._hits(self._cfg.corrupt, "corrupted"):
            data = self._flipped(data)
        if self._hits(self._cfg.garbage, "garbage"):
            data = self._rng.bytes(int(self._rng.integers(1, 9))) + data
        delay = round(self._cfg.late_s * 1e9) if self._hits(self._cfg.late, "late") else 0
        return data, delay

    def _hits(self, share: float, name: str) -> bool:
        is_hit = share > 0 and self._rng.random() < share
        self.counts[name] += is_hit
        return is_hit

    def _flipped(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[self._rng.integers(len(data))] ^= 1 << int(self._rng.integers(8))
        return bytes(changed)
