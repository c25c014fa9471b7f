"""When the next question is due, told from those before.

Between two questions other programs use the processor's caches, and the first call after a pause takes
several times as long as one in a row. Whoever is called on time can be called once for nothing just before.
A policy that computes for long gains little by that, and would be in its own way.
"""

LEAD_NS = 200_000  # before the question, beside twice the call: less than caches stay warm
LONGEST_NS = 500_000  # of a call that is worth it
SHORTEST_NS = 1_000_000  # questions in a quicker row keep the caches warm themselves


class Rhythm:
    """The period is that of the last two questions; each is expected once."""

    def __init__(self) -> None:
        self._asked_ns: int | None = None
        self._rehearsal_ns: int | None = None

    def heard(self, asked_ns: int, took_ns: int) -> None:
        """A question.  took_ns: to answer it."""
        before, self._asked_ns = self._asked_ns, asked_ns
        self._rehearsal_ns = None
        lead_ns = LEAD_NS + 2 * took_ns
        if before is not None and took_ns <= LONGEST_NS:
            period_ns = asked_ns - before
            if period_ns >= max(SHORTEST_NS, 2 * lead_ns):
                self._rehearsal_ns = asked_ns + period_ns - lead_ns

    def rest_ns(self, now_ns: int) -> int | None:
        """How long until the rehearsal, 0: it is due; None: there is none before the next question."""
        return None if self._rehearsal_ns is None else max(0, self._rehearsal_ns - now_ns)

    def rehearsed(self) -> None:
        self._rehearsal_ns = None
