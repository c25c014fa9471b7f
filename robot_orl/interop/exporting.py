"""What exports of several formats need to know of a dataset."""

from collections.abc import Iterator, Mapping
from typing import Any

from robot_orl.data.store.reader import Dataset
from robot_orl.types import Array, Episode

STEP_FIELDS = {"action_policy": "f4", "action_operator": "f4", "t_ns": "i8", "actor": "u1", "safety": "u2"}
OPTIONAL = {"safety"}  # of them


def sim_state_size(dataset: Dataset) -> int | None:
    """Of the simulator's state, where every episode in use has one and all are of one size."""
    sizes = {attributes["sim_state_size"] for attributes in _used(dataset)}
    return sizes.pop() if len(sizes) == 1 else None


def has_safety(dataset: Dataset) -> bool:
    """Whether every episode in use tells what a supervisor did."""
    return with_safety(dataset) == len(dataset.episodes)


def with_safety(dataset: Dataset) -> int:
    """How many episodes in use tell what a supervisor did."""
    telling = {s.path.name for s in dataset.segments if s.attributes.get("safety_bits")}
    return sum(record.segment in telling for record in dataset.episodes)


def step_fields(episode: Episode) -> dict[str, Array]:
    """Those of an episode."""
    return {name: rows for name in STEP_FIELDS if (rows := getattr(episode, name)) is not None}


def env_kwargs(dataset: Dataset) -> dict[str, Any]:
    """What the task was made with, where that is the same for every episode in use."""
    found = [dict(attributes.get("env_kwargs") or {}) for attributes in _used(dataset)]
    return found[0] if found and all(one == found[0] for one in found) else {}


def _used(dataset: Dataset) -> list[Mapping[str, Any]]:
    """The attributes of the segments that hold episodes in use."""
    used = {record.segment for record in dataset.episodes}
    return [segment.attributes for segment in dataset.segments if segment.path.name in used]


def episodes(dataset: Dataset, images: bool) -> Iterator[Episode]:
    """Those in use, one at a time, as they are labelled now."""
    return dataset.load_all(images=images)
