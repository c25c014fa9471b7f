"""The raw figures of a finished cell, one JSON file each, and reading them back.

results/SUITE/CELL.json   suite, task, agent, seed, hash, configuration, commands
                          data: episodes, transitions, success; null for who learns without
                          stages: offline, online: success, wilson95, ..., updates, env_steps of the last
                          policy; best: the same of the policy that the run found best by validation
                          curves: offline by update, online by environment step: [step, success, episodes]
                          spent: wall_s and core_s per command; packages, git_revision
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robot_orl.benchmark.jobs import Ledger
from robot_orl.benchmark.plan import Plan
from robot_orl.data.store.provenance import git_revision, package_versions
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, RunError
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.training.runs.run import EVALUATED, Run, read_metrics

HELD_OUT_SEEDS = EVALUATION_SEEDS[1000:]  # settings are chosen on the first ones
STAGES = ("offline", "online")
AXIS = {"offline": "updates", "online": "env_steps"}  # what a stage's curve is over


def gather(plan: Plan) -> dict[str, Any]:
    """The figures of a cell whose jobs are finished.

    Raises: DataError: a file of it is damaged or gone; its folder can be removed and played anew.
    """
    cell = plan.cell
    try:
        measured = _of_peer(plan) if cell.agent.peer else _of_run(plan)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{plan.job.folder} is damaged ({error!r}); remove it and play {cell.name} again"
        ) from error
    for stage, entry in measured["stages"].items():
        step = entry[AXIS[stage]]
        earlier = [point for point in measured["curves"].get(stage, []) if point[0] < step]
        measured["curves"][stage] = [*earlier, [step, entry["success"], entry["episodes"]]]
    return {
        "suite": cell.suite.name,
        "task": cell.task.name,
        "agent": cell.agent.name,
        "seed": cell.seed,
        "hash": plan.hash,
        **measured,
        "data": _facts(plan),
        "spent": {"data": Ledger(plan.data.folder).spent(), "cell": Ledger(plan.job.folder).spent()},
        "commands": [_shown(plan, c.argv) for job in (plan.data, plan.job) for c in job.commands],
        "git_revision": git_revision(),
        "configuration": plan.configuration,
    }


def _of_run(plan: Plan) -> dict[str, Any]:
    """Cloning is learned offline, whatever its stage is called in a run."""
    run = Run.open(plan.job.folder / "run")
    found = json.loads((plan.job.folder / "held_out.json").read_text())
    stages = {"offline" if stage == "bc" else stage: entry for stage, entry in found.items()}
    curves: dict[str, list[list[float]]] = {stage: [] for stage in stages}
    for row in read_metrics(run.path):
        if row["stage"] in found and EVALUATED in row:
            point = [row["step"], row[EVALUATED], row.get("eval/episodes", 0)]
            curves["offline" if row["stage"] == "bc" else row["stage"]].append(point)
    return {"stages": stages, "curves": curves, "packages": package_versions()}


def _of_peer(plan: Plan) -> dict[str, Any]:
    found = json.loads((plan.job.folder / "peer.json").read_text())
    return {key: found[key] for key in ("stages", "curves", "packages")}


def _facts(plan: Plan) -> dict[str, Any]:
    dataset = Dataset.open(plan.data.folder / "data")
    info, fingerprint = dataset.info(), dataset.fingerprint()
    counts = {"episodes": info.episodes, "transitions": info.transitions}
    return {**counts, "success": info.success, "fingerprint": fingerprint}


def _shown(plan: Plan, argv: Sequence[str]) -> str:
    """A command as one would type it: folders of the machine do not belong into results."""
    known = {str(path): "{" + name + "}" for name, path in plan.places.files.items()}
    work = re.compile(rf"(^|=){re.escape(str(plan.places.work))}/")
    module, *words = argv[2:] if argv[1] == "-m" else [Path(argv[1]).name, *argv[2:]]
    name = "robot-orl" if module == "robot_orl.cli" else f"python -m {module}" if argv[1] == "-m" else module
    shown = [work.sub(r"\1WORK/", word) for word in words]
    for path, placeholder in known.items():
        shown = [word.replace(f"={path}", f"={placeholder}") for word in shown]
    return " ".join([name, *shown])


def write_cell(folder: Path, figures: Mapping[str, Any]) -> None:
    """Complete or not at all. Raises: RunError: it cannot be written."""
    name = f"{figures['task']}-{figures['agent']}-{figures['seed']}.json"
    write_text(folder / name, json.dumps(figures, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """Every cell of a suite, by name. Raises: DataError: a file that is none."""
    cells = []
    for path in sorted(folder.glob("*.json")):
        try:
            figures = json.loads(path.read_text())
            if not {"task", "agent", "seed", "hash", "stages", "curves"} <= figures.keys():
                raise ValueError("it has no figures of a cell")
        except (OSError, ValueError, AttributeError) as error:
            raise DataError(f"{path} is not the result of a cell: {error}") from error
        cells.append(figures)
    return cells
