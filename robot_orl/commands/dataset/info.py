"""`robot-orl dataset info`: what a dataset holds."""

import json
from dataclasses import dataclass

from robot_orl.commands.tables import print_columns, print_rows
from robot_orl.data.store.info import OperatorInfo
from robot_orl.data.store.place import Url, location
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import pending
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """What a dataset holds, from its logs alone."""

    path: str = setting(help="Folder of the dataset, or its URL in an object store.")
    json: bool = setting(False, "Print plain JSON instead of tables.")


def run(cfg: Config) -> None:
    found = Dataset.open(cfg.path, allow_empty=True).info()
    unfinished = [one for one in pending(cfg.path)]
    if cfg.json:
        print(json.dumps({**found.to_dict(), "unfinished": len(unfinished)}))
        return
    by = "the next `collect` or `deploy`" if isinstance(location(cfg.path), Url) else "`dataset repair`"
    told = [("unfinished episodes", f"{len(unfinished)}, which {by} recovers")]
    print_rows(found.rows() + (told if unfinished else []))
    if found.operators:
        print_columns(
            ("operator", "episodes", "transitions", "success", "quality", "length", "return"),
            [_operator(name, figures) for name, figures in found.operators.items()],
        )


def _operator(name: str, figures: OperatorInfo) -> tuple[str, ...]:
    def shown(value: float | None, pattern: str) -> str:
        return "unknown" if value is None else format(value, pattern)

    return (
        name,
        f"{figures.episodes:,}",
        f"{figures.transitions:,}",
        shown(figures.success, ".1%"),
        shown(figures.quality, ".2f"),
        f"{figures.length:.1f}",
        shown(figures.episode_return, ".1f"),
    )
