"""When to stop what a robot does, and how it is left then: parked where that is safe, and disconnected."""

from robot_orl.deploy.supervisor.offers import Parking
from robot_orl.deploy.supervisor.states import Event
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.deploy.supervisor.supervisor import IN_THE_WAY, Supervisor
from robot_orl.deploy.timing import Clock
from robot_orl.types import Robot


class Leaving:
    """For one robot, which asks by itself whether to stop while it homes and parks."""

    def __init__(self, robot: Robot, stop: StopRequest, clock: Clock) -> None:
        self._robot, self._stop, self._clock = robot, stop, clock
        self._asked_before = 0  # requests that do not end what the robot does now
        if isinstance(robot, Parking):
            robot.should_stop = self.should_stop

    def should_stop(self) -> bool:
        """Whether whatever the robot does now is to end."""
        is_asked = self._stop.is_set(self._clock.now_ns())
        return is_asked and (self._stop.is_emergency or self._stop.count > self._asked_before)

    def asked(self) -> str:
        """As what a request to stop ends the run."""
        return "emergency" if self._stop.is_emergency else "interrupt"

    def park(self, supervisor: Supervisor, has_moved: bool) -> bool | None:
        """Lie down, where that is safe. Returns whether it did; None: it does not, or has not moved.

        After an emergency nothing moves any more; after a veto that speaks of something in the robot's way
        a move could push further into it.
        """
        if not isinstance(self._robot, Parking) or not has_moved:
            return None
        if self._stop.is_emergency or supervisor.safety & IN_THE_WAY:
            return False
        self._asked_before = self._stop.count
        try:
            self._robot.park()
        except Exception as error:
            if not self.should_stop():
                supervisor.handle(Event.FAULT, f"not parked: {named(error)}")
            return False
        return True

    def close(self) -> None:
        """Parking is decided on here; nothing that happens while closing may move the robot."""
        if isinstance(self._robot, Parking):
            self._robot.should_stop = lambda: True
        self._robot.close()


def named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
