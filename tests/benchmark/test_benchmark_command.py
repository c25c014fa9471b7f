"""A small suite played by the command itself, cut off once."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from children import child

from robot_orl.cli import main

pytestmark = pytest.mark.e2e
SUITE = """
title: as small as it gets
seeds: [0, 1]
episodes: 2
files: {door: the demonstrations}
pretrain: {agent.hidden: [8, 8], agent.batch_size: 8, eval_episodes: 1, final_episodes: 1, baseline_steps: 0}
finetune: {warmup_steps: 0, eval_episodes: 1, final_episodes: 1}
tasks:
  fetch_reach:
    data:
      - collect task=fetch_reach operator=scripted episodes=3 seed={seed} out={data}
    pretrain: {steps: 20, eval_every: 10}
    finetune: {env_steps: 100, eval_every: 50, updates_per_step: 1}
  adroit_door:
    data:
      - import source=hand_dapg path={door} task=adroit_door out={data}
agents:
  awac: {title: AWAC, finetune: {}}
"""


WORDS = ["benchmark", "suite=mini.yaml", "work=w", "out=r", "seeds=[0]"]


def test_a_suite_is_played_once_and_goes_on_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mini.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "robot_orl.cli", *WORDS]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with child(command, cwd=tmp_path, start_new_session=True, **pipes) as process:
        while not list(tmp_path.glob("w/cells/*/run/metrics.jsonl")):  # it trains
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1].startswith("robot-orl: interrupted; finished cells are kept")
    assert "1 cells are left out: needs files.door=PATH, the demonstrations" in out
    (collected,) = [json.loads(f.read_text()) for f in tmp_path.glob("w/data/*/spent.json")]

    monkeypatch.chdir(tmp_path)
    assert main(WORDS) == 0
    result = tmp_path / "r" / "mini" / "fetch_reach-awac-0.json"
    figures = json.loads(result.read_text())
    assert {s: (e["episodes"], e["updates"], e["env_steps"]) for s, e in figures["stages"].items()} == {
        "offline": (2, 20, 0),
        "online": (2, 100, 100),
    }
    assert [[point[0] for point in figures["curves"][s]] for s in ("offline", "online")] == [
        [10, 20],
        [50, 100],
    ]
    assert figures["configuration"]["pretrain"]["agent"]["hidden"] == [8, 8]
    assert set(figures["spent"]["cell"]) == {"pretrain", "finetune", "evaluate"}
    assert figures["spent"]["data"]["data 1"]["core_s"] == collected[0]["core_s"]  # not collected again
    assert "held_out WORK/cells/fetch_reach-awac-0-" in figures["commands"][-1]
    assert str(tmp_path) not in result.read_text()
    assert "|  | AWAC | " in (tmp_path / "r" / "mini" / "table.md").read_text()
    assert (tmp_path / "r" / "mini" / "curves.svg").read_text().startswith("<svg")

    before = result.stat().st_mtime_ns
    capsys.readouterr()
    assert main(WORDS) == 0
    assert "mini: 1 cells, 1 finished before, 0 to play" in capsys.readouterr().out
    assert result.stat().st_mtime_ns == before
