"""What the loop and the process that records have in common: where it is written, and the ring of steps."""

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.layout import DATASET_FILE
from robot_orl.data.store.place import location
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import recover
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.deploy.processes.ring import Ring, ring_bytes
from robot_orl.deploy.processes.rows import step_row
from robot_orl.types import Spec

LEAST_ROWS, ROWS_S = 64, 10.0  # room for as many steps, and for those of this time


@dataclass(frozen=True)
class Records:
    """Where a deployment is recorded, and what is said of it. root: folder or address of the dataset.

    config, env_kwargs: as of `SegmentWriter`, plain JSON.  beside: the name of who may take over, if anybody.
    """

    root: str
    spec: Spec
    policy_hash: str | None
    config: Mapping[str, Any]
    env_kwargs: Mapping[str, Any]
    beside: str | None = None

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


def capacity_of(spec: Spec) -> int:
    """Rows of the ring of steps."""
    return max(LEAST_ROWS, round(ROWS_S * spec.control_hz))


def ring_of(descriptor: int, spec: Spec, state_size: int) -> Ring:
    """The ring in the memory behind a descriptor, which is made as large as it needs."""
    row, capacity = step_row(spec.observation_size, spec.action_size, state_size), capacity_of(spec)
    size = ring_bytes(row, capacity)
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
    return Ring(mmap.mmap(descriptor, size), 0, row, capacity)
