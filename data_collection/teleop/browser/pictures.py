"""How old what a page shows is. Pure: it is told what is sent and drawn, and when.

    server --picture n--> page --got n, drawn n--> server

A page gets the next picture only while it has got all but a few, so that none queue on the way, and what
hands do counts only while they see what is so: a picture is as old as the time since it was sent.
"""

from collections import deque

FRESH_S = 0.5  # an older picture is no ground to act on
MOST_WAITING = 2
REMEMBERED = 256  # pictures; who draws an older one is far behind


class Pictures:
    """Of one page. now_s: the caller's monotonic clock [s], in every call."""

    def __init__(self) -> None:
        self._number = self._got = 0
        self._sent_s: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)  # number and when, not drawn yet
        self._drawn_s: float | None = None  # when the one that is shown was sent

    @property
    def may_send(self) -> bool:
        return self._number - self._got < MOST_WAITING

    def sent(self, now_s: float) -> int:
        """The number of the next one."""
        self._number += 1
        self._sent_s.append((self._number, now_s))
        return self._number

    def got(self, number: int) -> bool:
        """Whether this one was waited for; those before it are not any more."""
        if not self._got < number <= self._number:
            return False
        self._got = number
        return True

    def drawn(self, number: int) -> bool:
        """Whether this one could be: it was sent, and neither it nor a later one drawn before."""
        if number not in [sent for sent, _ in self._sent_s]:
            return False
        while self._sent_s[0][0] < number:
            self._sent_s.popleft()
        self._drawn_s = self._sent_s.popleft()[1]
        self._got = max(self._got, number)
        return True

    def is_fresh(self, now_s: float) -> bool:
        """Whether the page shows what was so a moment ago."""
        return self._drawn_s is not None and now_s - self._drawn_s <= FRESH_S
