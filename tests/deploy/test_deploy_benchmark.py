import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "realtime.py"


@pytest.mark.slow
@pytest.mark.e2e
def test_the_benchmark_runs_and_compares_every_loop_and_runtime(tmp_path: Path) -> None:
    short = ["--seconds", "0.2", "--hz", "100", "--load", "0", "--calls", "20", "--taste", "0.1"]
    command = [sys.executable, str(BENCHMARK), *short, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip() == (tmp_path / "table.md").read_text().rstrip()
    found = json.loads((tmp_path / "realtime.json").read_text())
    assert [row["name"].split(",")[0] for row in found["loops"]] == [
        "time.sleep(dt - elapsed)",
        "the same",
        "ours in one process",
        "ours in one process",
        "the same",
        "the same",
        "ours as deployed: three processes",
    ]
    assert all(row["ticks"] + (row["missed"] or 0) >= 20 for row in found["loops"])
    assert [row["collections"]["count"] for row in found["loops"][3:]] == [0, 0, 0, 0], "real-time loops"
    assert [row["name"] for row in found["inference"]] == [
        "torch eager",
        "torch compiled",
        "NumPy",
        "ONNX Runtime (ours)",
        "ONNX Runtime in the policy's process (as deployed)",
    ]
    assert [row["spin_us"] for row in found["spins"]] == [0, 50, 100, 200, 400]
