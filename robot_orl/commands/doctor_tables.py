"""What the doctor found, as tables."""

from collections.abc import Iterator
from typing import Any

from robot_orl.commands.tables import out, print_columns, print_rows

COLUMNS = ("p50", "p99", "p99.9", "max")


def print_examination(found: dict[str, Any]) -> None:
    """A result as it is stored, see `robot_orl/deploy/doctor/result.py`."""
    known = found["host"]
    kind = {True: "virtual machine", False: "no virtual machine", None: "unknown kind of machine"}
    print_rows(
        [
            ("host", f"{known['cpu'] or known['machine']}, {known['cpus']} processors, {known['kernel']}"),
            ("", kind[known["is_virtual"]]),
            *(
                (name.replace("_", " "), ("" if row["obtained"] else "no: ") + row["reason"])
                for name, row in found["realtime"].items()
            ),
            ("waiting", found["clock"]),
            ("stalls", _stalls(found["stalls"])),
        ]
    )
    out.print("\nPeriod error [us]")
    titles = "rate", "under", *COLUMNS, "ticks", "missed", "drift"
    print_columns(titles, map(_period_row, found["period"]), titles[:2])
    out.print("\nDurations [us]")
    print_columns(("what", *COLUMNS, "count"), _duration_rows(found))
    out.print("\nVerdicts")
    rows = [(f"{v['hz']:g} Hz", v["verdict"], v["why"]) for v in found["verdicts"]]
    print_columns(("rate", "verdict", "why"), rows, ("rate", "verdict", "why"))
    out.print("\nTo mend" if found["findings"] else "\nNothing to mend was found.")
    for number, finding in enumerate(found["findings"], 1):
        out.print(f" {number}. {finding['what']}\n    {finding['fix']}")


def _stalls(found: dict[str, Any]) -> str:
    return (
        f"{found['count']} of 50 us and more in {found['watched_s']:.1f} s awake, "
        f"the longest {found['longest_us']:.0f} us"
    )


def _period_row(found: dict[str, Any]) -> tuple[str, ...]:
    figures = _figures(found["error_us"])
    counts = f"{found['ticks']:,}", f"{found['missed']:,}", f"{found['drift_us']:.1f}"
    return f"{found['hz']:g} Hz", found["under"], *figures, *counts


def _duration_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    inference, bus, camera = found["inference"], found["bus"], found["camera"]
    rows = {f"inference under {inference['under']}: {inference['policy']}": inference["us"]}
    if bus is not None:
        rows |= {
            f"sync read of {bus['servos']} servos, {bus['lost']} lost": bus["sync_read_us"],
            "ping of a servo": bus["ping_us"],
        }
    if camera is not None:
        rows |= {
            f"age of a frame, {camera['dropped']} dropped": camera["age_us"],
            "from frame to frame": camera["interval_us"],
        }
    for name, summary in rows.items():
        yield name, *_figures(summary), f"{summary['count']:,}"


def _figures(summary: dict[str, Any]) -> list[str]:
    return ["-" if summary[column] is None else f"{summary[column]:.1f}" for column in COLUMNS]
