"""How old what a page knows is. Pure: it is told what is sent and got, and when.

    server --picture n--> page --got n--> server

A page gets the next picture only while it has got all but a few, so that none queue on the way, and what
hands do counts only while the page knows what is so: it is as old as the time since its latest picture was
sent. What hands do comes behind what the page has got, so it is as late at most.
"""

from collections import deque

FRESH_S = 1.0  # an older picture is no ground to act on
MOST_WAITING = 2


class Pictures:
    """Of one page. now_s: the caller's monotonic clock [s], in every call."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: deque[tuple[int, float]] = deque()  # number and when it was sent, not got yet
        self._known_s: float | None = None  # when the latest that the page has was sent

    @property
    def may_send(self) -> bool:
        return len(self._waiting) < MOST_WAITING

    def sent(self, now_s: float) -> int:
        """The number of the next one."""
        self._number += 1
        self._waiting.append((self._number, now_s))
        return self._number

    def got(self, number: int) -> bool:
        """Whether this one was waited for; those before it are not any more."""
        if number not in [waiting for waiting, _ in self._waiting]:
            return False
        while self._waiting[0][0] < number:
            self._waiting.popleft()
        self._known_s = self._waiting.popleft()[1]
        return True

    def is_fresh(self, now_s: float) -> bool:
        """Whether the page knows what was so a moment ago."""
        return self._known_s is not None and now_s - self._known_s <= FRESH_S
