"""The doctor's measurements by a clock that is moved by hand, its verdicts, and what lies on the disk."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from deploy_toys import FakeClock
from servo_toys import ServoBench, dropped, toy_config

from robot_orl.commands.doctor import examine, run
from robot_orl.config import DoctorConfig
from robot_orl.deploy.doctor import result
from robot_orl.deploy.doctor.measure import Period, measure_calls, measure_period, measure_stalls
from robot_orl.deploy.doctor.openers import open_bus
from robot_orl.deploy.doctor.parts import SILENT, measure_bus
from robot_orl.deploy.doctor.verdict import judge
from robot_orl.deploy.timing import RealClock
from robot_orl.errors import RunError, UsageError

US = 1000  # [ns]


class LateClock(FakeClock):
    """Oversleeps by what it is given [us], sleep by sleep; then never."""

    def __init__(self, *late_us: int) -> None:
        super().__init__()
        self.late_us = list(late_us)

    def sleep_until(self, deadline_ns: int) -> None:
        super().sleep_until(deadline_ns)
        self.time_ns += (self.late_us.pop(0) if self.late_us else 0) * US


def test_a_clock_that_is_always_on_time_has_no_error_no_drift_and_misses_nothing() -> None:
    found = measure_period(500, 0.2, FakeClock(), "idle")
    assert (found.ticks, found.missed, found.drift_us) == (100, 0, 0.0)
    assert found.error_us == {"p50": 0, "p99": 0, "p99.9": 0, "max": 0, "count": 99}


def test_late_ticks_are_errors_on_both_sides_and_a_slot_that_was_slept_through_is_missed() -> None:
    # Woken at 1.0, 2.1, 3.0 and 5.5 ms: the slot of 5 ms is lost, the next is that of 6 ms, 20 us late.
    # Intervals of 1.1, 0.9, 2.5 and 0.52 ms: errors of 100, 100, 1500 and 480 us.
    found = measure_period(1000, 0.005, LateClock(0, 100, 0, 1500, 20), "load")
    assert found.error_us == {"p50": 480, "p99": 1500, "p99.9": 1500, "max": 1500, "count": 4}
    assert (found.ticks, found.missed, found.drift_us, found.under) == (5, 1, 20.0, "load")


def test_a_call_is_timed_once_per_tick() -> None:
    clock = FakeClock()
    called_at: list[int] = []

    def call() -> None:
        called_at.append(clock.time_ns)
        clock.time_ns += (7 if len(called_at) < 20 else 90) * US

    found = measure_calls(call, hz=100, seconds=0.2, clock=clock)
    assert found == {"p50": 7, "p99": 90, "p99.9": 90, "max": 90, "count": 20}
    assert {after - before for before, after in pairwise(called_at)} == {10_000_000}


def test_a_stall_is_a_look_at_the_clock_that_took_far_too_long() -> None:
    class Stalling(FakeClock):
        looks = 0

        def now_ns(self) -> int:
            self.looks += 1
            self.time_ns += {500: 300, 600: 49, 700: 50}.get(self.looks, 10) * US
            return self.time_ns

    found = measure_stalls(0.1, Stalling())
    assert (found["count"], found["longest_us"]) == (2, 300.0)
    assert found["share"] == pytest.approx(350e-6 / found["watched_s"])
    assert 0.03 < found["watched_s"] < 0.05  # 10 of every 30 ms


def period(hz: float, p99_9: float, ticks: int = 1000, missed: int = 0) -> Period:
    error = {"p50": 0.0, "p99": 0.0, "p99.9": p99_9, "max": p99_9, "count": ticks - 1}
    return Period(hz, "idle", ticks, missed, error, 0.0)


@pytest.mark.parametrize(
    ("hz", "p99_9", "ticks", "missed", "work_us", "expected"),
    [
        (500, 100.0, 1000, 0, 1000, "good"),  # 5% of 2 ms, and half of it
        (500, 100.1, 1000, 0, 1000, "usable"),
        (500, 100.0, 1000, 0, 1001, "usable"),
        (500, 400.0, 1000, 0, 1600, "usable"),  # 20%, and 80%
        (500, 400.1, 1000, 0, 1600, "no"),
        (500, 400.0, 1000, 0, 1601, "no"),
        (100, 500.0, 1000, 0, 5000, "good"),
        (1000, 100.0, 1000, 0, 0, "usable"),
        (100, 0.0, 999, 1, 0, "usable"),  # 1 of 1000 slots
        (100, 0.0, 998, 2, 0, "no"),
    ],
)
def test_a_verdict_follows_from_the_share_of_the_period(
    hz: float, p99_9: float, ticks: int, missed: int, work_us: float, expected: str
) -> None:
    assert judge(hz, [period(hz, p99_9, ticks, missed)], work_us).verdict == expected


def test_the_worse_of_idle_and_load_decides_and_the_verdict_says_by_which_figures() -> None:
    found = judge(500, [period(500, 10.0), period(500, 240.0, 1999, 1)], 300)
    assert found.verdict == "usable"
    assert found.why == "p99.9 240 us is 12.0% of the period; 1 of 3,000 slots missed; work 300 us is 15%"
    assert judge(500, [period(500, 240.0), period(500, 10.0)], 0).verdict == "usable"


class Glanced(FakeClock):
    """Every look at it takes 1 ms."""

    def now_ns(self) -> int:
        self.time_ns += 1_000_000
        return self.time_ns


def test_the_bus_is_asked_as_a_control_loop_asks_it_and_a_lost_answer_is_counted(bench: ServoBench) -> None:
    with open_bus(toy_config(bench.port.link, reply_s=0.5)) as opened:
        assert opened is not None
        assert opened[1] == [1, 2, 3]
        bench.faults.next_answers.append(dropped)
        found = measure_bus(*opened, 0.03, Glanced())
    # A round takes 5 looks, the first one 4: its first question got no answer.
    took = {"p50": 1000, "p99": 1000, "p99.9": 1000, "max": 1000}
    assert found == {
        "servos": 3,
        "sync_read_us": {**took, "count": 5},
        "ping_us": {**took, "count": 6},
        "lost": 1,
    }
    assert bench.goals == {"pan": [], "lift": [], "gripper": []}


def test_a_bus_on_which_nobody_answers_is_said_to_be_silent(bench: ServoBench) -> None:
    with open_bus(toy_config(bench.port.link, reply_s=0.001)) as opened:
        assert opened is not None
        bench.faults.next_answers.extend([dropped] * (3 * SILENT))
        with pytest.raises(RunError, match=r"nobody answers on the bus: .*pan \(id 1\)"):
            measure_bus(*opened, 60, RealClock())


def test_a_robot_without_a_bus_is_refused() -> None:
    without = toy_config(Path("nowhere"), servos={}, rest_pose={})
    with pytest.raises(UsageError, match=f"robot={without.name} has no bus to measure; robot=koch has"):
        open_bus(without).__enter__()


def test_the_latest_result_comes_back_with_its_age(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "doctor.json"
    assert result.latest(file) is None
    found = {"format": 1, "when": result.timestamp(1_700_000_000.0), "verdicts": []}
    result.save(found, file)
    assert found["when"] == "2023-11-14T22:13:20+00:00"
    assert result.latest(file, now_s=1_700_000_090.0) == {"age_s": 90.0, **found}
    assert [path.name for path in file.parent.iterdir()] == ["doctor.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "when": "2023-11-14"}', '{"format": 1}', "\0"]
)
def test_a_result_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "doctor.json"
    file.write_text(text)
    assert result.latest(file) is None


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*doctor\.json: "):
        result.save({}, tmp_path / "file" / "doctor.json")


def test_a_folder_in_place_of_a_file_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cfg = DoctorConfig(rates=[100.0], seconds=0.05, load=0, priority=0, out=str(tmp_path))
    with pytest.raises(UsageError, match="it is a folder; choose another out="):
        run(cfg)
    assert not (tmp_path / "cache").exists()


def test_results_lie_in_the_users_cache_one_for_each_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platform.node", lambda: "bench7")
    assert result.cache_file() == tmp_path / "robot-orl" / "doctor-bench7.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert result.cache_file() == Path("/home/someone/.cache/robot-orl/doctor-bench7.json")


SUMMARY = {"p50": float, "p99": float, "p99.9": float, "max": float, "count": int}
ATTEMPT = {"obtained": bool, "reason": str}
SCHEMA = {
    "format": int,
    "when": str,
    "host": {"machine": str, "kernel": str, "cpu": Any, "cpus": int, "is_virtual": Any},
    "asked": {"rates_hz": list, "seconds": float, "load": int, "priority": int, "cpu": Any, "spin_us": float},
    "realtime": dict.fromkeys(("scheduling", "memory_locked", "garbage_collector", "affinity"), ATTEMPT),
    "clock": str,
    "period": [
        {"hz": float, "under": str, "ticks": int, "missed": int, "error_us": SUMMARY, "drift_us": float}
    ],
    "stalls": {"watched_s": float, "count": int, "longest_us": float, "share": float},
    "inference": {"policy": str, "under": str, "hz": float, "us": SUMMARY},
    "bus": Any,
    "camera": Any,
    "findings": [{"what": str, "fix": str}],
    "verdicts": [{"hz": float, "verdict": str, "why": str}],
}


def require(found: Any, schema: Any, path: str = "result") -> None:
    if isinstance(schema, dict):
        assert list(found) == list(schema), path
        for name, inner in schema.items():
            require(found[name], inner, f"{path}.{name}")
    elif isinstance(schema, list):
        for number, element in enumerate(found):
            require(element, schema[0], f"{path}[{number}]")
    elif schema is not Any:
        assert isinstance(found, schema), f"{path} is {found!r}"


def test_the_result_has_the_fields_that_are_promised_and_is_plain_json() -> None:
    cfg = DoctorConfig(rates=[100.0, 200.0], seconds=0.05, load=0, priority=0)
    found = json.loads(json.dumps(examine(cfg), allow_nan=False))
    require(found, SCHEMA)
    assert [(row["hz"], row["under"]) for row in found["period"]] == [
        (100, "idle"),
        (200, "idle"),
        (100, "load"),
        (200, "load"),
    ]
    assert [row["hz"] for row in found["verdicts"]] == [100, 200]
    assert found["realtime"]["scheduling"] == {"obtained": False, "reason": "not asked for"}
    assert "awake" not in found["clock"]
    assert (found["bus"], found["camera"]) == (None, None)
