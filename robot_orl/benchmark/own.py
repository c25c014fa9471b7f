"""How a cell of one of our own agents is played: pretrain, finetune, evaluate."""

import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from robot_orl.benchmark.cell import Cell, Places
from robot_orl.benchmark.jobs import Command
from robot_orl.benchmark.resolving import resolved, words_of
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.training.state import config_object
from robot_orl.types import Spec

CLI = (sys.executable, "-m", "robot_orl.cli")
HELD_OUT = (sys.executable, "-m", "robot_orl.commands.held_out")


def _pretrain_words(cell: Cell, data: object, run: object, seed: int) -> list[str]:
    return ["pretrain", f"data={data}", f"out={run}", f"seed={seed}", *words_of(cell.pretrain)]


def _finetune_words(cell: Cell, run: object) -> list[str]:
    return ["finetune", f"run={run}", *words_of(cell.finetune or {})]


def configuration(cell: Cell) -> dict[str, Any]:
    """The seed stands apart: cells that differ in it alone are composed once."""
    pretrain = resolved(_pretrain_words(cell, "data", "run", seed=0))
    if cell.finetune is None:
        return {"pretrain": pretrain, "finetune": None}
    return {"pretrain": pretrain, "finetune": resolved(_finetune_words(cell, "run"), pretrain["agent"])}


def configuration_for_task(cell: Cell) -> dict[str, Any]:
    """The configuration with what the agent makes of it for the task: what is for others does not count.

    Nor do settings of the agent that are as the dataclass has them, so that a new one, which is off there,
    leaves finished cells as they are; whoever changes such a default has to play them anew.
    """
    learns, spec = configuration(cell), _spec(cell.task.task)
    stages = {name: stage for name, stage in learns.items() if stage is not None}
    agents = {name: config_object(stage["agent"]).for_task(spec) for name, stage in stages.items()}
    return learns | {
        name: stage | {"agent": without_defaults(agents[name])} for name, stage in stages.items()
    }


def without_defaults(agent: Any) -> dict[str, Any]:
    """The settings of an agent that differ from its dataclass's, those in its sections too, and its name."""
    return {"name": agent.name} | _changed(asdict(agent), asdict(type(agent)()))


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in values.items() if value != defaults[name]}
    is_section = {name for name in told if isinstance(told[name], dict) and isinstance(defaults[name], dict)}
    return {n: _changed(v, defaults[n]) if n in is_section else v for n, v in told.items()}


@cache  # whoever calls has imported the package that registers the task
def _spec(task: str) -> Spec:
    env = make_env(TaskConfig(task))
    spec = spec_of(env)
    env.close()
    return spec


def commands(cell: Cell, data: Path, folder: Path, places: Places) -> list[Command]:
    run = folder / "run"
    is_cloning = configuration(cell)["pretrain"]["agent"]["name"] == "bc"
    stages = ["bc" if is_cloning else "offline"]
    played = [Command("pretrain", (*CLI, *_pretrain_words(cell, data, run, cell.seed)))]
    if cell.finetune is not None:
        stages.append("online")
        played.append(Command("finetune", (*CLI, *_finetune_words(cell, run))))
    measured = (str(run), str(cell.suite.episodes), str(folder / "held_out.json"), *stages)
    return [*played, Command("evaluate", (*HELD_OUT, *measured))]
