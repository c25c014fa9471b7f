"""What exports of several formats need to know of a dataset."""

from collections.abc import Iterator

from robot_orl.data.store.reader import Dataset
from robot_orl.types import Episode

STEP_FIELDS = {"action_policy": "f4", "action_operator": "f4", "t_ns": "i8", "actor": "u1"}


def sim_state_size(dataset: Dataset) -> int | None:
    """Of the simulator's state, where every episode in use has one and all are of one size."""
    used = {record.segment for record in dataset.episodes}
    sizes = {s.attributes["sim_state_size"] for s in dataset.segments if s.path.name in used}
    return sizes.pop() if len(sizes) == 1 else None


def episodes(dataset: Dataset, images: bool) -> Iterator[Episode]:
    """Those in use, one at a time, as they are labelled now."""
    return dataset.load_all(images=images)
