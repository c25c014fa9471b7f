"""What came of the demo, in tables."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from robot_orl.commands.demo.done import Done
from robot_orl.commands.tables import out
from robot_orl.statistics import wilson_interval

STAGES = {"bc": "behaviour cloning", "offline": "AWAC, offline", "online": "AWAC, finetuned"}


def print_results(root: Path, done: Done) -> None:
    """root: folder of the demo, which is finished."""
    rounds = list(done.kept.values())  # summaries of the run, as they were when it was deployed
    summary = rounds[0] if rounds else _read(root / "run" / "summary.json")
    title = f"{summary['task']}: success at the last step of the episode"
    table = _table(title, "what", "success", "95% interval", "episodes", "environment steps")
    data = summary["data"]
    table.add_row(
        "demonstrations", f"{data['success']:.0%}", "", str(data["episodes"]), str(data["transitions"])
    )
    for stage, name in STAGES.items():
        _add_measured(table, name, summary[stage])
    deployments = [_read(root / "bundle" / "deploy.json")]
    _add_deployed(table, deployments[0])
    if len(rounds) > 1:
        deployments.append(_read(root / "bundle_again" / "deploy.json"))
        _add_measured(table, "finetuned with these", rounds[1]["online"])
        _add_deployed(table, deployments[1])
    out.print()
    out.print(table)
    if rounds:
        _print_timing(deployments)


def _table(title: str, *columns: str) -> Table:
    """The first column is words, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _add_measured(table: Table, name: str, entry: dict[str, Any]) -> None:
    """A row of what was measured in simulation."""
    low, high = entry["wilson95"]
    rate, interval = f"{entry['success']:.0%}", f"{low:.0%} .. {high:.0%}"
    table.add_row(name, rate, interval, str(entry["episodes"]), f"+{entry['env_steps']}")


def _add_deployed(table: Table, deployed: dict[str, Any]) -> None:
    """A row of a deployment; on a virtual arm its world judges, which no policy sees."""
    name = f"deployed at {deployed['control_hz']:g} Hz"
    successes, episodes = deployed["success"]["successes"], deployed["success"]["episodes"]
    if "judged_episodes" in deployed["connection"]:
        name = "  on the virtual arm"
        successes = deployed["connection"]["judged_successes"]
        episodes = deployed["connection"]["judged_episodes"]
    low, high = wilson_interval(successes, episodes)
    rate = f"{successes / episodes:.0%}" if episodes else "unknown"
    table.add_row(name, rate, f"{low:.0%} .. {high:.0%}", str(episodes), str(deployed["ticks"]))


def _print_timing(deployments: list[dict[str, Any]]) -> None:
    """Of what ran through the serial port, and what its camera made of the successes."""
    table = _table("on the virtual arm", "round", "missed", "period error [us]", "a tick [ms]", "seen")
    for number, deployed in enumerate(deployments, 1):
        seen, work = deployed["success"], deployed["work_us"]
        table.add_row(
            str(number),
            f"{deployed['missed_slots']} of {deployed['slots']}",
            _percentiles(deployed["period_error_us"], 1.0, ".0f"),
            _percentiles(work, 1e-3, ".1f"),
            f"{seen['successes']} of {seen['episodes']}",
        )
    out.print(table)
    out.print("p50, p99, max. seen: successes to the camera; above, the arm's own world judges")


def _percentiles(found: dict[str, Any], scale: float, digits: str) -> str:
    if not found["count"]:
        return "none"
    return ", ".join(f"{scale * found[name]:{digits}}" for name in ("p50", "p99", "max"))
