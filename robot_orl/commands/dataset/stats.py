"""`robot-orl dataset stats`: how the signals of a dataset are distributed, and what stands out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robot_orl.commands.tables import out, print_columns, print_rows
from robot_orl.curation.copying import require_outside
from robot_orl.curation.figures.columns import ColumnFigures
from robot_orl.curation.figures.coverage import Coverage
from robot_orl.curation.figures.data_statistics import DataStatistics, Outcome, TimeFigures, compute
from robot_orl.curation.figures.remarks import remarks
from robot_orl.curation.labels import selected
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.report.dataset import write_dataset_page
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Distributions, dead and saturated signals, time gaps, coverage and success of a dataset."""

    path: str = setting(help="Folder of the dataset.")
    where: str | None = setting(None, "Only episodes of which this query is true.")
    out: str | None = setting(None, "Also write plots of it all: one .html file.")
    json: bool = setting(False, "Print plain JSON instead of tables.")


def run(cfg: Config) -> None:
    page = None if cfg.out is None else Path(cfg.out)
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"out={cfg.out} does not end in .html")
    dataset = selected(Dataset.open(cfg.path), cfg.where)
    if page is not None:
        require_outside(page, dataset.path)
    with StopFlag() as stop, Bar("stats", len(dataset.episodes)) as bar:

        def after_episode() -> None:
            stop.check("nothing was written")
            bar.advance()

        found = compute(dataset, after_episode)
    if page is not None:
        write_dataset_page(found, page)
    if cfg.json:
        print(json.dumps({**found.to_dict(), "remarks": remarks(found)}))
        return
    _print(found)
    if page is not None:
        out.print(f"plots: {page}")


def _print(found: DataStatistics) -> None:
    _print_columns("action", found.action)
    for key in dict.fromkeys(column.key for column in found.observation):
        _print_columns(key, [column for column in found.observation if column.key == key])
    _print_outcomes("operator", found.operators)
    _print_outcomes("quality", found.qualities)
    out.print()
    print_rows(
        [
            ("length [steps]", "min {min}, median {median:g}, max {max}".format(**found.length_figures())),
            ("period [ms]", _periods(found.time)),
            ("coverage", f"states {_covered(found.states)}"),
            ("", f"actions {_covered(found.actions)}"),
        ]
    )
    out.print()
    for line in [f"! {line}" for line in remarks(found)] or ["nothing stands out"]:
        out.print(line)


def _periods(time: TimeFigures) -> str:
    if time.max_ms is None:
        return "unknown"
    shown = {"declared": time.declared_ms, "p50": time.p50_ms, "p99": time.p99_ms, "max": time.max_ms}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())


def _print_columns(title: str, columns: Sequence[ColumnFigures]) -> None:
    """Columns that would be empty are left out: a terminal is narrow."""
    rows, bounds, state = [], [], []
    for column in columns:
        figures = (column.min, column.mean, column.std, column.max, column.change_mean)
        numbers = ["" if value is None else f"{value:.3g}" for value in figures]
        rows.append([column.name, "" if column.unit == "1" else column.unit, *numbers])
        bounds.append(f"{column.at_bounds:.1%}" if column.at_bounds else "")
        state.append(f"NaN {column.missing:,}" if column.missing else "dead" if column.is_dead else "")
    heads = [title, "unit", "min", "mean", "std", "max", "change"]
    for head, cells in (("at bounds", bounds), ("state", state)):
        if any(cells):
            heads.append(head)
            rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    print_columns(heads, rows, texts=(title, "unit", "state"))


def _print_outcomes(title: str, groups: Sequence[Outcome]) -> None:
    rows = []
    for group in groups:
        rate = "unknown" if group.rate is None else f"{group.rate:.1%}"
        interval = "{:.0%} .. {:.0%}".format(*group.wilson95) if group.wilson95 else ""
        rows.append([group.name, f"{group.episodes:,}", rate, interval])
    print_columns([title, "episodes", "success", "95% interval"], rows)


def _covered(found: Coverage | None) -> str:
    if found is None:
        return "fewer than two signals vary"
    side = len(found.cells)
    return (
        f"{found.occupied:.1%} of {side} x {side} cells of two principal components, which hold "
        f"{found.explained:.0%} of the variance ({found.rows:,} steps)"
    )
