"""`robot-orl doctor` as a user types it: a virtual arm at a real port, a folder of images as the camera."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from children import child
from deploy_toys import MakeBundle

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.deploy.doctor import result
from robot_orl.deploy.doctor.measure import busy_processes
from robot_orl.tasks import TaskConfig, make_env, spec_of

pytestmark = pytest.mark.e2e
COMMAND = (sys.executable, "-m", "robot_orl.cli")
QUICK = ("rates=[100]", "seconds=0.2", "load=1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results are kept, in a home of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return result.cache_file()


def doctor(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def wait_until_there(file: Path) -> None:
    end = time.monotonic() + 60
    while not file.is_symlink():
        assert time.monotonic() < end, f"{file} never appeared"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_bus_and_camera_are_measured_and_the_result_is_kept(tmp_path: Path, cache: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((48, 64, 3), np.uint8))
    arm = [*COMMAND, "virtual-arm", f"port={tmp_path}/arm", "task=arm_reach", "priority=0"]
    with child(arm, stdout=subprocess.DEVNULL) as process:
        wait_until_there(tmp_path / "arm")
        robot = ("robot=koch", f"robot.port={tmp_path}/arm", "robot.reply_s=0.05")
        camera = (f"camera={tmp_path}", "width=64", "height=48", "fps=50")
        done = doctor(*QUICK, "--json", *robot, *camera, f"out={tmp_path}/mine.json")
        process.send_signal(signal.SIGINT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(cache.read_text()) == json.loads((tmp_path / "mine.json").read_text())
    assert found["bus"]["servos"] == 6
    assert found["bus"]["sync_read_us"]["count"] > 0
    assert found["bus"]["sync_read_us"]["p50"] > 6 * 32 * 10, "six answers of 32 bytes at 1 Mbit/s"
    assert found["camera"]["frames"] == found["camera"]["age_us"]["count"] > 0
    assert found["verdicts"][0]["hz"] == 100
    kept = result.latest(cache)
    assert kept is not None
    assert kept["age_s"] >= 0


def test_the_tables_name_every_measurement_and_every_verdict(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *QUICK]) == 0
    told = capsys.readouterr().out
    for text in ("Period error [us]", "100 Hz  idle", "100 Hz  load", "made on the spot", "Verdicts"):
        assert text in told
    assert str(cache) in told


def test_an_interrupted_doctor_leaves_no_process_and_no_result(cache: Path) -> None:
    words = ("rates=[200]", "seconds=0.5", "load=2")
    with child([*COMMAND, "doctor", *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "200 Hz, load" in line:
                break
        busy: list[int] = []
        while len(busy) < 2:
            busy = children_of(process.pid)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    assert not any(map(is_alive, busy))
    assert not cache.exists()


def test_busy_processes_end_with_whoever_started_them() -> None:
    code = (
        "import os, signal\n"
        "from robot_orl.deploy.doctor.measure import busy_processes\n"
        "with busy_processes(2) as pids:\n"
        "    print(*pids, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    pids = [int(word) for word in done.stdout.split()]
    assert (done.returncode, len(pids)) == (-signal.SIGKILL, 2)
    try:
        end = time.monotonic() + 60
        while any(map(is_alive, pids)):
            assert time.monotonic() < end, "they never ended"
            time.sleep(0.01)
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


def test_busy_processes_each_have_a_processor_and_are_gone_afterwards() -> None:
    with busy_processes(3) as pids:
        end = time.monotonic() + 60
        while any(len(os.sched_getaffinity(pid)) > 1 for pid in pids) and len(os.sched_getaffinity(0)) > 1:
            assert time.monotonic() < end, "they were never bound"
            time.sleep(0.01)
        processors = sorted(os.sched_getaffinity(0))
        bound = [next(iter(os.sched_getaffinity(pid))) for pid in pids]
        assert bound == [processors[number % len(processors)] for number in range(3)]
    assert not any(map(is_alive, pids))


def test_a_deployment_keeps_the_latest_result_of_its_host_with_its_age(
    cache: Path, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(spec_of(make_env(TaskConfig("fetch_reach")))).path
    words = ["deploy", f"bundle={bundle}", "priority=0", "one_process=true", "duration_s=0.1"]

    def host() -> dict[str, Any] | None:
        assert main(words) == 0
        found: dict[str, Any] | None = json.loads((bundle / "deploy.json").read_text())["host"]
        return found

    assert host() is None
    kept = {"format": 1, "when": result.timestamp(time.time() - 90), "verdicts": []}
    result.save(kept, cache)
    found = host()
    assert found is not None
    assert found.pop("age_s") >= 90
    assert found == kept


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["rates=[]"], 2, "rates=[] names no control rate; write rates=[100,500]"),
        (["rates=[0]"], 2, "rates=0.0 is outside 1 .. 10000 [Hz]"),
        (["robot=sim"], 2, "robot=sim has no bus to measure; robot=koch has"),
        (["robot=koch", "robot.port=/dev/nowhere"], 2, "no port /dev/nowhere; "),
        (["bundle=nowhere"], 2, "nowhere: no such bundle folder; make one with `robot-orl export`"),
        (["--jso"], 2, "no option '--jso'; "),
        (["camera=nowhere"], 2, "there is nothing at source=nowhere: no camera, video or folder of images"),
    ],
)
def test_wrong_words_are_answered_before_anything_is_measured(
    cache: Path, words: Sequence[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "seconds=1000", *words]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"robot-orl: {line}"), told.err
    assert told.err.count("\n") == 1
    assert not cache.exists()


def test_what_was_measured_is_told_where_it_cannot_be_stored(tmp_path: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    done = doctor(*QUICK, "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"robot-orl: cannot write {cache}")
    assert json.loads(done.stdout)["verdicts"][0]["hz"] == 100
