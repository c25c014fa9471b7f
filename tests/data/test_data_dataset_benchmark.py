"""The dataset benchmark runs, prints every row and keeps the figures; how fast is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "dataset.py"
ROWS = (
    "bare index_select",
    "ours: Replay",
    "ours: 3-step, 80% hindsight",
    "direct Zarr",
    "h5py",
    "TorchRL memmap replay",
    "Minari, whole episodes",
    "ours: FrameStream, cold",
    "ours: memory-mapped cache",
    "mp4 by PyAV, random",
    "ours: buffer of 1,024 frames",
)


@pytest.mark.slow
@pytest.mark.e2e
def test_every_reader_is_measured_in_one_table_and_kept(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARK), "--quick", "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kept = {row["name"]: row["figures"] for row in json.loads(figures.read_text())["rows"]}
    for name in ROWS:
        assert any(line.startswith(name) for line in lines), done.stdout
        assert kept[name] is None or all(figure > 0 for figure in kept[name])
    assert kept["ours: Replay"] is not None
