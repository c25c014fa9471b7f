"""What stands out in a dataset's statistics, one line each."""

from robot_orl.curation.figures.columns import ColumnFigures
from robot_orl.curation.figures.data_statistics import DataStatistics

SATURATED = 0.1  # share of steps at a bound from which it is worth a line


def remarks(found: DataStatistics) -> list[str]:
    """Lines for people, the worst first; empty: nothing stands out."""
    columns = (*found.action, *found.observation)
    return [
        *(line for column in columns for line in _missing(column)),
        *_time(found),
        *(line for column in columns for line in _dead(column)),
        *(line for column in found.action for line in _saturated(column)),
    ]


def _missing(column: ColumnFigures) -> list[str]:
    if not column.missing:
        return []
    total = column.count + column.missing
    return [f"{column.title} is NaN or infinite in {column.missing:,} of {total:,} rows"]


def _dead(column: ColumnFigures) -> list[str]:
    if not column.is_dead:
        return []
    unit = "" if column.unit == "1" else f" {column.unit}"
    return [f"{column.title} is dead: {column.min:.6g}{unit} in all {column.count:,} rows"]


def _saturated(column: ColumnFigures) -> list[str]:
    if column.is_dead or column.at_bounds < SATURATED:
        return []
    return [
        f"{column.title} is saturated in {column.at_bounds:.1%} of steps: {column.at_low:.1%} at its lower, "
        f"{column.at_high:.1%} at its upper bound"
    ]


def _time(found: DataStatistics) -> list[str]:
    time, lines = found.time, []
    if time.backwards:
        lines.append(f"time goes backwards {time.backwards:,} times")
    if time.gaps:
        worst = time.longest[0]
        gaps = "1 gap is" if time.gaps == 1 else f"{time.gaps:,} gaps are"
        lines.append(
            f"{gaps} longer than 2 periods of {time.declared_ms:.4g} ms; the longest, {worst.seconds:.4g} s, "
            f"follows step {worst.step} of episode {worst.episode}"
        )
    if time.unknown:
        lines.append(f"the time of {time.unknown:,} of {found.transitions:,} steps is unknown")
    return lines
