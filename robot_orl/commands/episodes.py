"""Episodes as `dataset filter` and the tools that change them print them."""

import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rich.console import JustifyMethod
from rich.table import Table

from robot_orl.commands.tables import out, print_table
from robot_orl.curation.labels import Change, stamp
from robot_orl.data.query import value_of
from robot_orl.data.store.layout import plain
from robot_orl.data.store.records import EpisodeRecord

SHOWN = 20
COLUMNS = ("operator", "success", "quality", "length", "return", "end_reason", "actor", "notes")
HEADS = {"end_reason": "end", "actor": "actors"}
NUMBERS = ("quality", "length", "return")
NOTE_WIDTH = 40
Histories = Mapping[str, Sequence[Change]]


def signature() -> dict[str, str]:
    """Who changes something, and when: now."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user number without a name, as in a container
        user = "unknown"
    return stamp(datetime.now(UTC), user)


def print_episodes(
    records: Sequence[EpisodeRecord], everything: bool = False, histories: Histories | None = None
) -> None:
    """A table per segment, of the first 20 episodes unless `everything`; below it, their changes.

    An episode's id is SEGMENT:NUMBER.
    """
    shown = records if everything else records[:SHOWN]
    for segment, group in groupby(shown, key=lambda record: record.segment):
        found = list(group)
        out.print(f"segment {segment}")
        print_table(_table(found))
        for record in found:
            for change in (histories or {}).get(record.id, ()):
                out.print(f":{record.index} {_line(change)}")
    if len(shown) < len(records):
        out.print(f"and {len(records) - len(shown):,} more: --all shows them")


def _table(records: Sequence[EpisodeRecord]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("id", justify="right", no_wrap=True)
    for name in COLUMNS:
        justify: JustifyMethod = "right" if name in NUMBERS else "left"
        table.add_column(
            HEADS.get(name, name), justify=justify, no_wrap=name in NUMBERS, overflow="fold", min_width=5
        )
    for record in records:
        table.add_row(f":{record.index}", *(_cell(record, name) for name in COLUMNS))
    return table


def _cell(record: EpisodeRecord, name: str) -> str:
    found = value_of(record, name)
    if found is None:
        return "?"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, tuple):
        return " ".join(found)
    if isinstance(found, str):
        return _printable(found)
    return str(found) if name == "length" else f"{found:.4g}"


def _printable(text: str) -> str:
    """Notes come from anywhere: nothing that would move a terminal's cursor."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= NOTE_WIDTH else f"{line[: NOTE_WIDTH - 3]}..."


def _line(change: Change) -> str:
    values = ", ".join(f"{name}={_value(value)}" for name, value in change.values.items())
    who = " ".join(part for part in (change.time, change.by) if part) or "unknown when"
    return f"{who}: {values} ({_printable(change.reason)})"


def _value(value: Any) -> str:
    return _printable(value if isinstance(value, str) else json.dumps(value))


def print_json(records: Sequence[EpisodeRecord], histories: Histories | None = None) -> None:
    """An array with everything that is known of each episode but its checksums."""
    rows = []
    for record in records:
        row = record.to_dict()
        row.pop("crc32c")
        row.pop("reward", None)
        row["relabelled_reward"] = record.reward is not None
        if histories is not None:
            row["history"] = [asdict(change) for change in histories[record.id]]
        rows.append(row)
    print(json.dumps(rows, default=plain))
