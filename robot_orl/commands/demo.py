"""`robot-orl demo`: the whole path. Each stage is an ordinary command, run as a process of its own.

A stage that is finished is not repeated: every command knows what of its work is there already, and
`stages.json` remembers the ones that would otherwise measure again.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.table import Table

from robot_orl.commands.tables import out
from robot_orl.config import DemoConfig
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import Interrupted, die_with_parent, taken_signals
from robot_orl.registry import factory, schema_of
from robot_orl.schema import differing
from robot_orl.tasks import make_env, spec_of

BASELINE_SHARE = 2  # a cloning update costs a quarter of one of AWAC, and cloning needs more of them
AGAIN_STEPS = 2500  # updates on demonstrations and deployed episodes together


@dataclass(frozen=True)
class Stage:
    """A command of the path. makes: what is there when it is done.  about_s: its time on two cores [s]."""

    name: str
    words: list[str]
    makes: Path
    about_s: float

    @property
    def line(self) -> str:
        return " ".join(self.words)


def stages(cfg: DemoConfig) -> list[Stage]:
    root = Path(cfg.out) / cfg.task.name
    data, deployed, run, bundle = root / "data", root / "deployed", root / "run", root / "bundle"
    again = root / "run_with_deployed"

    def stage(name: str, about_s: float, makes: Path, words: str, *paths: str) -> Stage:
        return Stage(name, [*words.split(), *paths], makes, about_s)

    seed, episodes, steps, env_steps = f"seed={cfg.seed}", cfg.episodes, cfg.steps, cfg.env_steps
    return [
        stage(
            "collect demonstrations of mixed skill",
            2 + episodes * 0.06,
            data / "dataset.json",
            f"collect task={cfg.task.name} operator=scripted episodes={episodes} {seed}",
            f"out={data}",
        ),
        stage(
            "pretrain offline, and behaviour cloning beside it",
            10 + steps * 0.018,
            run / "checkpoints" / "offline.ckpt",
            f"pretrain agent=awac steps={steps} baseline_steps={BASELINE_SHARE * steps} {seed}",
            f"data={data}",
            f"out={run}",
        ),
        stage(
            "finetune online",
            10 + env_steps * 0.03,
            run / "checkpoints" / "online.ckpt",
            f"finetune env_steps={env_steps}",
            f"run={run}",
        ),
        stage("evaluate", 8, run / "summary.json", "evaluate", f"run={run}"),
        stage("export", 5, bundle / "manifest.json", "export", f"run={run}", f"out={bundle}"),
        stage(
            "deploy in real time",
            5 + cfg.duration_s,
            bundle / "deploy.json",
            f"deploy robot=sim duration_s={cfg.duration_s:g}",
            f"bundle={bundle}",
            f"record={deployed}",
        ),
        # Deployed episodes are data: a short training run on both shows that they are accepted as such.
        stage(
            "learn from what was deployed, too",
            10 + AGAIN_STEPS * 0.012,
            again / "summary.json",
            f"pretrain agent=awac steps={min(AGAIN_STEPS, steps)} baseline_steps=0 final_episodes=20 {seed}",
            f"data=[{data},{deployed}]",
            f"out={again}",
        ),
        stage("report", 15, run / "report.html", "report", f"run={run}"),
    ]


def run(cfg: DemoConfig) -> None:
    """Raises: Interrupted: stopped by Ctrl-C; the same command goes on.  RunError: a stage failed.
    UsageError: there is no script for the task, or the folder is of a demo with other settings.
    """
    factory("operator", "scripted")(schema_of("operator", "scripted")(), spec_of(make_env(cfg.task)))
    root = Path(cfg.out) / cfg.task.name
    path = stages(cfg)
    settings = asdict(cfg)
    del settings["out"]
    done = _Done(root / "stages.json", settings)
    began = time.monotonic()
    for number, stage in enumerate(path, 1):
        left_s = sum(later.about_s for later in path[number - 1 :] if not done.has(later))
        out.print(f"\n[{number}/{len(path)}] {stage.name}: robot-orl {stage.line}", style="bold")
        if done.has(stage):
            out.print("      done before")
            continue
        out.print(f"      about {stage.about_s:.0f} s, {left_s / 60:.0f} min until the end")
        start = time.monotonic()
        _execute(stage)
        done.add(stage, time.monotonic() - start)
    _summary(root, done, time.monotonic() - began)


class _Done:
    """Which stages are finished, by their exact words, and how long each took [s]."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Raises: UsageError: the stages at `path` are of other settings, or it cannot be written."""
        self.path, self.settings = path, settings
        try:
            known = json.loads(path.read_text())
            before, self.seconds = known["settings"], dict(known["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            before, self.seconds = settings, {}
        if changed := differing(before, settings):
            raise UsageError(
                f"{path.parent} holds a demo with other values of: {', '.join(changed)}; choose another "
                "out= or remove it"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def has(self, stage: Stage) -> bool:
        return stage.line in self.seconds and stage.makes.exists()

    def add(self, stage: Stage, seconds: float) -> None:
        self.seconds[stage.line] = round(seconds, 1)
        self._write()

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")
        content = {"settings": self.settings, "seconds": self.seconds}
        partial.write_text(json.dumps(content, indent=2) + "\n")
        partial.replace(self.path)


def _execute(stage: Stage) -> None:
    """Run the stage in a process group of its own, so that a Ctrl-C reaches it once, through us."""
    interrupted = False

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        process.send_signal(signal.SIGINT)

    process = subprocess.Popen(
        [sys.executable, "-m", "robot_orl.cli", *stage.words], process_group=0, preexec_fn=die_with_parent
    )
    before = {number: signal.signal(number, forward) for number in taken_signals()}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupted or code == 130:
        raise Interrupted("the demo is interrupted; the same command goes on where it was")
    if code == UsageError.exit_code:
        sys.exit(code)  # the stage itself has said what is wrong; the same command would only say it again
    if code:
        raise RunError(f"stage '{stage.name}' failed with exit code {code}; the same command goes on from it")


def _summary(root: Path, done: _Done, seconds: float) -> None:
    summary = json.loads((root / "run" / "summary.json").read_text())
    deployed = json.loads((root / "bundle" / "deploy.json").read_text())
    table = Table(title=f"{summary['task']}: success at the last step of the episode", title_justify="left")
    for column in ("what", "success", "95% interval", "episodes", "environment steps"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    data = summary["data"]
    table.add_row(
        "demonstrations", f"{data['success']:.0%}", "", str(data["episodes"]), str(data["transitions"])
    )
    names = {"bc": "behaviour cloning", "offline": "AWAC, offline", "online": "AWAC, finetuned"}
    for stage, name in names.items():
        entry = summary[stage]
        low, high = entry["wilson95"]
        interval = f"{low:.0%} .. {high:.0%}"
        table.add_row(
            name, f"{entry['success']:.0%}", interval, str(entry["episodes"]), f"+{entry['env_steps']}"
        )
    success = deployed["success"]
    low, high = success["wilson95"]
    table.add_row(
        f"deployed at {deployed['control_hz']:g} Hz",
        "unknown" if success["rate"] is None else f"{success['rate']:.0%}",
        f"{low:.0%} .. {high:.0%}",
        str(success["episodes"]),
        str(deployed["ticks"]),
    )
    out.print()
    out.print(table)
    spent = sum(done.seconds.values())
    out.print(f"{spent / 60:.1f} min of stages, {seconds / 60:.1f} min of them now")
    out.print(f"report: {root / 'run' / 'report.html'}")
