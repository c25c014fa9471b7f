"""A cell: one task, one agent, one seed. What it is made of, and the commands that play it.

    WORK/data/TASK-SEED-HASH/    data, spent.json, log.txt        shared by every agent
    WORK/cells/CELL-HASH/        run, held_out.json, spent.json, log.txt

The hash is of the resolved configuration, defaults included: a cell whose configuration changed is another
one and is played anew, in a folder of its own.
"""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from robot_orl.benchmark.jobs import Command, Job
from robot_orl.benchmark.suite import AgentRow, Settings, Suite, TaskRow
from robot_orl.compose import COMMANDS, build, config_folder
from robot_orl.errors import UsageError, unknown
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.training.state import config_object
from robot_orl.types import Spec

CLI = (sys.executable, "-m", "robot_orl.cli")
HELD_OUT = (sys.executable, "-m", "robot_orl.commands.held_out")


@dataclass(frozen=True)
class Places:
    """Where work is done, the files that the user brought, and the peers' Python; None: there is none."""

    work: Path
    files: Mapping[str, str]
    peers: str | None = None


@dataclass(frozen=True)
class Cell:
    """One task, one agent, one seed of a suite."""

    suite: Suite
    task: TaskRow
    agent: AgentRow
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task.name}-{self.agent.name}-{self.seed}"

    @property
    def pretrain(self) -> dict[str, Any]:
        return {**self.suite.pretrain, **self.task.pretrain, **self.agent.pretrain}

    @property
    def finetune(self) -> dict[str, Any] | None:
        """None: the agent learns offline only."""
        if self.agent.finetune is None:
            return None
        return {**self.suite.finetune, **self.task.finetune, **self.agent.finetune}

    def lacks(self, places: Places) -> str | None:
        """Why the cell cannot be played here; None: it can."""
        for name in sorted(self.task.files):
            given = places.files.get(name)
            if given is None:
                return f"needs files.{name}=PATH, {self.suite.files[name]}"
            if not Path(given).exists():
                return f"there is no files.{name}={given}"
        if self.agent.peer is None:
            return None
        if places.peers is None:
            return "needs peers=PYTHON of an environment made as benchmarks/peers/README.md says"
        if not Path(places.peers).is_file():
            return f"there is no peers={places.peers}"
        script = _peers_folder() / str(self.agent.peer["script"])
        return None if script.is_file() else f"there is no {script}"


@dataclass(frozen=True)
class Plan:
    """A cell with its resolved configuration and its jobs: the data's, which others share, and its own."""

    cell: Cell
    places: Places
    configuration: dict[str, Any]
    data: Job
    job: Job

    @property
    def hash(self) -> str:
        return hash_of(self.configuration)


def plan(cell: Cell, places: Places) -> Plan:
    """Raises: UsageError: a setting of the suite that its command does not take."""
    learns = _peer_configuration(cell) if cell.agent.peer else _for_task(cell)
    data = _data_configuration(cell, places.files)
    configuration = {"data": data, **learns, "seed": cell.seed, "evaluation_episodes": cell.suite.episodes}
    made = places.work / "data" / f"{cell.task.name}-{cell.seed}-{hash_of(data)}"
    lines = _data_words(cell, {"data": str(made / "data"), "seed": str(cell.seed), **places.files})
    making = tuple(Command(f"data {n}", (*CLI, *words)) for n, words in enumerate(lines, 1))
    folder = places.work / "cells" / f"{cell.name}-{hash_of(configuration)}"
    own = _peer_commands if cell.agent.peer else _own_commands
    data_job = Job(f"{cell.task.name} data, seed {cell.seed}", made, making)
    commands = own(cell, made / "data", folder, places)
    return Plan(
        cell, places, configuration, data_job, Job(cell.name, folder, tuple(commands), (data_job.name,))
    )


def hash_of(configuration: Any) -> str:
    return sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:12]


# data


def _data_words(cell: Cell, known: Mapping[str, str]) -> list[list[str]]:
    """The commands with every placeholder replaced; a folder with blanks stays one word."""

    def filled(word: str) -> str:
        for name, value in known.items():
            word = word.replace("{" + name + "}", value)
        return word

    return [[filled(word) for word in shlex.split(line)] for line in cell.task.data]


def _data_configuration(cell: Cell, files: Mapping[str, str]) -> list[Any]:
    """Files count by their content, folders of the machine not at all; the seed stands apart."""
    known = {name: _content_hash(files[name]) for name in cell.task.files if name in files}
    return [_resolved(words) for words in _data_words(cell, {"data": "data", "seed": "0", **known})]


@cache
def _content_hash(path: str) -> str:
    file = Path(path)
    return sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else file.name


# our own agents


def _pretrain_words(cell: Cell, data: object, run: object, seed: int) -> list[str]:
    return ["pretrain", f"data={data}", f"out={run}", f"seed={seed}", *_words(cell.pretrain)]


def _finetune_words(cell: Cell, run: object) -> list[str]:
    return ["finetune", f"run={run}", *_words(cell.finetune or {})]


def _own_configuration(cell: Cell) -> dict[str, Any]:
    """The seed stands apart: cells that differ in it alone are composed once."""
    pretrain = _resolved(_pretrain_words(cell, "data", "run", seed=0))
    if cell.finetune is None:
        return {"pretrain": pretrain, "finetune": None}
    return {"pretrain": pretrain, "finetune": _resolved(_finetune_words(cell, "run"), pretrain["agent"])}


def _for_task(cell: Cell) -> dict[str, Any]:
    """The configuration with what the agent makes of it for the task: what is for others does not count."""
    learns, spec = _own_configuration(cell), _spec(cell.task.task)
    stages = {name: stage for name, stage in learns.items() if stage is not None}
    agents = {name: config_object(stage["agent"]).for_task(spec) for name, stage in stages.items()}
    return learns | {name: stage | {"agent": asdict(agents[name])} for name, stage in stages.items()}


@cache  # whoever calls has imported the package that registers the task
def _spec(task: str) -> Spec:
    env = make_env(TaskConfig(task))
    spec = spec_of(env)
    env.close()
    return spec


def _own_commands(cell: Cell, data: Path, folder: Path, places: Places) -> list[Command]:
    run = folder / "run"
    is_cloning = _own_configuration(cell)["pretrain"]["agent"]["name"] == "bc"
    stages = ["bc" if is_cloning else "offline"]
    commands = [Command("pretrain", (*CLI, *_pretrain_words(cell, data, run, cell.seed)))]
    if cell.finetune is not None:
        stages.append("online")
        commands.append(Command("finetune", (*CLI, *_finetune_words(cell, run))))
    measured = (str(run), str(cell.suite.episodes), str(folder / "held_out.json"), *stages)
    return [*commands, Command("evaluate", (*HELD_OUT, *measured))]


def _resolved(words: list[str], agent: dict[str, Any] | None = None) -> dict[str, Any]:
    """A command's whole configuration. agent: of the run that finetuning goes on with."""
    known = None if agent is None else json.dumps(agent)
    found = json.loads(_resolved_text(tuple(words), known))
    assert isinstance(found, dict)
    return found


@cache  # composing takes a quarter of a second, and cells have much in common
def _resolved_text(words: tuple[str, ...], agent: str | None) -> str:
    command, rest = words[0], list(words[1:])
    if command not in COMMANDS:  # import and dataset tools, which have no defaults in YAML
        return json.dumps({"command": command, "words": rest})
    base = None if agent is None else json.loads(agent)
    if base is not None:
        rest = [f"agent={base['name']}", *rest]
    return json.dumps({"command": command, **asdict(build(command, rest, base))})


def _words(settings: Settings) -> list[str]:
    return [f"{key}={_text(value)}" for key, value in settings.items()]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return str(value)


# peers


def _peers_folder() -> Path:
    return config_folder().parent / "benchmarks" / "peers"


def _peer_budget(cell: Cell) -> dict[str, Any]:
    """What a peer may use: as many updates and environment steps as ours, looked at as often."""
    learns = _own_configuration(cell)
    pretrain, online = learns["pretrain"], learns["finetune"]
    budget = {"updates": pretrain["steps"], "eval_every": pretrain["eval_every"], "env_steps": 0}
    budget["eval_episodes"] = pretrain["eval_episodes"]
    if online is not None:
        budget["env_steps"] = online["env_steps"]
        budget |= {"updates_per_step": online["updates_per_step"], "online_eval_every": online["eval_every"]}
    return budget


def _peer_configuration(cell: Cell) -> dict[str, Any]:
    """The script counts by its content, with what the scripts share."""
    names = ("common.py", str((cell.agent.peer or {})["script"]))
    sources = {name: _content_hash(str(_peers_folder() / name)) for name in names}
    return {"peer": dict(cell.agent.peer or {}), "budget": _peer_budget(cell), "sources": sources}


def _peer_commands(cell: Cell, data: Path, folder: Path, places: Places) -> list[Command]:
    options = dict(cell.agent.peer or {})
    script = _peers_folder() / str(options.pop("script"))
    known = {"task": cell.task.task, "data": data, "out": folder / "peer.json", "seed": cell.seed}
    known |= {"episodes": cell.suite.episodes} | _peer_budget(cell) | options
    words = [f"--{key.replace('_', '-')}={_text(value)}" for key, value in known.items()]
    return [Command("peer", (str(places.peers), str(script), *words))]


def only(kind: str, wanted: Any, valid: Sequence[Any]) -> list[Any]:
    """The wanted ones of a suite's tasks, agents or seeds; None: all. Raises: UsageError: names the valid."""
    if wanted is not None and not isinstance(wanted, list):
        wanted = [wanted]
    for name in wanted or []:
        if name not in valid:
            raise unknown(kind, name, valid)
    if wanted is not None and not wanted:
        raise UsageError(f"{kind}s=[] leaves nothing to play")
    return [name for name in valid if wanted is None or name in wanted]
