"""`robot-orl deploy`: a bundle on a robot, in real time. Loads no PyTorch."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from robot_orl.commands.tables import out, print_deployment
from robot_orl.config import DeployConfig
from robot_orl.data.background import BackgroundWriter
from robot_orl.data.reader import Dataset
from robot_orl.data.writer import SegmentWriter
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.loop import run as control
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import Interrupted
from robot_orl.progress import Bar
from robot_orl.registry import factory
from robot_orl.seeds import deployment_seed
from robot_orl.tasks import TaskConfig


def run(cfg: DeployConfig) -> None:
    bundle = Bundle.load(cfg.bundle)
    robot = factory("robot", cfg.robot.name)(cfg.robot, TaskConfig(bundle.task, dict(bundle.task_kwargs)))
    file = Path(cfg.out) if cfg.out else Path(cfg.bundle) / "deploy.json"
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"cannot write {file}; choose another out=")  # before anything moves
    writer = None
    first = 0
    if cfg.record is not None:
        path = Path(cfg.record)
        if (path / "dataset.json").exists():
            first = len(Dataset.open(path, allow_empty=True).records)
        writer = BackgroundWriter(SegmentWriter(path, robot.spec, "deploy", asdict(cfg), bundle.task_kwargs))
    ticks = round(cfg.duration_s * bundle.spec.control_hz)
    with Bar(f"deploy: {cfg.robot.name}", ticks) as bar:
        report = control(
            robot,
            bundle,
            duration_s=cfg.duration_s,
            writer=writer,
            seed=deployment_seed(cfg.seed, first),
            realtime_priority=cfg.priority or None,
            on_tick=lambda done, total: bar.advance(done - bar.done),
        )
    failure = _close(writer)
    try:
        file.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error
    print_deployment(report.to_dict())
    out.print(f"written to {file}")
    if report.fault or failure:
        raise RunError(f"deployment stopped by a fault: {report.fault or failure}")
    if report.stopped_by == "interrupt":
        raise Interrupted("interrupted; the robot was stopped and what was recorded is kept")


def _close(writer: BackgroundWriter | None) -> str | None:
    try:
        if writer is not None:
            writer.close()
    except RunError as error:
        return str(error)
    return None
