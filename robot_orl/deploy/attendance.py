"""Somebody at a deployment who may take over: what they order of it, and whether they are there.

    halt, stop   an emergency: the robot stops at once, and nothing moves any more
    quit         the run ends: the robot stops, and lies down where it can

Where somebody is needed, who is not heard of is waited for a while, as over the reload of a page. Nothing new
begins meanwhile, neither homing nor an episode; and whose hands were on until then is not waited for at all.

Whoever asks whether the robot is to stop looks here first, in the thread that moves it: while it ticks, homes
and parks. A look waits for nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from robot_orl.deploy.supervisor.stops import StopRequest

LOOK_NS = 20_000_000  # between two looks
HALTS, QUIT = ("halt", "stop"), "quit"


@runtime_checkable
class Person(Protocol):
    """An `Intervener` that is one.

    hear: is told of orders, whose `verb` is a text.  allowed: verbs that make sense now.
    deployment: what is told of the run, plain JSON.
    """

    name: str
    hear: Callable[[Any], None]
    allowed: Sequence[Any]
    deployment: Mapping[str, Any]

    def present(self) -> bool:
        """Whether there is somebody, or may be back in a moment. All of these return at once."""

    def heard(self) -> bool:
        """Whether there is somebody at this moment."""

    def cut_off(self) -> bool:
        """Whether hands were on until nobody was heard of any more: they have not let go."""

    def listen(self) -> None:
        """`hear` the orders that have come."""

    def idle(self) -> None:
        """The same while nothing is being played, and show that."""


class Attendance:
    """is_playing: the policy acts, and hands may take over; who plays hears orders at every tick, too.
    is_over: the robot is on its way to rest, so that nobody needs to be there for it to go on.
    """

    def __init__(self, person: Person, stop: StopRequest, is_needed: bool) -> None:
        """stop: looks here.  is_needed: the robot stops where there was somebody, and nobody is any more."""
        self.is_playing = self.is_over = False
        self._person, self._stop, self._is_needed = person, stop, is_needed
        self._looked_ns: int | None = None
        self._was_present = self._has_stopped = False
        person.hear, person.allowed = self._hear, (HALTS[0], QUIT)
        stop.look = self._look

    @property
    def is_awaited(self) -> bool:
        """Nothing is to move before there is somebody."""
        return self._is_needed and not self._was_present

    @property
    def may_begin(self) -> bool:
        """Whether homing or an episode may begin now: if somebody is needed, one is heard of."""
        return not self._is_needed or self._person.heard()

    def tell(self, **news: Any) -> None:
        """What is new of the run, plain JSON; the rest stays as it was told."""
        self._person.deployment = {**self._person.deployment, **news}

    def tell_over(self, why: str) -> None:
        """The robot was stopped, and why; it is shown at once, however long the record takes."""
        self.tell(phase="over", why=why)
        self._person.allowed = ()
        self._person.idle()

    def _look(self, now_ns: int) -> None:
        if self._looked_ns is not None and 0 <= now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        if self.is_playing:
            self._person.listen()
        else:
            self._person.idle()
        is_present, is_cut_off = self._person.present(), self._person.cut_off()
        if self._is_needed and not self.is_over and not self._has_stopped:
            if is_cut_off:
                self._miss(f"operator={self._person.name} fell silent with hands on")
            elif self._was_present and not is_present:
                self._miss(f"nobody is at operator={self._person.name} any more")
        self._was_present = is_present

    def _miss(self, why: str) -> None:
        self._has_stopped = True
        self._stop.set(why)

    def _hear(self, order: Any) -> None:
        """Hands to which nobody can come back quit, too; there is nobody then who ends the run."""
        if order.verb in HALTS:
            self._stop.emergency(f"STOP by operator={self._person.name}")
        elif order.verb == QUIT and not self.is_over and self._person.present():
            self._stop.set(f"ended by operator={self._person.name}")
