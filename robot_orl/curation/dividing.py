"""A dataset in parts, by episode: for training and validation."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import sha256

from robot_orl.curation.checking.findings import count
from robot_orl.curation.copying import content
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import UsageError


def check_parts(shares: Sequence[float], names: Sequence[str]) -> None:
    """Raises: UsageError: they do not say how to divide."""
    if len(shares) < 2 or len(shares) != len(names):
        raise UsageError(f"shares={shares} and names={names} need two or more entries, as many of each")
    if any(not math.isfinite(share) or share <= 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise UsageError(f"shares={shares} are not positive numbers with the sum 1, such as [0.8,0.2]")
    if len(set(names)) < len(names) or any(not n.strip(". ") or set(n) & set("/\\\0") for n in names):
        raise UsageError(f"names={names} cannot name folders beside each other")


def divide(
    records: Sequence[EpisodeRecord], shares: Sequence[float], names: Sequence[str], seed: int
) -> dict[str, list[EpisodeRecord]]:
    """Every episode in one of the parts, each in the records' order.

    It depends on the seed and on what the episodes hold, not on their order or their segments; episodes of
    the same content come into the same part. Raises: UsageError: a part would be empty.
    """
    check_parts(shares, names)
    keys = [_key(record, seed) for record in records]
    ordered = sorted(keys)
    ends = [round(math.fsum(shares[: i + 1]) * len(keys)) for i in range(len(shares) - 1)]
    cuts = [ordered[end] if end < len(keys) else "~" for end in ends]  # '~' lies behind every key
    parts: dict[str, list[EpisodeRecord]] = {name: [] for name in names}
    for record, key in zip(records, keys, strict=True):
        parts[names[bisect_right(cuts, key)]].append(record)
    empty = [name for name, found in parts.items() if not found]
    if empty:
        raise UsageError(
            f"of {count(len(records), 'episode')} none is left for {', '.join(empty)}: change shares="
        )
    return parts


def _key(record: EpisodeRecord, seed: int) -> str:
    return sha256(f"{seed}:{content(record)}".encode()).hexdigest()
