"""The process that records: it takes steps out of its ring, builds episodes and writes the store.

    python -m robot_orl.deploy.processes.recording MEMORY_FD DOORBELL_FD

    memory   | ring of steps |     rows.py; as large as the first episode's state says, so it comes later

    order on stdin                                       what it does
    root, spec, ... as of `Records`                      opens the dataset; answers how many episodes it has
    {"state_size": S}                                    the ring is there
    {"close": true}                                      takes what is left, commits, answers how that went
    the end of stdin, without it: its parent is dead     the same, and the episode under way ends as a crash

It outlives its parent for as long as that takes. Killed itself, it leaves the steps in their journal.
"""

import mmap
import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.layout import DATASET_FILE
from robot_orl.data.store.place import location
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import CRASH, recover
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.deploy.processes.child import Child, Lines, say, serving
from robot_orl.deploy.processes.ring import Doorbell, Ring, ring_bytes
from robot_orl.deploy.processes.rows import TERMINATED, TRUNCATED, UNKNOWN, Kind, step_row
from robot_orl.deploy.recorder import LOST, RecordedHere, Step
from robot_orl.deploy.sensors.channel import create_memory
from robot_orl.types import Array, Outcome, Spec

MODULE = "robot_orl.deploy.processes.recording"
LEAST_ROWS, ROWS_S = 64, 10.0  # room for as many steps, and for those of this time
COMMIT_S, END_S = 60.0, 1.0  # for committing what is left, and for ending then
FOR_THE_END = 1  # slots that steps leave free


def capacity_of(spec: Spec) -> int:
    """Rows of the ring of steps."""
    return max(LEAST_ROWS, round(ROWS_S * spec.control_hz))


@dataclass(frozen=True)
class Records:
    """Where a deployment is recorded, and what is said of it. root: folder or address of the dataset.

    config, env_kwargs: as of `SegmentWriter`, plain JSON.
    """

    root: str
    spec: Spec
    policy_hash: str | None
    config: Mapping[str, Any]
    env_kwargs: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"spec": self.spec.to_dict()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Records":
        return cls(**{**raw, "spec": Spec.from_dict(raw["spec"])})


@dataclass(frozen=True)
class Opened:
    """writer: of the dataset.  cut_off: what was brought back of a recording that was killed, in words, or
    None.  episodes: how many there are already."""

    writer: BackgroundWriter
    cut_off: str | None
    episodes: int


def open_records(records: Records) -> Opened:
    """Raises: UsageError, RunError: it is not to be written to."""
    path = location(records.root)
    made_by = records.spec, "deploy", records.config, records.env_kwargs
    writer = SegmentWriter(path, *made_by)
    cut_off = recover(path).summary()
    known = place_at(path).has(DATASET_FILE)
    episodes = len(Dataset.open(path, allow_empty=True).records) if known else 0
    return Opened(BackgroundWriter(writer, Journals(path, *made_by)), cut_off, episodes)


class RecordingProcess:
    """A `Recording` by another process, which starts at once.

    A step that finds no room is lost, and with it the rest of its episode, which ends there as LOST.
    """

    def __init__(self, records: Records) -> None:
        self.lost = 0
        self._spec = records.spec
        self._memory = create_memory(0)
        self._doorbell = Doorbell()
        descriptors = (self._memory, self._doorbell.descriptor)
        self.child = Child("recorder", MODULE, records.to_dict(), descriptors)
        self._ring: Ring | None = None
        self._seed = 0
        self._is_under_way = self._is_lost = False

    def home(self, seed: int) -> bool:
        self._seed = seed
        return True  # nobody here has to wait for the disk

    def begin(self, flat: Array, state: Array | None) -> None:
        if self._ring is None:
            self._ring = self._made_ring(0 if state is None else len(state))
        self._is_lost, self._is_under_way = False, True
        if (slot := self._ring.claim(FOR_THE_END + 1)) is None:
            self._is_under_way = False
            self._lose()
            return
        columns = self._ring.columns
        columns["seed"][slot] = self._seed
        columns["flat"][slot] = flat
        columns["state"][slot] = np.nan if state is None else state
        self._push(slot, Kind.BEGIN)

    def step(self, step: Step) -> None:
        slot = self._room()
        if slot is None or self._ring is None:
            self._lose()
            return
        outcome, columns = step.outcome, self._ring.columns
        columns["proposed"][slot] = step.proposed
        columns["executed"][slot] = step.executed
        columns["t_ns"][slot] = step.t_ns
        columns["safety"][slot] = step.safety
        columns["flat"][slot] = step.flat
        columns["reward"][slot] = np.nan if outcome.reward is None else outcome.reward
        columns["success"][slot] = UNKNOWN if outcome.success is None else outcome.success
        columns["ends"][slot] = TERMINATED * outcome.terminated | TRUNCATED * step.truncated
        columns["state"][slot] = np.nan if outcome.sim_state is None else outcome.sim_state
        self._push(slot, Kind.STEP)

    def mark(self, safety: int) -> None:
        if self._ring is not None and (slot := self._room()) is not None:
            self._ring.columns["safety"][slot] = safety
            self._push(slot, Kind.MARK)

    def end(self, reason: str) -> None:
        if self._ring is None or not self._is_under_way:
            return
        self._is_under_way = False
        if (slot := self._ring.claim()) is not None:  # steps have left one for it
            self._ring.columns["reason"][slot] = (LOST if self._is_lost else reason).encode()
            self._push(slot, Kind.END)

    def problem(self) -> str | None:
        return self.child.problem()

    def close(self) -> str | None:
        """Commit what is left. Returns what is to be said of the journal, or None.

        Raises: RunError: not everything was written.
        """
        try:
            self.child.tell({"close": True})
            done = self.child.answer(COMMIT_S)
        finally:
            self.child.end(END_S)
            self._doorbell.close()
            os.close(self._memory)
        return str(done["journal"]) if done["journal"] else None

    def _room(self) -> int | None:
        """A slot for more of the episode under way."""
        if self._ring is None or self._is_lost:
            return None
        return self._ring.claim(FOR_THE_END)

    def _lose(self) -> None:
        self.lost += not self._is_lost
        self._is_lost = True

    def _push(self, slot: int, kind: Kind) -> None:
        assert self._ring is not None
        self._ring.columns["kind"][slot] = kind
        self._ring.push()
        self._doorbell.ring()

    def _made_ring(self, state_size: int) -> Ring:
        ring = ring_of(self._memory, self._spec, state_size)
        self.child.tell({"state_size": state_size})
        return ring


def ring_of(descriptor: int, spec: Spec, state_size: int) -> Ring:
    """The ring in the memory behind a descriptor, which is made as large as it needs."""
    row, capacity = step_row(spec.observation_size, spec.action_size, state_size), capacity_of(spec)
    size = ring_bytes(row, capacity)
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
    return Ring(mmap.mmap(descriptor, size), 0, row, capacity)


# --- in the process itself ------------------------------------------------------------------------------


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
        recording = RecordedHere(records.spec, records.policy_hash, opened.writer)
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
