"""The process that records: it takes steps out of its ring, builds episodes and writes the store.

    python -m robot_orl.deploy.processes.recorder MEMORY_FD DOORBELL_FD

    memory   | ring of steps |     rows.py; as large as the first episode's state says, so it comes later

    order on stdin                                       what it does
    root, spec, ... as of `Records`                      opens the dataset; answers how many episodes it has
    {"state_size": S}                                    the ring is there
    {"close": true}                                      takes what is left, commits, answers how that went
    the end of stdin, without it: its parent is dead     the same, and the episode under way ends as a crash

It outlives its parent for as long as that takes. Killed itself, it leaves the steps in their journal.
"""

import select
import sys

import numpy as np

from robot_orl.data.store.recovery import CRASH
from robot_orl.deploy.processes.child import Lines, say, serving
from robot_orl.deploy.processes.records import Records, open_records, ring_of
from robot_orl.deploy.processes.ring import Doorbell, Ring
from robot_orl.deploy.processes.rows import TERMINATED, TRUNCATED, UNKNOWN, Kind
from robot_orl.deploy.recording import RecordedHere, Step
from robot_orl.types import Actor, Array, Outcome, Spec


class Taking:
    """Rows out of the ring into episodes."""

    def __init__(self, ring: Ring, recording: RecordedHere) -> None:
        self._ring, self._recording = ring, recording
        self._has_state = ring.columns["state"].shape[1] > 0
        self.is_under_way = False

    def take_all(self) -> None:
        """What is there by now. Raises: RunError: it cannot be written."""
        while (slot := self._ring.oldest()) is not None:
            self._take(slot)
            self._ring.pop()

    def _take(self, slot: int) -> None:
        columns, recording = self._ring.columns, self._recording
        kind = int(columns["kind"][slot])
        if kind == Kind.BEGIN:
            recording.prepare(int(columns["seed"][slot]))
            recording.begin(columns["flat"][slot], self._state(slot))
            self.is_under_way = True
        elif kind == Kind.STEP:
            recording.step(self._step(slot))
        elif kind == Kind.MARK:
            recording.mark(int(columns["safety"][slot]))
        elif kind == Kind.END:
            self.is_under_way = False
            recording.end(bytes(columns["reason"][slot]).decode())

    def _step(self, slot: int) -> Step:
        columns = self._ring.columns
        reward, success = float(columns["reward"][slot]), int(columns["success"][slot])
        ends = int(columns["ends"][slot])
        outcome = Outcome(
            reward=None if np.isnan(reward) else reward,
            success=None if success == UNKNOWN else bool(success),
            terminated=bool(ends & TERMINATED),
            sim_state=self._state(slot),
        )
        return Step(
            columns["proposed"][slot],
            columns["executed"][slot],
            int(columns["t_ns"][slot]),
            int(columns["safety"][slot]),
            columns["flat"][slot],
            outcome,
            bool(ends & TRUNCATED),
            Actor(columns["actor"][slot]),
            columns["operator"][slot],
        )

    def _state(self, slot: int) -> Array | None:
        return self._ring.columns["state"][slot] if self._has_state else None

    def finish(self) -> None:
        """The rest of the ring; an episode that nobody ended is one of a crash."""
        self.take_all()
        if self.is_under_way:
            self.is_under_way = False
            self._recording.end(CRASH)


def main() -> None:
    with serving() as orders:
        order = orders.next()
        if order is None:
            return
        records = Records.from_dict(order)
        opened = open_records(records)
        recording = RecordedHere(records.spec, records.policy_hash, opened.writer, records.beside)
        say({"ready": {"cut_off": opened.cut_off, "episodes": opened.episodes}})
        memory, doorbell = map(int, sys.argv[1:])
        try:
            _record(orders, records.spec, memory, Doorbell(doorbell), recording)
        finally:
            opened.writer.close()
        journals = opened.writer.journals
        say({"journal": None if journals is None else journals.told()})


def _record(orders: Lines, spec: Spec, memory: int, doorbell: Doorbell, recording: RecordedHere) -> None:
    taking: Taking | None = None
    while True:
        ready, _, _ = select.select([doorbell.descriptor, orders.descriptor], [], [])
        if orders.descriptor in ready:
            order = orders.next()
            if order is not None and "state_size" in order:
                taking = Taking(ring_of(memory, spec, order["state_size"]), recording)
            else:
                if taking is not None:
                    taking.finish()
                return
        doorbell.hush()
        if taking is not None:
            taking.take_all()


if __name__ == "__main__":
    main()
