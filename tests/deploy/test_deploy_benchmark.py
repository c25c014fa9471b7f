import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "realtime.py"


@pytest.mark.e2e
def test_the_benchmark_runs_and_compares_every_loop_and_runtime() -> None:
    command = [sys.executable, str(BENCHMARK), "--seconds", "0.2", "--hz", "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first_cells = {line[:28].strip() for line in done.stdout.splitlines()}
    loops = {"time.sleep(dt - elapsed)", "ours, ordinary scheduling", "ours, real-time"}
    assert loops | {"torch eager", "NumPy", "ONNX Runtime"} <= first_cells
