"""`robot-orl dataset info`: what a dataset holds."""

import json
from dataclasses import dataclass

from robot_orl.commands.tables import print_rows
from robot_orl.data.store.reader import Dataset
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """What a dataset holds, from its logs alone."""

    path: str = setting(help="Folder of the dataset.")
    json: bool = setting(False, "Print plain JSON instead of a table.")


def run(cfg: Config) -> None:
    found = Dataset.open(cfg.path, allow_empty=True).info()
    if cfg.json:
        print(json.dumps(found.to_dict()))
    else:
        print_rows(found.rows())
