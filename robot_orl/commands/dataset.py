"""`robot-orl dataset`: what a dataset holds."""

import json
import sys

from rich.console import Console
from rich.table import Table

from robot_orl.data.reader import Dataset


def info(path: str, as_json: bool) -> None:
    found = Dataset.open(path, allow_empty=True).info()
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in found.rows():
        table.add_row(name, value)
    Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 200).print(
        table
    )
