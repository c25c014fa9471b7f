"""The states of a supervised robot, and the only ways from one to another.

                 CONNECTED          HOME            HOMED             RUN
    disconnected ---------> idle ---------> homing --------> ready --------> running
         ^                                    ^  ^             |                |
         |                                    |  +--- HOME ----+                |
         |                                    +-------------- HOME -------------+      the next episode
         |
         |                        idle, homing, ready, running
         |                                    |
         |                                    | STOP, FAULT
         |                                    v
         |                                 stopping ---+ STOP, FAULT: it stays, and notes a fault
         |                                    |   ^----+
         |                                    | HALTED
         |                                    +-----------+
         |                                    v           v
         |                                 stopped     fault      stopped: nothing was noted, fault: it was
         |                                     +-FAULT->
         +--- DISCONNECTED ---  from any state

Commands go to the robot while running only. STOP and FAULT are taken in every state; where nothing is left
to stop they change nothing but what is noted. Anything else that is not drawn is refused.
"""

from enum import StrEnum, auto

from robot_orl.errors import RunError


class State(StrEnum):
    """Where a supervised robot is."""

    DISCONNECTED = auto()
    IDLE = auto()
    HOMING = auto()
    READY = auto()
    RUNNING = auto()
    STOPPING = auto()
    STOPPED = auto()
    FAULT = auto()


class Event(StrEnum):
    """What brings it elsewhere."""

    CONNECTED = auto()
    HOME = auto()
    HOMED = auto()
    RUN = auto()
    STOP = auto()
    FAULT = auto()
    HALTED = auto()
    DISCONNECTED = auto()


_MOVABLE = (State.IDLE, State.HOMING, State.READY, State.RUNNING)
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.DISCONNECTED, Event.CONNECTED): State.IDLE,
    (State.IDLE, Event.HOME): State.HOMING,
    (State.READY, Event.HOME): State.HOMING,
    (State.RUNNING, Event.HOME): State.HOMING,
    (State.HOMING, Event.HOMED): State.READY,
    (State.READY, Event.RUN): State.RUNNING,
    (State.STOPPED, Event.FAULT): State.FAULT,
    (State.STOPPING, Event.HALTED): State.STOPPED,  # or fault, where one was noted
    **{(state, event): State.STOPPING for state in _MOVABLE for event in (Event.STOP, Event.FAULT)},
    **{(state, Event.DISCONNECTED): State.DISCONNECTED for state in State},
}


class Machine:
    """Holds the state. faults: why, a line each, in their order, since it was connected."""

    def __init__(self) -> None:
        self.state = State.DISCONNECTED
        self.faults: list[str] = []

    def handle(self, event: Event, why: str = "") -> State:
        """Go on to the next state, which is returned. why: one line about a fault.

        Raises: RunError: not from here.
        """
        if event is Event.FAULT:
            self.faults.append(why)
        elif event is Event.CONNECTED:
            self.faults.clear()
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            if event in (Event.STOP, Event.FAULT):
                return self.state
            valid = ", ".join(known for state, known in TRANSITIONS if state is self.state)
            raise RunError(f"the robot is {self.state}: no {event} from here; possible: {valid}")
        if event is Event.HALTED and self.faults:
            following = State.FAULT
        self.state = following
        return following
