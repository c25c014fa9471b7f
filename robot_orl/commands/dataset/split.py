"""`robot-orl dataset split`: parts for training and validation."""

from dataclasses import dataclass
from typing import Any

from robot_orl.commands.tables import out
from robot_orl.curation.copying import Copying, NewFolder, copy
from robot_orl.curation.dividing import check_parts, divide
from robot_orl.curation.labels import matching
from robot_orl.data.store.reader import Dataset
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Copy a dataset in parts, each episode into one of them: OUT/train, OUT/validation."""

    path: str = setting(help="Folder of the dataset.")
    out: str = setting(help="New folder for the parts.")
    shares: list[float] = setting(help="Share of the episodes in each part.", factory=lambda: [0.8, 0.2])
    names: list[str] = setting(help="Folder of each part.", factory=lambda: ["train", "validation"])
    seed: int = setting(0, "Who comes where follows from it and from what the episodes hold.", low=0)
    where: str | None = setting(None, "Which episodes; null: all of them.")


def run(cfg: Config) -> None:
    check_parts(cfg.shares, cfg.names)
    dataset = Dataset.open(cfg.path)
    records = matching(dataset, cfg.where)
    parts = divide(records, cfg.shares, cfg.names, cfg.seed)
    with (
        StopFlag() as stop,
        NewFolder(cfg.out, [dataset.path]) as draft,
        Bar("copy", len(records)) as bar,
    ):
        for name, found in parts.items():
            told: dict[str, Any] = {"part": name, "shares": cfg.shares, "seed": cfg.seed, "where": cfg.where}
            copy(dataset, found, draft / name, Copying("split", stop, bar, told=told))
    for name, found in parts.items():
        out.print(f"{cfg.out}/{name}: {len(found):,} of {len(records):,} episodes")
