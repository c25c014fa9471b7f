"""Which of the pages drives. Pure: it is told what happens, and when.

            the first page comes
    nobody ----------------------> driven <------------------.
      ^                              | silent for HANDS_OFF_S, | it is heard again
      | silent for grace_s           | or its connection ends  |
      '--------------------------- hands off -----------------'         cut off, if they were on until then

While it is driven, another page may ask; the driver grants or refuses, and who has asked drives once the
driver has been away for grace_s. Where nobody drives and nobody has asked, who comes or asks does. A page is
known by its seat, a secret that it keeps over a reload.
"""

from data_collection.teleop.hands import Jog
from robot_orl.intervention import HANDS_OFF_S


class Seats:
    """now_s: the caller's monotonic clock [s], in every call.  driver, asking: a seat, or None.

    grace_s: so long a driver may be away, for a reload or a bad network, and be waited for.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self.driver: str | None = None
        self.asking: str | None = None
        self._here: list[str] = []
        self._heard_s = 0.0  # when the driver was
        self._jog: Jog | None = None
        self._has_left_on = False  # the driver, with its hands on

    @property
    def pages(self) -> int:
        return len(self._here)

    def is_here(self, seat: str) -> bool:
        return seat in self._here

    def is_driven(self, now_s: float) -> bool:
        """Whether somebody drives, or may still come back to do so."""
        return self.driver is not None and now_s - self._heard_s <= self._grace_s

    def is_heard(self, now_s: float) -> bool:
        """Whether the driver is heard of now."""
        return self.driver in self._here and now_s - self._heard_s <= HANDS_OFF_S

    def is_cut_off(self, now_s: float) -> bool:
        """Whether the driver is not heard of any more, and hands were on until then; nobody let go."""
        return self._has_left_on or (self._jog is not None and now_s - self._heard_s > HANDS_OFF_S)

    def join(self, seat: str, now_s: float) -> None:
        """A page comes, or comes back. It drives where nobody else does."""
        self.tick(now_s)
        self._here.append(seat)
        if seat == self.driver or not self.is_driven(now_s):
            self._give(seat, now_s)

    def leave(self, seat: str, now_s: float) -> None:
        self._here.remove(seat)
        if seat == self.asking:
            self.asking = None
        if seat == self.driver:
            self._has_left_on = self.is_cut_off(now_s) or self._jog is not None
            self._jog, self._heard_s = None, now_s

    def tick(self, now_s: float) -> None:
        """Time passes: who has asked drives once the driver is not waited for any more."""
        if self.asking is not None and not self.is_driven(now_s):
            self._give(self.asking, now_s)

    def hear(self, seat: str, jog: Jog | None, now_s: float) -> bool:
        """What a page's hands do; whether it drives, so that it counts."""
        if seat != self.driver:
            return False
        self._jog, self._heard_s, self._has_left_on = jog, now_s, False
        return True

    def ask(self, seat: str, now_s: float) -> None:
        if seat != self.driver and self.asking is None:
            self.asking = seat
        self.tick(now_s)

    def answer(self, seat: str, is_granted: bool, now_s: float) -> bool:
        """Of the driver to the page that asks; whether it was the driver, and somebody asks."""
        if seat != self.driver or self.asking is None:
            return False
        if is_granted:
            self._give(self.asking, now_s)
        self.asking = None
        return True

    def jog(self, now_s: float) -> Jog | None:
        """What the driver's hands do; None: hands off."""
        return self._jog if now_s - self._heard_s <= HANDS_OFF_S else None

    def _give(self, seat: str, now_s: float) -> None:
        self.driver, self._jog, self._heard_s, self._has_left_on = seat, None, now_s, False
        if seat == self.asking:
            self.asking = None
