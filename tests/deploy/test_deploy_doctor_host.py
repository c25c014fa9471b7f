"""What the doctor finds to mend, on file trees as the kernel would show them."""

from pathlib import Path

import pytest

from robot_orl.deploy.doctor.host import (
    facts,
    permission_findings,
    process_findings,
    stall_findings,
    system_findings,
)
from robot_orl.deploy.doctor.processes import Process, busy_shares, processes
from robot_orl.deploy.realtime import NOT_ASKED, Attempt, RealtimeStatus

CPU = "sys/devices/system/cpu"
HAD, REFUSED = Attempt(True, "yes"), Attempt(False, "Operation not permitted; raise it")


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_a_host_that_says_nothing_about_itself_has_nothing_to_mend(tmp_path: Path) -> None:
    assert list(system_findings(tmp_path)) == []
    assert (facts(tmp_path)["cpu"], facts(tmp_path)["is_virtual"]) == (None, None)
    assert processes(tmp_path) == {}


@pytest.mark.parametrize(("flags", "is_virtual"), [("fpu hypervisor sse", True), ("fpu nohypervisor", False)])
def test_a_virtual_machine_is_known_by_its_processors_flags(
    tmp_path: Path, flags: str, is_virtual: bool
) -> None:
    tree(tmp_path, {"proc/cpuinfo": f"processor\t: 0\nmodel name\t: A: B\nflags\t\t: {flags}\n"})
    assert facts(tmp_path)["cpu"] == "A: B"
    assert facts(tmp_path)["is_virtual"] is is_virtual


def test_each_setting_that_costs_time_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    clock = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    tree(
        tmp_path,
        {
            f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{CPU}/cpu1/cpufreq/scaling_governor": "performance\n",
            f"{CPU}/cpu0/cpuidle/state0/latency": "0\n",
            f"{CPU}/cpu0/cpuidle/state2/latency": "133\n",
            f"{CPU}/cpu0/cpuidle/state3/latency": "900\n",
            f"{CPU}/cpu0/cpuidle/state3/disable": "1\n",
            clock: "hpet\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
            "sys/bus/usb-serial/devices/ttyUSB0/latency_timer": "16\n",
            "sys/bus/usb-serial/devices/ttyUSB1/latency_timer": "1\n",
        },
    )
    found = {finding.what: finding.fix for finding in system_findings(tmp_path)}
    assert found == {
        "the CPU governor is 'powersave': a processor that rests wakes up slowly": (
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        ),
        "processors sleep so deeply that waking takes up to 133 us": "sudo cpupower idle-set -D 50",
        "the clock is read from 'hpet', which is slow": "boot with the kernel argument tsc=reliable",
        "a CPU quota of 1.5 processors pauses this process when it is used up": (
            "start the container without --cpus, or: echo max | sudo tee /sys/fs/cgroup/cpu.max"
        ),
        "/dev/ttyUSB0 holds answers back for 16 ms": (
            "echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB0/latency_timer"
        ),
    }


def test_a_host_that_is_set_up_well_has_nothing_to_mend(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
            f"{CPU}/cpu0/cpuidle/state1/latency": "50\n",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
    )
    assert list(system_findings(tmp_path)) == []


def test_what_was_refused_is_mended_for_this_user_and_what_was_not_asked_for_is_no_finding() -> None:
    refused = list(permission_findings(RealtimeStatus(REFUSED, REFUSED, HAD), "ada"))
    assert [finding.what for finding in refused] == [
        "real-time scheduling is not permitted",
        "memory cannot be locked",
    ]
    assert "echo 'ada - rtprio 20' | sudo tee -a /etc/security/limits.d/" in refused[0].fix
    assert "echo 'ada - memlock unlimited' | sudo tee -a /etc/security/limits.d/" in refused[1].fix
    assert list(permission_findings(RealtimeStatus(NOT_ASKED, NOT_ASKED, NOT_ASKED), "ada")) == []
    assert list(permission_findings(RealtimeStatus(HAD, HAD, HAD), "ada")) == []


def stat(name: str, parent: int, user: int, system: int, priority: int = 0, policy: int = 0) -> str:
    """A line of /proc/PID/stat, see proc(5): fields 14, 15, 40 and 41 matter."""
    fields = ["S", str(parent), *["0"] * 9, str(user), str(system), *["0"] * 24, str(priority), str(policy)]
    return f"77 ({name}) {' '.join(fields)} 0 0\n"


def test_processes_are_read_whatever_their_names_are(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/2/stat": stat("kthreadd", 0, 0, 0),
            "proc/9/stat": stat("irq/9", 2, 100, 0, 50, 1),
            "proc/77/stat": stat("a) b (c) 1", 1, 250, 50, 30, 2),
            "proc/78/stat": stat("x", 1, 0, 0, 99, 6),
            "proc/79/stat": "torn",
            "proc/self/stat": stat("no number", 1, 0, 0),
        },
    )
    found = processes(tmp_path)
    assert sorted(found) == [2, 9, 77, 78]
    assert [found[pid].is_kernel for pid in (2, 9, 77)] == [True, True, False]
    assert (found[77].name, found[77].priority, found[78].priority) == ("a) b (c) 1", 30, 0)
    assert found[77].cpu_s == pytest.approx(3.0)  # 300 ticks of 10 ms


def process(pid: int, cpu_s: float, priority: int = 0, is_kernel: bool = False) -> Process:
    return Process(pid, f"p{pid}", cpu_s, priority, is_kernel)


def table(*found: Process) -> dict[int, Process]:
    return {one.pid: one for one in found}


def test_shares_are_of_one_processor_and_kernel_and_own_processes_do_not_count() -> None:
    before = table(process(5, 10.0), process(6, 1.0), process(7, 0.0, is_kernel=True), process(8, 0.0))
    after = table(
        process(5, 14.0), process(6, 1.5), process(7, 9.0, is_kernel=True), process(8, 9.0), process(9, 2.0)
    )
    shares = busy_shares(before, after, seconds=5.0, own={8})
    assert [(found.pid, share) for found, share in shares] == [(5, 0.8), (9, 0.4), (6, 0.1)]


def test_the_busiest_and_those_of_higher_priority_are_named() -> None:
    before = table(*(process(pid, 0.0) for pid in range(10, 16)))
    after = table(
        *(
            process(pid, share * 10)
            for pid, share in zip(range(10, 15), (0.2, 0.9, 0.3, 0.099, 0.5), strict=True)
        ),
        process(15, 0.0, priority=50),
        process(16, 0.0, priority=19),
        process(17, 0.0, priority=99, is_kernel=True),
    )
    found = [
        f"{finding.what} -> {finding.fix}" for finding in process_findings(before, after, 10.0, set(), 20)
    ]
    assert found == [
        "p11 (pid 11) used 90% of a processor while idle was measured -> end it, or: renice 19 -p 11",
        "p14 (pid 14) used 50% of a processor while idle was measured -> end it, or: renice 19 -p 14",
        "p12 (pid 12) used 30% of a processor while idle was measured -> end it, or: renice 19 -p 12",
        "p15 (pid 15) has real-time priority 50, ours is 20 -> sudo chrt -f -p 19 15",
    ]


def test_long_stalls_are_the_hypervisors_or_the_firmwares() -> None:
    stalls = {"watched_s": 2.0, "count": 3, "longest_us": 100.1, "share": 1e-4}
    (guest,) = stall_findings(stalls, is_virtual=True)
    assert guest.what == (
        "the hypervisor stopped a thread of real-time priority 3 times in 2.0 s, for 100 us at most"
    )
    (bare,) = stall_findings(stalls, is_virtual=False)
    assert bare.what.startswith("firmware or the kernel stopped ")
    assert list(stall_findings({**stalls, "longest_us": 100.0}, is_virtual=True)) == []
