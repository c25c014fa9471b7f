"""How much memory the data will take, known from their logs, and how much there is: told before loading."""

import resource
from collections.abc import Iterator
from pathlib import Path

from robot_orl.errors import UsageError
from robot_orl.types import Spec

STEP_BYTES = 4 + 4 + 1 + 3 * 8 + 32  # reward, terminated, actor, three rows and the table of targets


def require_memory(spec: Spec, lengths: list[int], available: int | None) -> None:
    """lengths: steps of every episode.  available: bytes; None: nobody knows, so nothing is refused.

    Raises: UsageError: they would not fit; names both figures and what to do.
    """
    need = memory_of(spec, sum(lengths), len(lengths))
    if available is None or need <= available:
        return
    raise UsageError(
        f"the {sum(lengths):,} steps of {len(lengths):,} episodes take {_readable(need)} of memory and "
        f"{_readable(available)} are free: learn from fewer, about {len(lengths) * available // need:,} "
        "episodes, with where=... such as where='quality > 0.5'"
    )


def memory_of(spec: Spec, steps: int, episodes: int) -> int:
    """Bytes at the worst moment: the replay, and the features in double precision for their deviation."""
    goals = len(spec.observation[spec.achieved_goal]) if spec.achieved_goal and spec.desired_goal else 0
    features = spec.observation_size + goals
    row = 4 * (spec.observation_size + goals) + 8 * features + (4 * features if goals else 0)
    return (steps + episodes) * row + steps * (4 * spec.action_size + STEP_BYTES)


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: of the machine, its control groups and its own limit.

    root: where /proc and /sys are. None: the system does not tell.
    """
    found = [*_machine(root), *_groups(root), *_own_limit(root)]
    return max(0, min(found)) if found else None


def _machine(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """Of each control group with a limit that this process is in; version 2, and 1 beside or before it."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            version_1 = controllers == "memory"
            mount = root / "sys/fs/cgroup" / controllers
            limit, usage, cache = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                if version_1
                else ("memory.max", "memory.current", "inactive_file")
            )
            inside = mount / path.lstrip("/")  # in a container it may be the mount itself
            for group in [inside, *inside.parents]:
                if group.is_relative_to(mount):
                    yield from _group(group, limit, usage, cache)


def _group(group: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    """cache: files that were read and that the kernel drops when memory is wanted."""
    most, used = _lines(group / limit), _lines(group / usage)
    if most and used and most[0] != "max":
        kept = sum(
            int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith(f"{cache} ")
        )
        yield int(most[0]) - int(used[0]) + kept


def _own_limit(root: Path) -> Iterator[int]:
    """What `ulimit -v` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    sizes = _lines(root / "proc/self/statm")
    if limit != resource.RLIM_INFINITY and sizes:
        yield limit - int(sizes[0].split()[0]) * resource.getpagesize()


def _lines(path: Path) -> list[str]:
    """None where it cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
