"""Ask the system for real-time behaviour, say in words what could not be had, and undo it at the end."""

import ctypes
import errno
import gc
import logging
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

log = logging.getLogger(__name__)

# <sys/mman.h>: lock what is mapped now and later; ONFAULT locks a page when it is first touched, so that
# address space that nobody uses (thread stacks, library tails) takes no memory.
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
# How long another Python thread may keep the interpreter after the tick wakes; CPython's default is 5 ms.
SWITCH_INTERVAL_S = 1e-4


@dataclass(frozen=True)
class Attempt:
    """Whether a measure was obtained, and the reason or the means."""

    obtained: bool
    reason: str


NOT_ASKED = Attempt(False, "not asked for")


@dataclass(frozen=True)
class RealtimeStatus:
    """What was had of each measure. Goes into the report as it is."""

    scheduling: Attempt
    memory_locked: Attempt
    garbage_collector: Attempt
    affinity: Attempt = NOT_ASKED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def complaints(self) -> list[str]:
        """One line for each measure that was asked for and could not be had."""
        rows = asdict(self).items()
        return [
            f"{name.replace('_', ' ')}: {row['reason']}"
            for name, row in rows
            if not row["obtained"] and row["reason"] != NOT_ASKED.reason
        ]


@contextmanager
def realtime_setup(priority: int | None, cpu: int | None = None) -> Iterator[RealtimeStatus]:
    """Run the body with real-time scheduling for the calling thread, locked memory and no garbage runs.

    priority: SCHED_FIFO priority, 1 to 99, 10 to 20 being usual; None asks for nothing.
    cpu: number of the only processor to run on; None: any. Threads and processes that the body starts
    inherit it, so start them before.
    Each measure is tried on its own, and whatever was obtained is undone when the body ends.
    """
    with ExitStack() as undo:
        if priority is None:
            yield RealtimeStatus(NOT_ASKED, NOT_ASKED, NOT_ASKED)
            return
        status = RealtimeStatus(
            scheduling=_schedule_fifo(priority, undo),
            memory_locked=_lock_memory(undo),
            garbage_collector=_quiet_interpreter(undo),
            affinity=_stay_on(cpu, undo),
        )
        for complaint in status.complaints():
            log.warning("no real-time %s", complaint)
        yield status


def _schedule_fifo(priority: int, undo: ExitStack) -> Attempt:
    if not hasattr(os, "SCHED_RESET_ON_FORK"):
        return Attempt(False, f"{sys.platform} has no SCHED_FIFO")
    try:
        before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
        # RESET_ON_FORK: threads and processes that the loop starts (the recorder) stay ordinary ones.
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return Attempt(False, f"priority {priority} is not in 1 .. 99")
        limit = "raise it with `ulimit -r 20`, a line in /etc/security/limits.conf or CAP_SYS_NICE"
        return Attempt(False, f"{os.strerror(error.errno or 0)}; {limit}")
    undo.callback(os.sched_setscheduler, 0, before, parameters)
    return Attempt(True, f"SCHED_FIFO priority {priority}")


def _stay_on(cpu: int | None, undo: ExitStack) -> Attempt:
    if cpu is None:
        return NOT_ASKED
    if not hasattr(os, "sched_setaffinity"):
        return Attempt(False, f"{sys.platform} has no affinity")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except (OSError, ValueError, OverflowError):
        return Attempt(False, f"no CPU {cpu}; this process may use {', '.join(map(str, sorted(before)))}")
    undo.callback(os.sched_setaffinity, 0, before)
    return Attempt(True, f"CPU {cpu} alone")


def _lock_memory(undo: ExitStack) -> Attempt:
    libc = ctypes.CDLL(None, use_errno=True)
    if not sys.platform.startswith("linux"):
        return Attempt(False, f"{sys.platform} has no mlockall")
    if _locked_kib():
        return Attempt(True, "was locked already")
    flags = MCL_CURRENT | MCL_ONFAULT
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or os.geteuid() == 0:
        flags |= MCL_FUTURE  # under a finite limit this would make later allocations fail
    if libc.mlockall(flags):
        code = ctypes.get_errno()
        return Attempt(
            False, f"{os.strerror(code)}; raise the limit with `ulimit -l unlimited` or CAP_IPC_LOCK"
        )
    undo.callback(libc.munlockall)
    return Attempt(True, "mlockall, " + ("now and later" if flags & MCL_FUTURE else "what is mapped now"))


def _locked_kib() -> int:
    with open("/proc/self/status") as status:
        return next((int(line.split()[1]) for line in status if line.startswith("VmLck:")), 0)


def _quiet_interpreter(undo: ExitStack) -> Attempt:
    undo.callback(sys.setswitchinterval, sys.getswitchinterval())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if not gc.isenabled():
        return Attempt(True, "was off already")
    gc.collect()
    gc.freeze()  # what lives now is not looked at again by the collections between episodes
    gc.disable()
    undo.callback(gc.unfreeze)
    undo.callback(gc.enable)
    return Attempt(True, "frozen and off; collected between episodes")
