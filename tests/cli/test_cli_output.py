"""What is printed: tables that fit a terminal, nothing cut or padded in a pipe, and no traceback anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from robot_orl.commands import tables

ROBOT_ORL = [sys.executable, "-m", "robot_orl.cli"]
NAME, PRINT = "a name of many words " * 5, "5" * 64


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(tables, "out", Console(force_terminal=True))


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    return lines


def test_in_a_pipe_every_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_rows([("fingerprint", PRINT), ("note", NAME * 9)])
    assert lines_of(capsys) == [f"fingerprint  {PRINT}", f"note         {(NAME * 9).strip()}"]
    tables.print_columns(("operator", "episodes"), [(NAME, "1,000,000")])
    assert len(lines_of(capsys)) == 3


def test_in_a_terminal_a_table_fits_and_nothing_is_cut(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_rows([("fingerprint", PRINT), ("note", NAME)])
    lines = lines_of(capsys)
    assert max(map(len, lines)) <= 80
    assert "".join(lines).count("5") == 64
    figures = ("1,234,567", "100.0%", "0.123456", "-12345.6", "1,234,567.8")
    tables.print_columns(
        ("operator", "episodes", "success", "quality", "length", "return"), [(NAME, *figures)]
    )
    lines = lines_of(capsys)
    assert max(map(len, lines)) <= 80
    assert [figure for figure in figures if not any(figure in line for line in lines)] == []
    assert " ".join(" ".join(lines).split()).count("many") == 5


@pytest.mark.e2e
def test_no_reader_no_disk_and_no_stdout_are_no_traceback(tmp_path: Path) -> None:
    def status(command: str) -> tuple[str, str]:
        shell = ["bash", "-c", f'set -o pipefail; "$@" {command}', "bash", *ROBOT_ORL, "dataset", "--help"]
        found = subprocess.run(shell, capture_output=True, text=True, cwd=tmp_path)
        return str(found.returncode), found.stderr

    assert status("| true") == ("0", "")
    assert status(">&-") == ("0", "")
    assert status("2>&-") == ("0", "")
    if os.path.exists("/dev/full"):
        assert status(">/dev/full") == ("1", "robot-orl: OSError: [Errno 28] No space left on device\n")


@pytest.mark.e2e
def test_looking_at_a_dataset_loads_no_simulator_and_no_learner(tmp_path: Path) -> None:
    program = """
import sys
from robot_orl.cli import main
assert main(["dataset", "info", "nowhere"]) == 2
assert main(["dataset", "stats", "nowhere"]) == 2
assert main(["dataset", "relabel", "nowhere", "where=success", "reason=x", "success=true"]) == 2
print(*sorted({"torch", "mujoco", "gymnasium", "hydra"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert found.stdout == "\n", found.stderr


def test_the_best_policy_of_an_earlier_stage_is_named_with_its_stage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = {"success": 0.5, "wilson95": (0.4, 0.6), "success_any": 0.5, "episodes": 100}
    stage = measured | {"updates": 2000, "env_steps": 0}
    best = {"step": 1000, "curve": measured}
    tables.print_summary({"bc": stage, "offline": stage, "best": {"bc": best, "offline": best}})
    of_bc, of_offline = capsys.readouterr().out.splitlines()[-2:]
    assert of_bc.endswith("validation episodes; stage=bc which=best takes it")
    assert of_offline.endswith("validation episodes; which=best takes it")
