"""When the next question is due, told from those before.

Between two questions other programs use the processor's caches, and the first call after a pause takes
several times as long as one in a row. Whoever is called on time can be called once for nothing just before.
"""

LEAD_NS = 200_000  # before the question: more than a cold call takes, less than caches stay warm
SHORTEST_NS = 1_000_000  # questions in a quicker row keep the caches warm themselves


class Rhythm:
    """The period is that of the last two questions; each is expected once."""

    def __init__(self) -> None:
        self._asked_ns: int | None = None
        self._rehearsal_ns: int | None = None

    def heard(self, asked_ns: int) -> None:
        before, self._asked_ns = self._asked_ns, asked_ns
        self._rehearsal_ns = None
        if before is not None and (period_ns := asked_ns - before) >= SHORTEST_NS:
            self._rehearsal_ns = asked_ns + period_ns - LEAD_NS

    def rest_ns(self, now_ns: int) -> int | None:
        """How long until the rehearsal, 0: it is due; None: there is none before the next question."""
        return None if self._rehearsal_ns is None else max(0, self._rehearsal_ns - now_ns)

    def rehearsed(self) -> None:
        self._rehearsal_ns = None
