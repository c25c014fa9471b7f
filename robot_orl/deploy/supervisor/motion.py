"""Joint targets as they are asked for -> targets that keep to the limits, one tick after the other.

Per joint, with x the last target and u the change of the last tick, all in rad per tick:

    u' - u grows by no more than jerk        while a joint speeds up; slowing down is never delayed
    |u' - u|                  <= acceleration
    |u'|                      <= speed
    x + u' in the range, and slow enough to stop inside of it at that acceleration

What is asked for passes as it is while it keeps to all of these; any other change becomes the nearest that
does. A joint that has fallen behind moves along with what is asked for, plus as much as lets it close the gap
without running ahead.
Because the range is approached slowly enough to stop, range, speed and acceleration never contradict each
other. A first target that lies far off is approached slowly, too.

The tool is kept in its box last: where the targets would take it out (or further out), each joint in turn
gets its change, or a braked one, or stands still, whichever first leaves the tool inside. Standing still
overrules the acceleration: it is the one thing that is always safe to send.

Plain floats: for the few joints of an arm that is several times faster than arrays.
"""

import math
from collections.abc import Callable

import numpy as np

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.types import Array, Safety

ToolAt = Callable[[Array], Array | None]
_POSITION, _SPEED, _ACCELERATION = int(Safety.POSITION), int(Safety.SPEED), int(Safety.ACCELERATION)
_JERK, _WORKSPACE, _START_RAMP = int(Safety.JERK), int(Safety.WORKSPACE), int(Safety.START_RAMP)


ROUNDING_RAD = 1e-3  # of targets that a robot keeps in ticks of its encoders or in float32
RESTS_RAD = 1e-9  # a joint whose target changes by less in a tick rests
BRAKE_S = 0.1  # within which joints come to rest whose acceleration is not limited any further


class Box:
    """Where the tool may be: a box in the frame of the base, cut off at the floor."""

    def __init__(self, limits: Limits) -> None:
        low = limits.workspace_low_m or [-math.inf] * 3
        high = limits.workspace_high_m or [math.inf] * 3
        floor = -math.inf if limits.floor_m is None else limits.floor_m
        self._sides = list(zip([*low[:2], max(low[2], floor)], high, strict=True))
        self.is_open = all(math.isinf(bound) for side in self._sides for bound in side)

    def outside(self, tool: Array | None) -> float:
        """How far the tool, (3,) m, is outside of its nearest side [m]; 0 inside or unknown, inf for NaN."""
        if tool is None:
            return 0.0
        depth = 0.0
        for value, (low, high) in zip(tool.tolist(), self._sides, strict=True):
            if not low <= value <= high:
                depth = max(depth, low - value, value - high) if math.isfinite(value) else math.inf
        return depth


class MotionLimiter:
    """Remembers the last target and its motion; `begin` before the first tick of an episode.

    tool_at: (J,) rad -> (3,) m, pure; None: the robot has no tool whose place it knows.
    """

    def __init__(self, limits: Limits, joints: int, dt_s: float, tool_at: ToolAt | None = None) -> None:
        """Raises: UsageError: the limits are of another number of joints."""
        self.low: list[float] = limits.of_joints("low_rad", joints).tolist()
        self.high: list[float] = limits.of_joints("high_rad", joints).tolist()
        self._speed = (limits.of_joints("max_speed_rad_s", joints) * dt_s).tolist()
        self._acceleration = (limits.of_joints("max_acceleration_rad_s2", joints) * dt_s**2).tolist()
        self._jerk = (limits.of_joints("max_jerk_rad_s3", joints) * dt_s**3).tolist()
        self._start_speed = limits.start_speed_rad_s * dt_s
        self._start_distance = limits.max_start_distance_rad
        self._box = Box(limits)
        self._tool_at = None if self._box.is_open else tool_at
        self._still = [0.0] * joints
        self._brake_ticks = max(1.0, BRAKE_S / dt_s)

    def begin(self, targets: Array) -> None:
        """The robot stands still at these targets, (J,) rad."""
        self._targets: list[float] = targets.tolist()
        self._change = self._still  # of the last tick
        self._bend = self._still  # of the change
        self._asked: list[float] | None = None  # in the last tick, in the range
        self._slower: list[float] | None = None  # while braking: by how much the change shrinks
        self._ramps = False
        self._outside = self._depth(self._targets)

    def is_at(self, targets: Array) -> bool:
        """Whether these are the last targets, (J,) rad, up to rounding."""
        pairs = zip(targets.tolist(), self._targets, strict=True)
        return all(abs(one - other) <= ROUNDING_RAD for one, other in pairs)

    def __call__(self, wanted: Array) -> tuple[Array, int]:
        """Finite targets, (J,) rad -> what may be sent, (J,), and the `Safety` bits of what changed it."""
        asked = [min(max(g, lo), hi) for g, lo, hi in zip(wanted.tolist(), self.low, self.high, strict=True)]
        bits = _POSITION if asked != wanted.tolist() else 0
        ramp = self._ramp(asked)
        bits |= _START_RAMP if ramp < math.inf else 0
        targets = []
        for joint, goal in enumerate(asked):
            target, found = self._limited(joint, goal, ramp)
            targets.append(target)
            bits |= found
        self._asked = asked
        if self._tool_at is not None:
            targets, found = self._kept_in_box(targets)
            bits |= found
        change = [new - old for new, old in zip(targets, self._targets, strict=True)]
        self._bend = [new - old for new, old in zip(change, self._change, strict=True)]
        self._targets, self._change = targets, change
        return np.array(targets), bits

    def brake(self) -> Array | None:
        """The next targets on the way to rest, (J,) rad; None: all joints rest. Once asked, asked to the end.

        As fast as the acceleration allows, but not at once where nothing limits it.
        """
        if max(map(abs, self._change), default=0.0) < RESTS_RAD:
            return None
        if self._slower is None:
            pairs = zip(self._change, self._acceleration, strict=True)
            self._slower = [min(abs(change) / self._brake_ticks, limit) for change, limit in pairs]
        self._asked = self._targets  # what was asked for does not count any more
        slowed = [
            math.copysign(max(0.0, abs(change) - slower), change)
            for change, slower in zip(self._change, self._slower, strict=True)
        ]
        targets, _ = self(np.array([x + change for x, change in zip(self._targets, slowed, strict=True)]))
        return targets

    def _ramp(self, asked: list[float]) -> float:
        """The fastest change [rad] while a first target that lies far off is approached; then inf."""
        if self._start_distance is None or not (self._ramps or self._asked is None):
            return math.inf
        distance = max(abs(goal - x) for goal, x in zip(asked, self._targets, strict=True))
        self._ramps = distance > self._start_distance
        return self._start_speed if self._ramps else math.inf

    def _limited(self, joint: int, goal: float, ramp: float) -> tuple[float, int]:
        """The nearest target of a joint that keeps to the joint's limits, and the bits of those that bind."""
        x, before, slower = self._targets[joint], self._change[joint], self._acceleration[joint]
        asked = goal if self._asked is None else self._asked[joint]
        gap = asked - x
        closed = stoppable(abs(gap), slower)
        bits = _ACCELERATION if closed < abs(gap) else 0
        change = goal - asked + math.copysign(closed, gap)
        change = min(max(change, min(goal - x, 0.0)), max(goal - x, 0.0))  # never away from it, nor past it
        way = math.copysign(1.0, change)
        gentle = max(way * before, 0.0) + max(way * self._bend[joint], 0.0) + self._jerk[joint]
        if abs(change) > gentle:
            change = way * gentle
            bits |= _JERK
        if abs(change - before) > slower:
            change = before + math.copysign(slower, change - before)
            bits |= _ACCELERATION
        fastest = min(self._speed[joint], max(ramp, abs(before) - slower))
        if abs(change) > fastest:
            change = math.copysign(fastest, change)
            bits |= _SPEED
        room = stoppable(self.high[joint] - x if change > 0 else x - self.low[joint], slower)
        if abs(change) > room:
            change = math.copysign(room, change)
            bits |= _POSITION
        return (self._moved(joint, change) if bits else goal), bits

    def _moved(self, joint: int, change: float) -> float:
        """The target after a change; rounding must not leave a range that it was in."""
        x, low, high = self._targets[joint], self.low[joint], self.high[joint]
        return min(max(x + change, min(low, x)), max(high, x))

    def _kept_in_box(self, targets: list[float]) -> tuple[list[float], int]:
        """The targets with the tool in its box, or no further out of it than it was."""
        depth = self._depth(targets)
        if depth <= self._outside:
            self._outside = depth
            return targets, 0
        kept = self._targets.copy()
        for joint, target in enumerate(targets):
            before = self._change[joint]
            braked = math.copysign(max(0.0, abs(before) - self._acceleration[joint]), before)
            for attempt in (target, self._moved(joint, braked)):
                kept[joint] = attempt
                depth = self._depth(kept)
                if depth <= self._outside:
                    self._outside = depth
                    break
                kept[joint] = self._targets[joint]
        return kept, _WORKSPACE

    def _depth(self, targets: list[float]) -> float:
        return 0.0 if self._tool_at is None else self._box.outside(self._tool_at(np.array(targets)))


def stoppable(room: float, slower: float) -> float:
    """The largest change of this tick after which one can come to rest within `room`.

    slower: by how much the change shrinks with every tick from then on. After a change u of n * slower or
    more come n ticks of u - slower, u - 2 * slower ...: in all (n + 1) * u - slower * n * (n + 1) / 2.
    """
    if room <= 0.0:
        return 0.0
    if math.isinf(room) or math.isinf(slower):
        return room
    n = int((math.sqrt(1.0 + 8.0 * room / slower) - 1.0) / 2.0)
    return (room + slower * n * (n + 1) / 2.0) / (n + 1)
