"""Decides, tick by tick, what may be sent to a robot, and when it must stop.

Pure: it reads no clock, waits for nothing and touches no robot. Whoever runs the robot tells it what
happened (`handle`) and asks it before anything is sent:

    observed -> (the policy) -> action -> (the robot's action law) -> targets -> (the robot)

Each either lets a value through, changes it (a clamp), or answers None (a veto): then the state is
`stopping`, every later question is answered by None too, and there is nothing to send but a stop. Where
nothing speaks against the joints moving on for a moment, `brake` tells how they come to rest before it.
"""

from collections.abc import Sequence

import numpy as np

from robot_orl.deploy.supervisor.actions import ActionLimiter
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.measured import MeasuredChecks, Veto
from robot_orl.deploy.supervisor.motion import MotionLimiter, ToolAt
from robot_orl.deploy.supervisor.states import Event, Machine, State
from robot_orl.types import Array, Safety, Spec, Telemetry

VETOES = sum(bit for bit in Safety if bit >= Safety.NON_FINITE)
IN_THE_WAY = int(Safety.TRACKING | Safety.OVERLOAD | Safety.OUT_OF_BOUNDS)  # something may be, or worse


class Supervisor:
    """The checks of one robot, and its state.

    limits: the robot's, tightened by whatever else has a say.  joints: names of those that it reports and
    whose targets are checked; empty: only observations and actions are.  tool_at: see `offers.Jointed`.
    servo_hz: how often `observed` and `targets` are asked; None: as often as the policy, once an action.
    safety: the `Safety` bits of this tick; `observed` begins a new one.
    counts: in how many ticks each of them was set.
    """

    def __init__(
        self,
        limits: Limits,
        spec: Spec,
        joints: Sequence[str] = (),
        tool_at: ToolAt | None = None,
        servo_hz: float | None = None,
    ) -> None:
        """Raises: UsageError: the limits are of another number of joints."""
        self.limits = limits
        self.safety = 0
        self._machine = Machine()
        self._spec = spec
        self._max_observation_age_ns = int(limits.max_observation_age_s * 1e9)
        self._max_policy_age_ns = int(limits.max_policy_age_s * 1e9)
        self._actions = ActionLimiter(spec.action, limits.max_action_delta)
        self._measured = MeasuredChecks(limits, tuple(joints))
        self._motion = MotionLimiter(limits, len(joints), 1 / (servo_hz or spec.control_hz), tool_at)
        self._has_joints = bool(joints)
        self._counts = [0] * len(Safety)
        self._has_begun = False

    @property
    def state(self) -> State:
        return self._machine.state

    @property
    def faults(self) -> list[str]:
        """Why, a line each, since the robot was connected."""
        return self._machine.faults

    @property
    def counts(self) -> dict[str, int]:
        return {(bit.name or "").lower(): count for bit, count in zip(Safety, self._counts, strict=True)}

    def handle(self, event: Event, why: str = "") -> State:
        """Something happened; returns the new state. Raises: RunError: it cannot happen in this state."""
        if event is Event.HOMED:
            self._has_begun = False
        return self._machine.handle(event, why)

    def observed(
        self, flat: Array, taken_ns: int, now_ns: int, telemetry: Telemetry | None = None
    ) -> Array | None:
        """A tick begins. The flat observation, (D,), if it may be acted on; else None.

        taken_ns, now_ns: when it was taken, and now.  telemetry: of a robot with joints.
        """
        self.safety = 0
        if self.state not in (State.READY, State.RUNNING):
            return None
        age_ns = now_ns - taken_ns
        if age_ns > self._max_observation_age_ns:
            return self._refuse(
                Safety.STALE, _aged("the newest observation is", age_ns, self._max_observation_age_ns)
            )
        if not np.isfinite(flat).all():
            return self._refuse(
                Safety.BAD_OBSERVATION, f"the observation is not finite: {self._signal(flat)}"
            )
        if not self._has_begun:
            self._actions.begin()
            self._measured.begin()
        if self._has_joints and (telemetry is None or telemetry.positions is None):
            return self._refuse(Safety.BAD_OBSERVATION, "the robot does not report its joints")
        if telemetry is not None and (veto := self._measured(telemetry, now_ns)):
            return self._refuse(veto.bit, veto.why)
        if telemetry is not None and telemetry.positions is not None:
            stands_at = telemetry.positions if telemetry.targets is None else telemetry.targets
            # A robot that was away for a moment holds where it is, not where it was sent.
            if not self._has_begun or (telemetry.targets is not None and not self._motion.is_at(stands_at)):
                self._motion.begin(stands_at)
        self._has_begun = True
        return flat

    def action(self, proposed: Array, asked_ns: int, now_ns: int, who: str = "the policy") -> Array | None:
        """What somebody proposed, (A,) -> (A,) float32 that may be sent; None: nothing may.

        asked_ns: when the observation of this tick was handed to the policy.  who: has proposed it.
        """
        if self.state is not State.RUNNING:
            return None
        age_ns = now_ns - asked_ns
        if age_ns > self._max_policy_age_ns:
            return self._refuse(
                Safety.STALE_POLICY, _aged("the policy's answer is", age_ns, self._max_policy_age_ns)
            )
        if (names := self._actions.non_finite(proposed)) is not None:
            return self._refuse(Safety.NON_FINITE, f"{who} proposed a non-finite action for: {names}")
        allowed, bits = self._actions(proposed)
        if bits:
            self._note(bits)
        return allowed

    def awaits(self, asked_ns: int, now_ns: int) -> bool:
        """Whether to wait on for an answer of the policy; too late an answer is a fault."""
        age_ns = now_ns - asked_ns
        if age_ns <= self._max_policy_age_ns:
            return True
        limit = f"limit {self._max_policy_age_ns / 1e6:.1f} ms"
        self._refuse(Safety.STALE_POLICY, f"the policy has been silent for {age_ns / 1e6:.1f} ms, {limit}")
        return False

    def forsaken(self, why: str) -> None:
        """There will be no answers of the policy any more: a fault."""
        self._refuse(Safety.STALE_POLICY, why)

    def brake(self) -> Array | None:
        """After a fault: the next targets of joints that come to rest, (J,) rad; None: they rest."""
        if self.state is not State.STOPPING or not self._has_joints or not self._has_begun:
            return None
        return self._motion.brake()

    def targets(self, wanted: Array) -> Array | None:
        """What the robot's action law asks for, (J,) rad -> (J,) that may be sent; None: nothing may."""
        if self.state is not State.RUNNING:
            return None
        if not np.isfinite(wanted).all():
            return self._refuse(Safety.NON_FINITE, "the targets that the action asks for are not finite")
        allowed, bits = self._motion(wanted)
        if bits:
            self._note(bits)
        return allowed

    def _refuse(self, bit: Safety, why: str) -> Array | None:
        """A fault; there is nothing that may be sent."""
        self._note(int(bit))
        self._machine.handle(Event.FAULT, str(Veto(bit, why)))
        return None

    def _note(self, bits: int) -> None:
        new = bits & ~self.safety
        self.safety |= bits
        while new:
            lowest = new & -new
            self._counts[lowest.bit_length() - 1] += 1
            new ^= lowest

    def _signal(self, flat: Array) -> str:
        """The first signal of an observation that is not finite."""
        names = [f"{key}/{one.name}" for key, part in self._spec.observation.items() for one in part]
        return names[int(np.argmin(np.isfinite(flat)))]


def _aged(what: str, age_ns: int, limit_ns: int) -> str:
    return f"{what} {age_ns / 1e6:.1f} ms old, limit {limit_ns / 1e6:.1f} ms"
