"""A two-link arm in numbers, and a drive of random ticks that checks every output against the limits."""

import math
from collections.abc import Sequence

import numpy as np

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.motion import Box
from robot_orl.deploy.supervisor.states import Event, State
from robot_orl.deploy.supervisor.supervisor import Supervisor
from robot_orl.types import Array, Safety, Signal, Spec, Telemetry

ARM = ("shoulder", "elbow", "gripper")
HZ = 100.0
ARM_SPEC = Spec(
    "arm",
    {"joint": tuple(Signal(name, "rad") for name in ARM)},
    tuple(Signal(name, low=-1, high=1) for name in ARM),
    HZ,
    50,
)
WORKSPACE = int(Safety.WORKSPACE)
ROUNDING = 1e-11  # of targets of some 1000 rad
OF_ACTIONS = int(Safety.CLIPPED | Safety.RATE_LIMITED)


def tool_at(joints: Array) -> Array:
    """(J,) rad -> (3,) m: links of 0.3 and 0.2 m, lifted by the elbow; the gripper moves nothing."""
    a, b = float(joints[0]), float(joints[1])
    return np.array(
        [
            0.3 * math.cos(a) + 0.2 * math.cos(a + b),
            0.3 * math.sin(a) + 0.2 * math.sin(a + b),
            0.1 * math.sin(b),
        ]
    )


def still(joints: Sequence[float] | Array) -> Telemetry:
    """An arm that stands at its targets."""
    found = np.array(joints, float)
    return Telemetry(positions=found, velocities=np.zeros(len(found)), targets=found)


def running(limits: Limits, joints: Sequence[float] | Array = (0.0, 0.0, 0.0)) -> Supervisor:
    """A supervisor of the arm, in its first tick of an episode, with the arm standing there."""
    supervisor = Supervisor(limits, ARM_SPEC, ARM, tool_at=tool_at)
    for event in (Event.CONNECTED, Event.HOME, Event.HOMED):
        supervisor.handle(event)
    assert supervisor.observed(np.zeros(3, np.float32), 0, 0, still(joints)) is not None
    supervisor.handle(Event.RUN)
    return supervisor


def random_limits(rng: np.random.Generator) -> Limits:
    """Of the arm, each there or not; the box holds the tool of the arm at zero, (0.5, 0, 0)."""

    def maybe(low: float, high: float) -> list[float]:
        return rng.uniform(low, high, rng.choice([0, 1, len(ARM)])).tolist()  # type: ignore[no-any-return]

    has_box = rng.random() < 0.5
    return Limits(
        max_action_delta=rng.uniform(0, 2),
        low_rad=maybe(-2, 0),
        high_rad=maybe(0, 2),
        max_speed_rad_s=maybe(0.01, 10),
        max_acceleration_rad_s2=maybe(0.1, 1000),
        max_jerk_rad_s3=maybe(1, 1e5),
        workspace_low_m=[0.3, -0.1, -0.05] if has_box else [],
        workspace_high_m=[0.6, 0.2, 0.08] if has_box else [],
        floor_m=-0.03 if rng.random() < 0.5 else None,
        max_start_distance_rad=0.2 if rng.random() < 0.5 else None,
    )


def drive(rng: np.random.Generator, ticks: int) -> int:
    """One episode of random wishes, of which one may be no number; returns how many ticks were asked.

    Raises: AssertionError: a limit was left, or something was sent after a veto.
    """
    limits = random_limits(rng)
    supervisor, box = running(limits), Box(limits)
    low, high = limits.of_joints("low_rad", 3).tolist(), limits.of_joints("high_rad", 3).tolist()
    speed = (limits.of_joints("max_speed_rad_s", 3) / HZ).tolist()
    slower = (limits.of_joints("max_acceleration_rad_s2", 3) / HZ**2).tolist()
    jerk = (limits.of_joints("max_jerk_rad_s3", 3) / HZ**3).tolist()
    bad_at = int(rng.integers(0, 2 * ticks))
    wishes = rng.normal(size=(ticks, 3)) * rng.choice([0.01, 0.3, 3.0, 1000.0], (ticks, 1))
    jumps = (rng.random(ticks) < 0.3).tolist()
    actions = rng.normal(size=(ticks, 3)).astype(np.float32)
    flat, x, last, bend = np.zeros(3, np.float32), [0.0] * 3, [0.0] * 3, [0.0] * 3
    sent: list[float] | None = None
    wish = wishes[0]
    for k in range(ticks):
        wish = wishes[k] if jumps[k] else wish + 0.1 * wishes[k]
        if k == bad_at:
            actions[k, k % 3] = np.nan
        supervisor.observed(flat, k, k, still(x))
        action = supervisor.action(actions[k], k, k)
        targets = supervisor.targets(wish)
        if k >= bad_at:
            assert action is None
            assert targets is None
            assert supervisor.state is State.STOPPING
            continue
        assert action is not None
        assert targets is not None
        for i, value in enumerate(now := action.tolist()):
            assert -1 <= value <= 1
            assert sent is None or abs(value - sent[i]) <= limits.max_action_delta + 1e-6
        sent, bits = now, supervisor.safety
        for i, y in enumerate(new := targets.tolist()):
            assert low[i] <= y <= high[i]
            step = y - x[i]
            assert abs(step) <= speed[i] + ROUNDING
            assert bits & WORKSPACE or abs(step - last[i]) <= slower[i] + ROUNDING
            way = math.copysign(1, step)
            gentle = max(way * last[i], 0) + max(way * bend[i], 0) + jerk[i]
            assert abs(step) <= gentle + ROUNDING
            x[i], last[i], bend[i] = y, step, step - last[i]
        assert box.outside(tool_at(targets)) == 0
        if not bits & ~OF_ACTIONS:
            assert new == wish.tolist()
    return ticks
