"""How a cell of a peer is played: by a script of benchmarks/peers, with the budget of our own agents."""

from pathlib import Path
from typing import Any

from robot_orl.benchmark import own
from robot_orl.benchmark.cell import Cell, Places, peers_folder
from robot_orl.benchmark.jobs import Command
from robot_orl.benchmark.resolving import content_hash, text_of


def budget(cell: Cell) -> dict[str, Any]:
    """What a peer may use: as many updates and environment steps as ours, looked at as often."""
    learns = own.configuration(cell)
    pretrain, online = learns["pretrain"], learns["finetune"]
    found = {"updates": pretrain["steps"], "eval_every": pretrain["eval_every"], "env_steps": 0}
    found["eval_episodes"] = pretrain["eval_episodes"]
    if online is not None:
        found["env_steps"] = online["env_steps"]
        found |= {"updates_per_step": online["updates_per_step"], "online_eval_every": online["eval_every"]}
    return found


def configuration(cell: Cell) -> dict[str, Any]:
    """The script counts by its content, with what the scripts share."""
    names = ("common.py", str((cell.agent.peer or {})["script"]))
    sources = {name: content_hash(str(peers_folder() / name)) for name in names}
    return {"peer": dict(cell.agent.peer or {}), "budget": budget(cell), "sources": sources}


def commands(cell: Cell, data: Path, folder: Path, places: Places) -> list[Command]:
    options = dict(cell.agent.peer or {})
    script = peers_folder() / str(options.pop("script"))
    known = {"task": cell.task.task, "data": data, "out": folder / "peer.json", "seed": cell.seed}
    known |= {"episodes": cell.suite.episodes} | budget(cell) | options
    words = [f"--{key.replace('_', '-')}={text_of(value)}" for key, value in known.items()]
    return [Command("peer", (str(places.peers), str(script), *words))]
