"""Jobs as real processes: at most so many at once, nothing twice, nothing lost."""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from robot_orl.benchmark.jobs import Command, Job, Ledger, Player
from robot_orl.interrupt import StopFlag

pytestmark = pytest.mark.e2e


def python(name: str, code: str) -> Command:
    return Command(name, (sys.executable, "-c", code))


def play(jobs: list[Job], at_once: int = 1, stop: StopFlag | None = None) -> tuple[list[str], dict[str, str]]:
    """Names of the jobs that finished, in their order, and why others failed."""
    finished: list[str] = []
    player = Player(at_once, lambda _: None, lambda job: finished.append(job.name))
    player.play(jobs, stop or StopFlag())
    return finished, player.failed


def test_commands_run_in_order_and_never_more_than_allowed_at_once(tmp_path: Path) -> None:
    """Each notes how many run beside it: a file while it lives."""
    alive = tmp_path / "alive"
    alive.mkdir()
    code = (
        "import os, pathlib, sys, time; a = pathlib.Path(sys.argv[1]); me = a / str(os.getpid()); "
        "me.touch(); time.sleep(0.2); print(len(list(a.iterdir()))); me.unlink()"
    )
    command = (sys.executable, "-c", code, str(alive))
    jobs = [
        Job(f"job {n}", tmp_path / str(n), tuple(Command(f"part {p}", command) for p in (1, 2)))
        for n in range(4)
    ]
    finished, failed = play(jobs, at_once=2)
    assert sorted(finished) == [job.name for job in jobs]
    assert not failed
    beside = [
        int(line)
        for job in jobs
        for line in (job.folder / "log.txt").read_text().splitlines()
        if not line.startswith("$")
    ]
    assert len(beside) == 8
    assert max(beside) == 2


def test_a_failure_says_its_last_words_and_stops_only_who_needs_it(tmp_path: Path) -> None:
    bad = python("collect", "print('robot-orl: no such thing'); raise SystemExit(2)")
    jobs = [
        Job("data", tmp_path / "data", (bad, python("never", "pass"))),
        Job("cell", tmp_path / "cell", (python("pretrain", "pass"),), ("data",)),
        Job("other", tmp_path / "other", (python("pretrain", "pass"),)),
    ]
    finished, failed = play(jobs)
    assert finished == ["other"]
    assert failed == {"data": "collect: no such thing", "cell": "needs data, which failed"}
    assert not (tmp_path / "cell").exists()


def test_a_finished_command_is_not_repeated_and_all_its_seconds_count(tmp_path: Path) -> None:
    work = "i = 0\nwhile i < 1_000_000: i += 1"
    fragile = (
        f"{work}\nimport pathlib; raise SystemExit(not pathlib.Path({str(tmp_path / 'ready')!r}).exists())"
    )
    job = Job("job", tmp_path / "job", (python("first", work), python("second", fragile)))
    assert play([job])[1].keys() == {"job"}
    (tmp_path / "ready").touch()
    assert play([job]) == (["job"], {})
    assert play([job]) == (["job"], {})
    ledger = Ledger(job.folder)
    assert [(p["command"], p["exit_code"]) for p in ledger.processes] == [
        ("first", 0),
        ("second", 1),
        ("second", 0),
    ]
    spent = ledger.spent()
    assert spent["second"]["core_s"] == pytest.approx(sum(p["core_s"] for p in ledger.processes[1:]))
    assert spent["second"]["core_s"] > 0


def test_a_stop_reaches_every_process_once_and_waits_until_they_have_saved(tmp_path: Path) -> None:
    saves = (
        "import pathlib, signal, sys, time; f = pathlib.Path(sys.argv[1])\n"
        "def save(*_): time.sleep(0.3); f.write_text(f.read_text() + 'saved'); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, save); f.write_text('ready '); time.sleep(60)"
    )
    files = [tmp_path / "a", tmp_path / "b"]
    jobs = [
        Job(
            file.name,
            tmp_path / f"job {file.name}",
            (Command("work", (sys.executable, "-c", saves, str(file))),),
        )
        for file in files
    ]
    stop = StopFlag()

    def ask() -> None:
        while not all(file.exists() and file.read_text() for file in files):
            time.sleep(0.01)
        stop._handle(signal.SIGINT, None)

    asking = threading.Thread(target=ask)
    asking.start()
    assert play([*jobs, Job("later", tmp_path / "later", ())], at_once=2, stop=stop) == ([], {})
    asking.join()
    assert [file.read_text() for file in files] == ["ready saved"] * 2
    ended = [json.loads((job.folder / "spent.json").read_text())[0]["exit_code"] for job in jobs]
    assert ended == [130, 130]
