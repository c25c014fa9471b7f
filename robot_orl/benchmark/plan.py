"""What it takes to play a cell: its data and its commands.

    WORK/data/TASK-SEED-HASH/    data, spent.json, log.txt        shared by every agent
    WORK/cells/CELL-HASH/        run, held_out.json, spent.json, log.txt

The hash is of the resolved configuration (`own.configuration_for_task`): a cell whose configuration changed
is another one and is played anew, in a folder of its own.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robot_orl.benchmark import own, peers
from robot_orl.benchmark.cell import Cell, Places
from robot_orl.benchmark.jobs import Command, Job
from robot_orl.benchmark.resolving import content_hash, hash_of, resolved


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
    learns = peers.configuration(cell) if cell.agent.peer else own.configuration_for_task(cell)
    data = _data_configuration(cell, places.files)
    configuration = {"data": data, **learns, "seed": cell.seed, "evaluation_episodes": cell.suite.episodes}
    made = places.work / "data" / f"{cell.task.name}-{cell.seed}-{hash_of(data)}"
    lines = _data_words(cell, {"data": str(made / "data"), "seed": str(cell.seed), **places.files})
    making = tuple(Command(f"data {n}", (*own.CLI, *words)) for n, words in enumerate(lines, 1))
    folder = places.work / "cells" / f"{cell.name}-{hash_of(configuration)}"
    player = peers.commands if cell.agent.peer else own.commands
    data_job = Job(f"{cell.task.name} data, seed {cell.seed}", made, making)
    commands = player(cell, made / "data", folder, places)
    return Plan(
        cell, places, configuration, data_job, Job(cell.name, folder, tuple(commands), (data_job.name,))
    )


def _data_words(cell: Cell, known: Mapping[str, str]) -> list[list[str]]:
    """The commands with every placeholder replaced; a folder with blanks stays one word."""

    def filled(word: str) -> str:
        for name, value in known.items():
            word = word.replace("{" + name + "}", value)
        return word

    return [[filled(word) for word in shlex.split(line)] for line in cell.task.data]


def _data_configuration(cell: Cell, files: Mapping[str, str]) -> list[Any]:
    """Files count by their content, folders of the machine not at all; the seed stands apart."""
    known = {name: content_hash(files[name]) for name in cell.task.files if name in files}
    return [resolved(words) for words in _data_words(cell, {"data": "data", "seed": "0", **known})]
