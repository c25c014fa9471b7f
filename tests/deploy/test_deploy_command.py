"""`robot-orl deploy` itself: what it says and writes however it ends, and whom it never waits for."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from deploy_toys import MakeBundle

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.commands import deploy
from robot_orl.config import ExportConfig
from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.processes.hosting import Hosts
from robot_orl.deploy.promotion.rollback import RollbackConfig
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Array

PATIENCE_S = 60
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Path:
    """An untrained policy for fetch_reach."""
    spec = spec_of(make_env(TaskConfig("fetch_reach")))
    return make_bundle(spec).path


def words(bundle: Path, *others: object) -> list[str]:
    """In one process, which is what monkeypatch reaches, and fast."""
    return ["deploy", f"bundle={bundle}", "priority=0", "one_process=true", *map(str, others)]


def told(bundle: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((bundle / "deploy.json").read_text())
    assert not list(bundle.glob("*.partial"))
    return figures


def shown(out: str) -> dict[str, str]:
    """The printed table: name -> value."""
    rows = (line.strip().split("  ", 1) for line in out.splitlines() if "  " in line.strip())
    return {name: value.strip() for name, value in rows}


def test_a_fault_at_the_first_tick_is_told_like_any_other(make_bundle: MakeBundle, capsys: Capture) -> None:
    spec = spec_of(make_env(TaskConfig("fetch_reach")))
    bundle = make_bundle(spec, Limits(max_observation_age_s=0.01)).path  # a quarter of a period
    assert main(words(bundle, "duration_s=1", "robot.freeze_after_s=0")) == 1
    out, err = capsys.readouterr()
    assert err.startswith("robot-orl: deployment stopped by a fault: stale: the newest observation is ")
    assert len(err.splitlines()) == 1
    table = shown(out)
    assert (table["period error [us]"], table["inference [us]"]) == ("none", "none")
    assert table["ticks"].startswith("0 at 25 Hz, ")
    figures = told(bundle)
    assert (figures["ticks"], figures["stopped_by"], figures["safety"]["stale"]) == (0, "fault", 1)


def test_ctrl_c_while_homing_ends_before_the_first_tick(
    bundle: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SimRobot.home

    def interrupted(self: SimRobot, seed: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        home(self, seed)

    monkeypatch.setattr(SimRobot, "home", interrupted)
    assert main(words(bundle, "duration_s=30")) == 130
    out, err = capsys.readouterr()
    assert err == "robot-orl: interrupted; the robot was stopped and what was recorded is kept\n"
    assert shown(out)["period error [us]"] == "none"
    assert (told(bundle)["ticks"], told(bundle)["stopped_by"]) == (0, "interrupt")


def test_an_emergency_before_the_robot_is_connected_leaves_it_alone(
    bundle: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        deploy, "_await_dead_man", lambda cfg, stop, keys: stop.emergency("a key was pressed")
    )
    monkeypatch.setattr(SimRobot, "connect", lambda self: pytest.fail("connected"))
    assert main(words(bundle, "duration_s=30")) == 130
    err = capsys.readouterr().err
    assert err == "robot-orl: emergency stop, a key was pressed; the robot was not connected\n"
    assert (told(bundle)["connected"], told(bundle)["stopped_by"]) == (False, "emergency")


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        (signal.SIGINT, "interrupted; the robot was stopped and what was recorded is kept"),
        (signal.SIGUSR1, "emergency stop, signal SIGUSR1; the robot holds where it is, the record is kept"),
    ],
)
def test_a_stop_while_the_robot_lies_down_is_no_success_and_says_that_it_holds(
    bundle: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, number: int, ending: str
) -> None:
    def park(self: SimRobot) -> None:
        os.kill(os.getpid(), number)
        if self.should_stop():
            raise RunError("holds where it is")

    monkeypatch.setattr(SimRobot, "park", park)
    assert main(words(bundle, "duration_s=0.1")) == 130
    out, err = capsys.readouterr()
    assert "not parked: it holds its pose, torque on" in out.splitlines()
    assert err == f"robot-orl: {ending}\n"
    kind = "interrupt" if number == signal.SIGINT else "emergency"
    assert (told(bundle)["stopped_by"], told(bundle)["parked"]) == (kind, False)


def at_send(monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], None]) -> None:
    """Do `act` at the start of the command of this number."""
    send, sent = SimRobot.send, []

    def acting(self: SimRobot, action: Array) -> Array:
        sent.append(action)
        if len(sent) == count:
            act()
        return send(self, action)

    monkeypatch.setattr(SimRobot, "send", acting)


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["file", "signal"])
def test_an_emergency_stop_ends_the_run_and_nothing_moves_any_more(
    bundle: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    file = tmp_path / "stop"
    act = file.touch if kind == "file" else lambda: os.kill(os.getpid(), signal.SIGUSR1)
    at_send(monkeypatch, 3, act)
    parked: list[str] = []
    monkeypatch.setattr(SimRobot, "park", lambda self: parked.append(self.name))
    words_ = words(bundle, "duration_s=30", f"estop_file={file}", f"record={tmp_path / 'data'}")
    assert main(words_) == 130
    why = f"{file} appeared" if kind == "file" else "signal SIGUSR1"
    assert capsys.readouterr().err == (
        f"robot-orl: emergency stop, {why}; the robot holds where it is, the record is kept\n"
    )
    figures = told(bundle)
    assert (figures["stopped_by"], figures["stop_reason"]) == ("emergency", why)
    assert (figures["fault"], figures["parked"], parked) == (None, False, [])
    (record,) = Dataset.open(tmp_path / "data").records
    assert (record.length, record.meta.end_reason) == (figures["ticks"] - 1, "emergency")


def test_a_file_that_means_stop_and_is_there_already_is_refused(bundle: Path, capsys: Capture) -> None:
    assert main(words(bundle, f"estop_file={bundle}")) == 2
    assert capsys.readouterr().err == f"robot-orl: {bundle} exists, which means stop: remove it first\n"


def test_a_dead_man_file_without_its_time_is_refused(bundle: Path, capsys: Capture) -> None:
    assert main(words(bundle, "dead_man_file=x")) == 2
    assert "dead_man_file= needs dead_man_s=" in capsys.readouterr().err


@pytest.mark.e2e
def test_a_dead_man_input_that_is_let_go_stops_the_robot(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Touched by a thread until the fifth command."""
    file, let_go = tmp_path / "held", threading.Event()
    file.touch()

    def hold() -> None:
        while not let_go.wait(0.01):
            os.utime(file)

    at_send(monkeypatch, 5, let_go.set)
    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert main(words(bundle, "duration_s=30", "dead_man_s=0.5", f"dead_man_file={file}")) == 130
    out, err = capsys.readouterr()
    assert f"touch {file} again and again: the robot moves only meanwhile" in out
    assert "emergency stop, the dead-man input was let go for 0.5 s" in err
    assert told(bundle)["ticks"] >= 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_further_signals_cost_neither_the_record_nor_the_figures(
    bundle: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, close = SimRobot.send, BackgroundWriter.close
    sent = []

    def at_the_third(self: SimRobot, action: Array) -> Array:
        sent.append(action)
        if len(sent) == 3:
            os.kill(os.getpid(), number)
        return send(self, action)

    def again(self: BackgroundWriter) -> None:
        os.kill(os.getpid(), number)
        close(self)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(SimRobot, "send", at_the_third)
    monkeypatch.setattr(BackgroundWriter, "close", again)
    before = signal.getsignal(number)
    assert main(words(bundle, "duration_s=30", f"record={tmp_path / 'data'}")) == 130
    assert signal.getsignal(number) == before
    assert told(bundle)["ticks"] == len(sent) == 3
    (record,) = Dataset.open(tmp_path / "data").records
    assert (record.length, record.meta.end_reason) == (2, "interrupt")


def test_figures_that_cannot_be_written_leave_the_last_ones(bundle: Path, capsys: Capture) -> None:
    (bundle / "deploy.json").write_text("the last ones")
    (bundle / "deploy.json.partial").mkdir()  # stands for a disk that fails
    assert main(words(bundle, "duration_s=0.04")) == 1
    assert capsys.readouterr().err == f"robot-orl: cannot write {bundle / 'deploy.json'}: Is a directory\n"
    assert (bundle / "deploy.json").read_text() == "the last ones"


def test_answers_that_cannot_be_kept_are_no_fault_of_the_robot(
    bundle: Path, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "answers.npz"
    file.mkdir()
    assert main(words(bundle, "duration_s=0.04", f"answers={file}")) == 1
    said = f"robot-orl: the robot was stopped as it should be, but not all was kept: cannot write {file}: "
    assert capsys.readouterr().err.startswith(said)
    assert told(bundle)["fault"] is None


def test_the_page_is_told_that_the_run_is_over_before_the_record_is_committed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    class Page:
        url = "http://127.0.0.1/"
        over = staticmethod(happened.append)

    close = BackgroundWriter.close

    def closed(writer: BackgroundWriter) -> None:
        happened.append("committed")
        close(writer)

    monkeypatch.setattr(deploy, "stop_page", lambda *_: nullcontext(Page()))
    monkeypatch.setattr(BackgroundWriter, "close", closed)
    assert main(words(bundle, "duration_s=0.04", f"record={tmp_path / 'data'}")) == 0
    assert happened[:2] == ["all of its time was used", "committed"]


def test_whoever_records_is_ended_where_nobody_can_answer(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Hosts] = []

    def fails(*_: object) -> None:
        raise RunError("nobody answers")

    monkeypatch.setattr(deploy, "AskedHere", fails)
    monkeypatch.setattr(Hosts, "kill", lambda self: ended.append(self))
    assert main(words(bundle, "duration_s=0.04", f"record={tmp_path / 'data'}")) == 1
    assert len(ended) == 1
    ended[0].close()


def test_a_pipe_as_out_is_written_to_and_not_replaced(bundle: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(words(bundle, "duration_s=0.04", f"out={pipe}")) == 0
        assert json.loads(os.read(reader, 1 << 16))["slots"] == 1
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_figures_hold_what_was_asked_for(bundle: Path, tmp_path: Path) -> None:
    record = str(tmp_path / "data")
    assert main(words(bundle, "duration_s=0.08", f"record={record}", "seed=7")) == 0
    assert told(bundle)["config"] == {
        "bundle": str(bundle),
        "robot": vars(SimConfig()) | {"limits": vars(Limits())},
        "operator": None,
        "unattended": "stop",
        "duration_s": 0.08,
        "record": record,
        "out": None,
        "seed": 7,
        "estop_file": None,
        "dead_man_s": None,
        "dead_man_file": None,
        "estop_port": None,
        "estop_host": "127.0.0.1",
        "priority": 0,
        "one_process": True,
        "shadow": None,
        "answers": None,
        "swap_file": None,
        "rollback": vars(RollbackConfig()),
    }


def test_deployments_of_one_sweep_do_not_overwrite_each_others_figures(
    bundle: Path, tmp_path: Path, capsys: Capture
) -> None:
    sweep = words(bundle, "duration_s=0.04", "seed=1,2", "--multirun")
    assert main(sweep) == 2
    line = "several combinations would write one deploy.json: add out=FILE.json"
    assert capsys.readouterr().err == f"robot-orl: {line}\n"
    assert not (bundle / "deploy.json").exists()
    assert main([*sweep, f"out={tmp_path / 'figures.json'}"]) == 0
    for seed in (1, 2):
        figures = json.loads((tmp_path / f"figures,seed={seed}.json").read_text())
        assert figures["config"]["seed"] == seed


def full(kind: str) -> tuple[int, int]:
    """Both ends, (read, write), of a pipe or pseudo-terminal that takes no byte more."""
    reader, writer = os.pipe() if kind == "pipe" else pty.openpty()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, bytes(size))
        except BlockingIOError:
            pass
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_stalled_terminal_holds_up_neither_the_loop_nor_its_figures(bundle: Path, kind: str) -> None:
    reader, writer = full(kind)
    command = [sys.executable, "-m", "robot_orl.cli", *words(bundle, "duration_s=2")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writer)
    try:
        assert process.wait(PATIENCE_S) == 0  # nobody has read anything
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
    figures = told(bundle)
    assert (figures["slots"], figures["stopped_by"]) == (50, "duration")


@pytest.mark.e2e
def test_a_closed_terminal_stops_the_robot_and_keeps_the_figures(bundle: Path) -> None:
    """The hang-up comes from the system, and nothing can be printed any more."""
    leader, terminal = pty.openpty()
    command = [sys.executable, "-m", "robot_orl.cli", *words(bundle, "duration_s=60")]
    process = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: os.close(
            os.open(os.ttyname(0), os.O_RDWR)
        ),  # its controlling terminal from now on
    )
    os.close(terminal)
    try:
        text = b""
        while b" 0 s spent" not in text and b" 1 s spent" not in text:  # the loop has begun
            text += os.read(leader, 4096)
        os.close(leader)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    figures = told(bundle)
    assert (figures["stopped_by"], figures["fault"]) == ("interrupt", None)


@pytest.mark.e2e
def test_a_key_in_the_terminal_is_an_emergency_stop(bundle: Path) -> None:
    leader, terminal = pty.openpty()
    command = [sys.executable, "-m", "robot_orl.cli", *words(bundle, "duration_s=60")]
    process = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )
    os.close(terminal)
    try:
        text = b""
        while b" 0 s spent" not in text and b" 1 s spent" not in text:
            text += os.read(leader, 4096)
        assert b"any key stops the robot" in text
        os.write(leader, b" ")
        while b"emergency stop, a key was pressed" not in text:
            text += os.read(leader, 4096)
        assert process.wait(PATIENCE_S) == 130
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    figures = told(bundle)
    assert (figures["stopped_by"], figures["stop_reason"]) == ("emergency", "a key was pressed")


def test_the_limits_of_an_export_are_those_of_a_bundle() -> None:
    """Those of them that export offers: same ranges, which are written down twice; unsaid, none limits."""
    offered = {item.name: item for item in fields(ExportConfig)}
    both = [item for item in fields(Limits) if item.name in offered]
    assert [item.name for item in both] == ["max_action_delta", "max_observation_age_s"]
    for item in both:
        for what in ("low", "high", "unit"):
            assert offered[item.name].metadata[what] == item.metadata[what]
        assert offered[item.name].default in (None, getattr(Limits.neutral(), item.name))
