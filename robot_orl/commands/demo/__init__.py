"""`robot-orl demo`: the whole path. Each stage is an ordinary command, run as a process of its own.

A stage that is finished is not repeated: every command knows what of its work is there already, and
`stages.json` remembers the ones that would otherwise measure again.
"""

import time
from dataclasses import asdict
from pathlib import Path

from robot_orl.commands.demo.done import Done
from robot_orl.commands.demo.executing import execute
from robot_orl.commands.demo.results import print_results
from robot_orl.commands.demo.stages import ARM, stages
from robot_orl.commands.tables import out
from robot_orl.config import DemoConfig
from robot_orl.deploy.robots.joint_task import joint_task
from robot_orl.registry import factory, schema_of
from robot_orl.tasks import make_env, spec_of


def run(cfg: DemoConfig) -> None:
    """Raises: Interrupted: stopped by Ctrl-C; the same command goes on.  RunError: a stage failed.
    UsageError: there is no script for the task, it moves no arm of servos, or the folder is of a demo with
    other settings.
    """
    env = make_env(cfg.task)
    spec = spec_of(env)
    factory("operator", "scripted")(schema_of("operator", "scripted")(), spec)
    if cfg.robot == ARM:
        joint_task(env, ARM, sees_object=True)
    root = Path(cfg.out) / (cfg.task.name if cfg.robot != ARM else f"{cfg.task.name}_{ARM}")
    path = stages(cfg, root, spec)
    settings, defaults = asdict(cfg), asdict(DemoConfig())
    del settings["out"], defaults["out"]
    done = Done(root / "stages.json", settings, defaults)
    began = time.monotonic()
    for number, stage in enumerate(path, 1):
        left_s = sum(later.about_s for later in path[number - 1 :] if not done.has(later))
        out.print(f"\n[{number}/{len(path)}] {stage.name}: robot-orl {stage.line}", style="bold")
        if done.has(stage):
            out.print("      done before")
            continue
        if stage.beside is not None:
            out.print(f"      beside it: robot-orl {stage.beside.line}")
        out.print(f"      about {stage.about_s:.0f} s, {left_s / 60:.0f} min until the end")
        start = time.monotonic()
        execute(stage)
        done.add(stage, time.monotonic() - start)
    print_results(root, done)
    out.print(f"{done.spent_s / 60:.1f} min of stages, {(time.monotonic() - began) / 60:.1f} min of them now")
    out.print(f"report: {root / 'run' / 'report.html'}")
