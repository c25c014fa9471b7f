"""The stress program, short: `python tests/data/crash_stress.py --kills 200` is the long version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("crash_stress.py")
PROJECT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_nothing_acknowledged_is_lost_to_kills_of_recorders_and_of_collect(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--kills", "8", "--collect", "2", "--folder", str(tmp_path)]
    paths = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, env=paths)
    assert done.returncode == 0, done.stderr
    assert "nothing that was acknowledged is missing, nothing wrong was read" in done.stdout
    assert done.stdout.startswith("8 kills; acknowledged: ")
    assert "\n2 kills of `robot-orl collect" in done.stdout
