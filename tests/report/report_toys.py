"""A run folder written by hand: a toy task that no simulator knows, and every figure known beforehand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from robot_orl.compose import resolve
from robot_orl.data.query import select
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.training.runs.run import Run
from robot_orl.types import Episode, EpisodeMeta, Signal, Spec

HOSTILE = "<script>alert('1')</script>"
STAGES = {"bc": (0.4, 20, 0), "offline": (0.7, 30, 0), "online": (0.98, 25, 100)}


def toy_spec(task: str) -> Spec:
    return Spec(task, {"position": (Signal("x", "m"),)}, (Signal("push", low=-1, high=1),), 10.0, 5)


def toy_episode(quality: float | None, success: bool, operator: str = "scripted") -> Episode:
    """Five steps; the last one succeeds or not."""
    steps, nobody = 5, np.full((5, 1), np.nan, np.float32)
    reward = np.full(steps, -1, np.float32)
    reward[-1] = success - 1
    return Episode(
        obs={"position": np.zeros((steps + 1, 1), np.float32)},
        action=np.zeros((steps, 1), np.float32),
        action_policy=nobody,
        action_operator=nobody,
        reward=reward,
        terminated=np.zeros(steps, bool),
        truncated=np.arange(steps) == steps - 1,
        t_ns=np.arange(steps, dtype=np.int64),
        actor=np.zeros(steps, np.uint8),
        sim_state=None,
        meta=EpisodeMeta(seed=1, success=success, success_any=success, quality=quality, operator=operator),
    )


def write_data(path: Path, task: str, config: dict[str, Any], operator: str = "scripted") -> Path:
    """Four episodes: qualities 0.1, 0.4, 0.6 and 0.9; the better two succeed."""
    with SegmentWriter(path, toy_spec(task), "scripted", config) as writer:
        for quality in (0.1, 0.4, 0.6, 0.9):
            writer.append(toy_episode(quality, quality > 0.5, operator))
    return path


def deploy_figures(task: str) -> dict[str, Any]:
    """100 ticks at 10 Hz, all of the period errors in two bins."""
    percentiles = {"p50": 6.0, "p99": 15.0, "p99.9": 15.0, "max": 15.0, "count": 99}
    bins = {"edges_us": [0, 5, 10, 20, 50], "counts": [0, 60, 39, 0]}
    return {
        "robot": "sim",
        "task": task,
        "bundle": "bundles/toy",
        "control_hz": 10.0,
        "period_ms": 100.0,
        "slots": 100,
        "ticks": 99,
        "missed_slots": 1,
        "period_error_us": percentiles,
        "inference_us": percentiles,
        "histograms": {"period_error": bins, "inference": bins},
        "clock": "clock_nanosleep with absolute deadlines",
        "realtime": {"scheduling": {"obtained": False, "reason": "not permitted"}},
        "safety": {"clipped": 3, "rate_limited": 0},
        "success": {"episodes": 2, "successes": 1, "rate": 0.5, "wilson95": [0.09, 0.91]},
        "stopped_by": "duration",
        "fault": None,
    }


def write_run(
    root: Path,
    task: str = "toy",
    stages: tuple[str, ...] = ("bc", "offline", "online"),
    where: str | None = None,
) -> Run:
    """A run with these finished stages, its data beside it and a deployed bundle."""
    data = write_data(root / "data", task, {})
    run = Run(root / "run")
    run.path.mkdir()
    config = OmegaConf.to_container(resolve("pretrain", ["agent=awac"]))
    assert isinstance(config, dict)
    told = {"data": [str(data)], "where": where, "out": "run", "task": {"name": task, "kwargs": {}}}
    run.save_config(config | told)
    learned = Dataset.open(data) if where is None else select(Dataset.open(data), where)
    bundle = root / "bundle"
    bundle.mkdir()
    (bundle / "deploy.json").write_text(json.dumps(deploy_figures(task)))
    summary: dict[str, Any] = {
        "task": task,
        "data": {
            "episodes": len(learned.episodes),
            "transitions": 20,
            "success": 0.5,
            "fingerprint": learned.fingerprint(),
        },
        "wall_s": dict.fromkeys(stages, 10.0),
        "bundle": str(bundle),
        "packages": {"torch": "2.13.0"},
    }
    rows = []
    for stage in stages:
        success, updates, env_steps = STAGES[stage]
        summary[stage] = {
            "success": success,
            "wilson95": [success / 2, 0.99],
            "success_any": 1.0,
            "episode_return": -3.0,
            "episodes": 50,
            "env_steps": env_steps,
            "updates": updates,
        }
        last = env_steps or updates
        rows += [evaluation(stage, last // 2, success / 2), evaluation(stage, last, success)]
    run.update_summary(summary)
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def evaluation(stage: str, step: int, success: float) -> dict[str, Any]:
    interval = {"eval/wilson_low": success / 2, "eval/wilson_high": (1 + success) / 2}
    return {"stage": stage, "step": step, "eval/success": success, "eval/episodes": 50} | interval
