"""An arm that LeRobot drives, in angles: what its joints report, and where they are sent. Knows no task.

What goes wrong, and what is done about it here:

    LeRobot answers late, or failed       the caller's `BadPacket`; the server itself asks a robot three times
    it does not say what became of goals  they count as sent, and as 'unconfirmed'; the next answer tells
    the server's watchdog has held it     `WatchdogTripped`
    the server has gone                   `ServerLost`: the servos go on to the last goal, and hold there

LeRobot's interface knows neither velocities, currents, temperatures nor hardware errors: velocities are
differences of positions, and the others are not known.
"""

from dataclasses import dataclass

import numpy as np

from robot_orl.deploy.dynamixel.arm import WatchdogTripped
from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.dynamixel.readings import JointState
from robot_orl.deploy.lerobot_link.link import Link
from robot_orl.deploy.lerobot_link.units import Units
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.errors import RunError
from robot_orl.types import Array

PATIENT_S = 0.5  # for an answer where no tick is to be kept
RELEASE_S = 3.0
SAME_RAD = 1e-6


@dataclass(frozen=True)
class Tolerances:
    """What a `Mover` keeps to, see `LerobotConfig`."""

    reached_rad: float
    blocked_rad: float
    max_bad_ticks: int
    reconnect_s: float = 0.0  # a server that has gone does not come back


class LerobotArm:
    """Satisfies `moves.Arm`. Torque is on from the beginning, as LeRobot's `configure` leaves it."""

    def __init__(
        self, link: Link, units: Units, joints: tuple[str, ...], cfg: Tolerances, reply_s: float
    ) -> None:
        """reply_s: how long an answer may take within a tick [s]."""
        self.cfg = cfg
        self.joints = joints
        self.is_torque_on = True
        self.reconnections = 0
        self.state: JointState | None = None
        self._link, self._units, self._reply_s = link, units, reply_s
        self._is_watched = False
        self._unconfirmed = 0
        self._failed = 0  # in a row
        self.state = self.read_patiently()

    @property
    def counts(self) -> dict[str, int]:
        known = dict.fromkeys(("good", "late", "failed"), 0)
        return {**known, **self._link.counts, "unconfirmed": self._unconfirmed}

    @property
    def limp(self) -> list[bool]:
        return [False] * len(self.joints)

    def goals(self) -> Array:
        """(J,) rad: where LeRobot sent them last; where they are, before it did."""
        status = self._link.status
        assert status is not None
        known = self._units.angles(status.goals)
        return np.where(np.isfinite(known), known, self._units.angles(status.values))

    def read(self) -> JointState:
        return self._read(self._reply_s)

    def read_patiently(self) -> JointState:
        return self._read(PATIENT_S)

    def goto(self, targets: Array) -> Array:
        """Send every joint to its target, (J,) rad; returns what LeRobot sent, as far as it says so in time.

        Where LeRobot fails, the goals stay what they were.
        Raises: RunError: they are not finite, nothing was sent; or too many failures in a row.  ServerLost.
        """
        if not np.isfinite(targets).all():
            raise RunError(f"the targets are not finite: {np.asarray(targets).tolist()}")
        try:
            status = self._link.goal(self._units.values(targets), self._is_watched, self._reply_s)
        except BadPacket as error:
            self._failed += 1
            if self._failed >= self.cfg.max_bad_ticks:
                raise RunError(f"{error}; {self._failed} goals in a row") from error
            return self.goals()
        self._failed = 0
        if status is None:
            self._unconfirmed += 1
            return targets
        sent = self.goals()
        return targets if np.abs(sent - targets).max() < SAME_RAD else sent

    def confirm_goals(self) -> None:
        """LeRobot has said what it sent."""

    def set_up(self) -> None:
        """LeRobot did, when it connected."""

    def set_watchdog(self, is_armed: bool) -> None:
        """From the next goals on."""
        self._is_watched = is_armed

    def excuse_failing(self) -> None:
        """LeRobot tells of no hardware errors."""

    def torque_on(self) -> None:
        """Raises: RunError: LeRobot has disconnected."""
        raise RunError("LeRobot has let go of its robot: deploy again")

    def torque_off(self) -> None:
        """LeRobot disconnects, with what that means for the torque. Raises: BadPacket, ServerLost."""
        self._link.release(RELEASE_S)
        self.is_torque_on = False

    def _read(self, wait_s: float) -> JointState:
        """Raises: BadPacket, ServerLost, WatchdogTripped."""
        status = self._link.look(wait_s)
        if status.is_tripped and self._is_watched:
            raise WatchdogTripped("LeRobot's server heard nothing from us for too long and held the robot")
        before, positions = self.state, self._units.angles(status.values)
        unknown = np.full(len(positions), np.nan)
        velocities = np.zeros(len(positions))
        if before is not None:
            passed_s = (status.t_ns - before.t_ns) / NS_PER_S
            moved = positions - before.positions
            velocities = moved / passed_s if passed_s > 0 else before.velocities
        self.state = JointState(positions, velocities, unknown, unknown, status.t_ns)
        return self.state
