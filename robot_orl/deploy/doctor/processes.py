"""Who else uses the processors, read from /proc."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

KERNEL = 2  # process id of the parent of all kernel threads
# Fields of /proc/PID/stat behind the name in brackets, which may hold anything (proc(5), less 3).
PARENT, USER_TIME, SYSTEM_TIME, PRIORITY, POLICY = 1, 11, 12, 37, 38
FIFO, ROUND_ROBIN = 1, 2


@dataclass(frozen=True)
class Process:
    """cpu_s: processor time so far [s].  priority: real-time priority; 0: an ordinary process."""

    pid: int
    name: str
    cpu_s: float
    priority: int
    is_kernel: bool


def processes(root: Path = Path("/")) -> dict[int, Process]:
    """All that can be seen, by id; empty where there is no /proc."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    found = {}
    for file in (root / "proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = file.read_text(errors="replace").rpartition(")")
            fields = tail.split()
            pid = int(file.parent.name)
            has_priority = int(fields[POLICY]) in (FIFO, ROUND_ROBIN)
            found[pid] = Process(
                pid,
                head.partition("(")[2],
                (int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])) / ticks_per_s,
                int(fields[PRIORITY]) if has_priority else 0,
                KERNEL in (pid, int(fields[PARENT])),
            )
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            continue
    return found


def busy_shares(
    before: dict[int, Process], after: dict[int, Process], seconds: float, own: Collection[int]
) -> list[tuple[Process, float]]:
    """Who used which share of one processor between two looks `seconds` apart, the busiest first."""
    shares = [
        (process, (process.cpu_s - (before[pid].cpu_s if pid in before else 0.0)) / seconds)
        for pid, process in after.items()
        if pid not in own and not process.is_kernel
    ]
    return sorted(shares, key=lambda pair: -pair[1])
