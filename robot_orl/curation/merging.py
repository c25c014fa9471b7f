"""Several datasets as one: what they share, and each episode once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from robot_orl.curation.copying import content
from robot_orl.data.store.layout import IMAGES
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import DataError
from robot_orl.types import Spec


@dataclass(frozen=True)
class Union:
    """What a merged dataset will hold.

    spec: what all sources share.  left_out: observations and cameras that they do not, a sentence each.
    chosen: the episodes to take, per source.  repeated: episodes in use that are in an earlier source, or
    in the same one, already.  disagreeing: those of them whose labels differ from those that are kept.
    """

    spec: Spec
    left_out: list[str]
    chosen: list[list[EpisodeRecord]]
    repeated: int
    disagreeing: int


def shared_spec(sources: Sequence[Dataset]) -> tuple[Spec, list[str]]:
    """What every source offers, in the order of the first, and a sentence for each thing left out.

    Task, actions, rate and goals must be equal; the horizon is the longest. Raises: DataError: they are
    not, or no observation is left.
    """
    first = sources[0].spec
    left_out: dict[str, str] = {}
    for kind in ("observation", "cameras"):
        groups = [getattr(source.spec, kind) for source in sources]
        for key in dict.fromkeys(key for group in groups for key in group):
            lacking = [str(s.path) for s, group in zip(sources, groups, strict=True) if key not in group]
            name = f"{'camera' if kind == 'cameras' else kind} '{key}'"
            if lacking:
                left_out[f"{kind}/{key}"] = f"{name}: not in {', '.join(lacking)}"
            elif any(group[key] != groups[0][key] for group in groups):
                left_out[f"{kind}/{key}"] = f"{name}: it is not the same in all of them"
    spec = replace(
        first,
        observation={k: v for k, v in first.observation.items() if f"observation/{k}" not in left_out},
        cameras={k: v for k, v in first.cameras.items() if f"cameras/{k}" not in left_out},
        horizon=max(source.spec.horizon for source in sources),
    )
    for source in sources:
        if lacking := source.spec.lacks(spec):
            names = ", ".join(lacking)
            raise DataError(f"{sources[0].path} and {source.path} cannot be merged: {names} differ")
    goals = {key for key in (spec.achieved_goal, spec.desired_goal) if key is not None}
    if not spec.observation or not goals <= spec.observation.keys():
        raise DataError(
            f"the datasets share too few observations to be merged: {'; '.join(left_out.values())}"
        )
    return spec, list(left_out.values())


def unite(sources: Sequence[Dataset]) -> Union:
    """Decide what to take. The first of several that are the same episode, by uid or content, is taken."""
    spec, left_out = shared_spec(sources)
    arrays = frozenset(
        [*(f"obs/{key}" for key in spec.observation), *(f"{IMAGES}{key}" for key in spec.cameras)]
        + [f"steps/{name}" for name in ("action", "terminated", "truncated", "t_ns", "actor")]
    )
    seen: dict[str, EpisodeRecord] = {}
    chosen: list[list[EpisodeRecord]] = []
    repeated = disagreeing = 0
    for source in sources:
        taken = []
        for record in source.episodes:
            keys = [key for key in (record.uid, content(record, arrays)) if key is not None]
            same = next((seen[key] for key in keys if key in seen), None)
            if same is None:
                taken.append(record)
                seen.update(dict.fromkeys(keys, record))
            else:
                repeated += 1
                disagreeing += same.meta != record.meta
        chosen.append(taken)
    return Union(spec, left_out, chosen, repeated, disagreeing)
