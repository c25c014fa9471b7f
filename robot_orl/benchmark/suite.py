"""A suite: which tasks with which data, which agents and which seeds. A YAML file; docs in configs/suite/.

    title, seeds, episodes        what the table is called; run seeds; evaluation episodes of a stage
    files:    NAME: what it is    files that the user has to bring, given as `files.NAME=PATH`
    pretrain, finetune:           settings of these commands for every cell
    tasks:    NAME: task, title, data, pretrain, finetune
    agents:   NAME: title, pretrain, finetune, peer

Settings of an agent win over those of a task, these over those of the suite. `data` is a list of commands
as a user would type them, with {data} for the dataset to learn from, {seed} and {NAME} of a file.
An agent with `finetune` goes on learning online; with `peer`, it is a script of benchmarks/peers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from robot_orl.compose import choices, config_folder
from robot_orl.errors import UsageError, unknown
from robot_orl.seeds import MAX_RUN_SEED

Settings = Mapping[str, Any]
PLACEHOLDER = re.compile(r"\{(\w+)\}")
OWN_PLACEHOLDERS = ("data", "seed")
NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, eq=False)
class TaskRow:
    """A task with its data. data: the commands that make it."""

    name: str
    task: str
    data: tuple[str, ...]
    title: str = ""
    pretrain: Settings = field(default_factory=dict)
    finetune: Settings = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """Names of the files that the user has to bring."""
        return {name for line in self.data for name in PLACEHOLDER.findall(line)} - set(OWN_PLACEHOLDERS)


@dataclass(frozen=True, eq=False)
class AgentRow:
    """Who learns. finetune: None: offline only.  peer: script and its options; None: one of ours."""

    name: str
    title: str = ""
    pretrain: Settings = field(default_factory=dict)
    finetune: Settings | None = None
    peer: Settings | None = None


@dataclass(frozen=True)
class Suite:
    """files: what each file is that the user has to bring."""

    name: str
    title: str
    seeds: tuple[int, ...]
    tasks: tuple[TaskRow, ...]
    agents: tuple[AgentRow, ...]
    episodes: int = 100
    files: Mapping[str, str] = field(default_factory=dict)
    pretrain: Settings = field(default_factory=dict)
    finetune: Settings = field(default_factory=dict)


def load_suite(name: str) -> Suite:
    """name: of a file in configs/suite, or the path of another one.

    Raises: UsageError: there is none, or it does not say what a suite has to say.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_folder() / "suite" / f"{name}.yaml"
    if not path.is_file():
        if path == Path(name):
            raise UsageError(f"no suite at '{name}'")
        raise unknown("suite", name, [*choices("suite"), "or the path of a .yaml"])
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return _Reader(path).suite(raw)


class _Reader:
    """Checks as it reads; every refusal names the file and the place in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def suite(self, raw: Any) -> Suite:
        raw = self._mapping(raw, "", [item.name for item in fields(Suite) if item.name != "name"])
        for key in ("seeds", "tasks", "agents"):
            if not raw.get(key):
                raise UsageError(f"{self.path} has no {key}")
        files = self._mapping(raw.get("files"), "files")
        tasks = [self._task(name, row, files) for name, row in self._mapping(raw["tasks"], "tasks").items()]
        agents = [self._agent(name, row) for name, row in self._mapping(raw["agents"], "agents").items()]
        episodes = raw.get("episodes", Suite.episodes)
        if not isinstance(episodes, int) or not 1 <= episodes <= 9_000:
            raise UsageError(f"{self.path}: episodes={episodes} is not a whole number of 1 .. 9000")
        return Suite(
            name=self._name(self.path.stem, "the file's name"),
            title=str(raw.get("title", self.path.stem)),
            seeds=tuple(self._seed(seed) for seed in self._list(raw["seeds"], "seeds")),
            tasks=tuple(tasks),
            agents=tuple(agents),
            episodes=episodes,
            files=files,
            pretrain=self._mapping(raw.get("pretrain"), "pretrain"),
            finetune=self._mapping(raw.get("finetune"), "finetune"),
        )

    def _task(self, name: str, raw: Any, files: Mapping[str, Any]) -> TaskRow:
        place = f"tasks.{self._name(name, 'tasks')}"
        raw = self._mapping(raw, place, ["task", "title", "data", "pretrain", "finetune"])
        lines = [str(line) for line in self._list(raw.get("data"), f"{place}.data")]
        row = TaskRow(
            name=name,
            task=str(raw.get("task", name)),
            data=tuple(lines),
            title=str(raw.get("title", name)),
            pretrain=self._mapping(raw.get("pretrain"), f"{place}.pretrain"),
            finetune=self._mapping(raw.get("finetune"), f"{place}.finetune"),
        )
        if not any("{data}" in line for line in lines):
            raise UsageError(f"{self.path}: no command of {place}.data makes {{data}}")
        for missing in sorted(row.files - files.keys()):
            raise unknown(f"placeholder of {place}.data", missing, [*OWN_PLACEHOLDERS, *files])
        return row

    def _agent(self, name: str, raw: Any) -> AgentRow:
        place = f"agents.{self._name(name, 'agents')}"
        raw = self._mapping(raw, place, ["title", "pretrain", "finetune", "peer"])
        peer = self._mapping(raw.get("peer"), f"{place}.peer") if "peer" in raw else None
        if peer is not None and "script" not in peer:
            raise UsageError(f"{self.path}: {place}.peer names no script")
        return AgentRow(
            name=name,
            title=str(raw.get("title", name)),
            pretrain=self._mapping(raw.get("pretrain"), f"{place}.pretrain"),
            finetune=self._mapping(raw["finetune"], f"{place}.finetune") if "finetune" in raw else None,
            peer=peer,
        )

    def _mapping(self, value: Any, place: str, valid: list[str] | None = None) -> dict[str, Any]:
        value = {} if value is None else value
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise UsageError(f"{self.path}: {place or 'the file'} is not a mapping")
        for key in value:
            if valid is not None and key not in valid:
                raise UsageError(
                    f"{self.path}: {unknown(f'field of {place}' if place else 'field', key, valid)}"
                )
        return value

    def _list(self, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise UsageError(f"{self.path}: {place} is not a list")
        return value

    def _seed(self, seed: Any) -> int:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_RUN_SEED:
            raise UsageError(f"{self.path}: seed {seed} is not a whole number of 0 .. {MAX_RUN_SEED}")
        return seed

    def _name(self, name: str, place: str) -> str:
        """Names become parts of file names."""
        if not NAME.fullmatch(name.replace("-", "_")):
            raise UsageError(f"{self.path}: {place}: '{name}' is not made of letters, digits, - and _")
        return name
