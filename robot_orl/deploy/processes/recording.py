"""The loop's side of the process that records: steps go into a ring, and orders to its stdin."""

import os

import numpy as np

from robot_orl.deploy.processes.child import Child
from robot_orl.deploy.processes.records import Records, ring_of
from robot_orl.deploy.processes.ring import Doorbell, Ring
from robot_orl.deploy.processes.rows import TERMINATED, TRUNCATED, UNKNOWN, Kind
from robot_orl.deploy.recording import LOST, Step
from robot_orl.deploy.sensors.channel import create_memory
from robot_orl.types import Array

MODULE = "robot_orl.deploy.processes.recorder"
COMMIT_S, END_S = 60.0, 1.0  # for committing what is left, and for ending then
FOR_THE_END = 1  # slots that steps leave free


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
        columns["operator"][slot] = np.nan if step.operator is None else step.operator
        columns["executed"][slot] = step.executed
        columns["t_ns"][slot] = step.t_ns
        columns["safety"][slot] = step.safety
        columns["flat"][slot] = step.flat
        columns["reward"][slot] = np.nan if outcome.reward is None else outcome.reward
        columns["success"][slot] = UNKNOWN if outcome.success is None else outcome.success
        columns["ends"][slot] = TERMINATED * outcome.terminated | TRUNCATED * step.truncated
        columns["actor"][slot] = step.actor
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
