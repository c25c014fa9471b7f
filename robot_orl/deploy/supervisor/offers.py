"""What a robot may offer beyond `types.Robot`, so that more can be checked. Each part is optional."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import gymnasium

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.types import Array, Telemetry


@runtime_checkable
class Limited(Protocol):
    """A robot that says what its motion must keep to.

    limits: of its YAML; once it is connected, tightened by what its servos declare (`tightened_by`).
    """

    limits: Limits


@runtime_checkable
class Jointed(Protocol):
    """A robot with J joints whose targets are checked before they are sent: `plan`, check, `command`.

    It is commanded by `command`, so it may leave `send` to those who know nothing of joints.
    """

    joints: tuple[str, ...]

    def telemetry(self) -> Telemetry:
        """Of the latest `observe`; reads nothing by itself. `positions` and `targets` are known."""

    def plan(self, action: Array) -> Array:
        """(A,) in [-1, 1] -> the targets that it asks for, (J,) rad. Moves nothing, changes nothing."""

    def command(self, targets: Array) -> Array:
        """Move the joints' targets, (J,) rad; returns the action that this was, (A,) float32."""

    def tool_at(self, joints: Array) -> Array | None:
        """(J,) rad -> where the tool is then, (3,) m in the frame of the base; None: it cannot tell.

        Pure: called for targets that are not sent.
        """


@runtime_checkable
class Servoed(Protocol):
    """A robot with joints whose targets move on more often than a policy decides.

    servo_hz: how often they should [Hz], a multiple of the policy's rate; None: as often.
    """

    servo_hz: float | None

    def action_between(self, before: Array, targets: Array) -> Array:
        """The action, (A,) float32, that moved the targets from the one to the other, (J,) rad. Pure."""


@runtime_checkable
class Simulated(Protocol):
    """A robot that is a simulation.

    env: the task that it steps; whoever watches it may wrap it before `connect`.
    """

    env: gymnasium.Env


@runtime_checkable
class Counting(Protocol):
    """A robot that counts how its connection fares.

    counts: since it was connected, by name, such as 'asked_again' of packets; known after `close`, too.
    """

    @property
    def counts(self) -> dict[str, int]: ...


@runtime_checkable
class Parking(Protocol):
    """A robot that can lie down by itself.

    should_stop: set by whoever runs it; `home` and `park` end at once, holding, when it answers True, and
    `close` moves nothing then: whoever runs the robot has decided whether it parks.
    """

    should_stop: Callable[[], bool]

    def park(self) -> None:
        """Ramp slowly to the declared rest pose, in which the arm is supported, then torque off.

        Without having come to rest there the torque stays on, after `close` as well: an arm is never dropped.
        Raises: RunError: it holds where it is: it cannot be commanded, or `should_stop` answered True.
        """
