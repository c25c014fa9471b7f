"""Suites and cells made up by hand."""

from pathlib import Path
from typing import Any

from robot_orl.benchmark.suite import AgentRow, Suite, TaskRow

SUITE = """
title: a try
seeds: [0, 1]
episodes: 4
files: {door: the demonstrations}
pretrain: {steps: 20, baseline_steps: 0, eval_episodes: 1}
finetune: {eval_every: 50}
tasks:
  reach:
    task: fetch_reach
    data:
      - collect task=fetch_reach episodes=3 seed={seed} out={data}
    pretrain: {steps: 30, eval_every: 10}
    finetune: {env_steps: 100}
  door:
    task: adroit_door
    data:
      - import source=hand_dapg path={door} task=adroit_door out={data}
agents:
  bc: {pretrain: {agent: bc, where: success}}
  awac: {title: AWAC, pretrain: {steps: 40}, finetune: {updates_per_step: 3}}
  tqc: {peer: {script: sb3_scratch.py, algorithm: tqc}, finetune: {}}
"""


def write(folder: Path, text: str = SUITE) -> str:
    path = folder / "try.yaml"
    path.write_text(text)
    return str(path)


REACH = TaskRow("reach", "fetch_reach", ("collect out={data}",), "reach")
BC, AWAC = AgentRow("bc", "cloning"), AgentRow("awac", "AWAC")
MADE = Suite("made", "made up", (0, 1, 2), (REACH,), (BC, AWAC))


def entry(success: float, updates: int = 0, env_steps: int = 0) -> dict[str, Any]:
    return {"success": success, "episodes": 100, "updates": updates, "env_steps": env_steps}


def cell(agent: str, seed: int, offline: float, online: float | None = None) -> dict[str, Any]:
    """500 updates offline, 200 environment steps online, both curves with one point on the way."""
    stages = {"offline": entry(offline, updates=500)}
    curves = {"offline": [[250, offline / 2, 20], [500, offline, 100]]}
    if online is not None:
        stages["online"] = entry(online, updates=400, env_steps=200)
        curves["online"] = [[100, offline - 0.1, 20], [200, online, 100]]
    spent = {"pretrain": {"wall_s": 60.0, "core_s": 90.0}, "evaluate": {"wall_s": 30.0, "core_s": 30.0}}
    return {
        **{"task": "reach", "agent": agent, "seed": seed, "hash": "x", "stages": stages, "curves": curves},
        **{"data": {"success": 0.2 + 0.1 * seed, "episodes": 200}, "spent": {"data": {}, "cell": spent}},
    }


CELLS = [
    *(cell("bc", seed, rate) for seed, rate in enumerate((0.4, 0.4, 0.4))),
    *(cell("awac", seed, 0.5, rate) for seed, rate in enumerate((0.9, 0.8, 1.0))),
]
