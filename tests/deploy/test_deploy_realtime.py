import gc
import os
import sys
from pathlib import Path

import pytest

from robot_orl.deploy.realtime import realtime_setup

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="real-time calls of Linux")


def process_state() -> tuple[object, ...]:
    status = Path("/proc/self/status").read_text()
    locked = next(line for line in status.splitlines() if line.startswith("VmLck:"))
    scheduling = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    collector = gc.isenabled(), gc.get_freeze_count()
    return scheduling, locked, collector, sys.getswitchinterval(), os.sched_getaffinity(0)


@linux_only
def test_the_process_is_left_as_it_was_also_after_an_error() -> None:
    before = process_state()

    def fail() -> None:
        with realtime_setup(10) as status:
            assert not gc.isenabled()
            assert process_state() != before
            is_fifo = os.sched_getscheduler(0) & os.SCHED_FIFO != 0
            assert status.scheduling.obtained == is_fifo
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert process_state() == before


@linux_only
def test_nothing_is_touched_when_nothing_is_asked_for() -> None:
    before = process_state()
    with realtime_setup(None) as status:
        assert process_state() == before
        assert status.to_dict()["scheduling"] == {"obtained": False, "reason": "not asked for"}


@linux_only
def test_what_could_not_be_had_is_said_in_words_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with realtime_setup(100) as status:
        assert "scheduling: priority 100 is not in 1 .. 99" in status.complaints()
        assert "no real-time scheduling: priority 100 is not in 1 .. 99" in caplog.text


@linux_only
def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with realtime_setup(10) as status:
            assert status.garbage_collector.obtained
        assert not gc.isenabled()
    finally:
        gc.enable()


@linux_only
def test_threads_of_the_body_are_ordinary_ones() -> None:
    import threading

    policies: list[int] = []
    with realtime_setup(10):
        thread = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
    assert policies == [os.SCHED_OTHER]


@linux_only
def test_a_thread_stays_on_the_processor_that_was_asked_for_and_is_free_again_afterwards() -> None:
    before = process_state()
    cpu = max(os.sched_getaffinity(0))
    with realtime_setup(10, cpu) as status:
        assert os.sched_getaffinity(0) == {cpu}
        assert status.to_dict()["affinity"] == {"obtained": True, "reason": f"CPU {cpu} alone"}
    assert process_state() == before


@linux_only
@pytest.mark.parametrize("cpu", [4095, -1, 10**30])
def test_a_processor_that_is_not_there_is_said_and_costs_nothing_else(cpu: int) -> None:
    before = process_state()
    with realtime_setup(10, cpu) as status:
        assert any(line.startswith(f"affinity: no CPU {cpu};") for line in status.complaints())
        assert status.garbage_collector.obtained
    assert process_state() == before


@linux_only
def test_an_affinity_that_nobody_asked_for_is_no_complaint() -> None:
    with realtime_setup(10) as status:
        assert status.affinity.reason == "not asked for"
        assert not any(line.startswith("affinity") for line in status.complaints())
