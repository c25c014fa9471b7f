"""How old what a page shows is. Pure: it is told what is sent and drawn, and when.

    server --picture n--> page --drawn n--> server

A page gets the next picture only while it has drawn all but a few, so that none queue on the way, and what
hands do counts only while they see what is so: a picture is as old as the time since it was sent.
"""

from collections import deque

FRESH_S = 0.5  # an older picture is no ground to act on
MOST_WAITING = 2


class Pictures:
    """Of one page. now_s: the caller's monotonic clock [s], in every call."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: deque[tuple[int, float]] = deque()  # sent and not drawn yet: number and when
        self._drawn_s: float | None = None  # when the one that is shown was sent

    @property
    def may_send(self) -> bool:
        return len(self._waiting) < MOST_WAITING

    def sent(self, now_s: float) -> int:
        """The number of the next one."""
        self._number += 1
        self._waiting.append((self._number, now_s))
        return self._number

    def drawn(self, number: int) -> bool:
        """Whether this one was waited for; those before it are not any more."""
        if number not in [waiting for waiting, _ in self._waiting]:
            return False
        while self._waiting[0][0] < number:
            self._waiting.popleft()
        self._drawn_s = self._waiting.popleft()[1]
        return True

    def is_fresh(self, now_s: float) -> bool:
        """Whether the page shows what was so a moment ago."""
        return self._drawn_s is not None and now_s - self._drawn_s <= FRESH_S
