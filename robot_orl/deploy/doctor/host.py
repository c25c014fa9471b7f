"""What this host is, and what of its settings costs time: each finding with the command that mends it.

Read from /proc and /sys; where something is not there, as on other systems, nothing is said about it.
"""

import os
import platform
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_orl.deploy.doctor.processes import Process, busy_shares
from robot_orl.deploy.realtime import RealtimeStatus

SLOW_IDLE_US = 50  # an idle state that takes longer to leave is a late wake-up
BUSY_SHARE = 0.1  # of a processor: what uses less is not worth naming
NAMED = 3  # processes at most
LONG_STALL_US = 100
FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
ROOT = Path("/")


@dataclass(frozen=True)
class Finding:
    """what: is in the way.  fix: the command, or what to do."""

    what: str
    fix: str


def facts(root: Path = ROOT) -> dict[str, Any]:
    """machine, kernel, cpu, cpus that this process may use, is_virtual; None: unknown."""
    lines = _text(root / "proc/cpuinfo").splitlines()
    rows = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return {
        "machine": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": rows.get("model name"),
        "cpus": processors(),
        "is_virtual": "hypervisor" in rows["flags"].split() if "flags" in rows else None,
    }


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def permission_findings(status: RealtimeStatus, user: str) -> Iterator[Finding]:
    """What the system refused. user: name, for whom the limits are raised."""
    lines = []
    if not status.scheduling.obtained and "not asked" not in status.scheduling.reason:
        lines.append(f"{user} - rtprio 20")
    if not status.memory_locked.obtained and "not asked" not in status.memory_locked.reason:
        lines.append(f"{user} - memlock unlimited")
    names = {"rtprio": "real-time scheduling is not permitted", "memlock": "memory cannot be locked"}
    for line in lines:
        yield Finding(
            names[line.split()[2]],
            f"echo '{line}' | sudo tee -a /etc/security/limits.d/robot-orl.conf, then log in again; "
            "in a container: docker run --cap-add SYS_NICE --ulimit rtprio=20 --ulimit memlock=-1",
        )


def system_findings(root: Path = ROOT) -> Iterator[Finding]:
    """Governor, idle states, clock source, CPU quota, latency timers of USB adapters."""
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"))
    governors = {_text(cpu / "cpufreq/scaling_governor").strip() for cpu in cpus} - {"", "performance"}
    if governors:
        yield Finding(
            f"the CPU governor is '{', '.join(sorted(governors))}': a processor that rests wakes up slowly",
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        )
    slowest_us = max((_slowest_idle_us(cpu) for cpu in cpus), default=0)
    if slowest_us > SLOW_IDLE_US:
        yield Finding(
            f"processors sleep so deeply that waking takes up to {slowest_us} us",
            f"sudo cpupower idle-set -D {SLOW_IDLE_US}",
        )
    source = _text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource").strip()
    if source and source not in FAST_CLOCKS:
        yield Finding(
            f"the clock is read from '{source}', which is slow", "boot with the kernel argument tsc=reliable"
        )
    quota = _text(root / "sys/fs/cgroup/cpu.max").split()
    if quota and quota[0] != "max":
        share = int(quota[0]) / int(quota[1])
        yield Finding(
            f"a CPU quota of {share:g} processors pauses this process when it is used up",
            "start the container without --cpus, or: echo max | sudo tee /sys/fs/cgroup/cpu.max",
        )
    for file in sorted((root / "sys/bus/usb-serial/devices").glob("*/latency_timer")):
        if (latency := _text(file).strip()).isdecimal() and int(latency) > 1:
            yield Finding(
                f"/dev/{file.parent.name} holds answers back for {latency} ms",
                f"echo 1 | sudo tee /{file.relative_to(root)}",
            )


def _slowest_idle_us(cpu: Path) -> int:
    """Exit latency of the deepest idle state that is in use [us]."""
    states = (cpu / "cpuidle").glob("state*")
    in_use = [state for state in states if _text(state / "disable").strip() != "1"]
    return max((int(_text(state / "latency").strip() or 0) for state in in_use), default=0)


def process_findings(
    before: dict[int, Process],
    after: dict[int, Process],
    seconds: float,
    own: Collection[int],
    priority: int,
) -> Iterator[Finding]:
    """Who else was busy between two looks `seconds` apart. own: ids to leave out.  priority: ours."""
    shares = busy_shares(before, after, seconds, own)
    for process, share in [pair for pair in shares if pair[1] >= BUSY_SHARE][:NAMED]:
        yield Finding(
            f"{process.name} (pid {process.pid}) used {share:.0%} of a processor while idle was measured",
            f"end it, or: renice 19 -p {process.pid}",
        )
    for process in after.values():
        if process.priority >= max(priority, 1) and not process.is_kernel and process.pid not in own:
            yield Finding(
                f"{process.name} (pid {process.pid}) has real-time priority {process.priority}, "
                f"ours is {priority}",
                f"sudo chrt -f -p {max(1, priority - 1)} {process.pid}",
            )


def stall_findings(stalls: dict[str, float | int], is_virtual: bool | None) -> Iterator[Finding]:
    """Only of a thread that had real-time priority."""
    if stalls["longest_us"] <= LONG_STALL_US:
        return
    who = "the hypervisor" if is_virtual else "firmware or the kernel"
    yield Finding(
        f"{who} stopped a thread of real-time priority {stalls['count']} times in "
        f"{stalls['watched_s']:.1f} s, for {stalls['longest_us']:.0f} us at most",
        "run on a computer of its own: no setting of a guest mends it"
        if is_virtual
        else "switch power saving off in the firmware's setup, or install a PREEMPT_RT kernel",
    )


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
