"""A cell: one task, one agent, one seed. Where it is played, and which are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_orl.benchmark.suite import AgentRow, Suite, TaskRow
from robot_orl.compose import config_folder
from robot_orl.errors import UsageError, unknown


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
        script = peers_folder() / str(self.agent.peer["script"])
        return None if script.is_file() else f"there is no {script}"


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


def peers_folder() -> Path:
    """Where the scripts are that play peers."""
    return config_folder().parent / "benchmarks" / "peers"
