"""The doctor's results on disk: the latest one of this host, which deployments store beside their figures.

format     1; a field never changes its meaning, new ones are added
when       UTC, ISO 8601
host       machine, kernel, cpu, cpus, is_virtual
asked      what was asked for: rates_hz, seconds, load, priority, cpu, spin_us
realtime   what was had of it, as in deploy.json;  clock: how it waited
period     one entry per rate and condition: hz, under, ticks, missed, error_us, drift_us
stalls     watched_s, count, longest_us, share
inference  policy, under, hz, us: summary
bus        port, servos, sync_read_us, ping_us, lost; or null
camera     source, age_us, interval_us, frames, dropped; or null
findings   what, fix
verdicts   hz, verdict, why
"""

import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robot_orl.errors import RunError

FORMAT = 1
Result = dict[str, Any]


def cache_file() -> Path:
    """Where the latest result of this host lies; a home folder may be shared by several."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "robot-orl" / f"doctor-{platform.node() or 'host'}.json"


def timestamp(now_s: float) -> str:
    """now_s: seconds since 1970."""
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds")


def save(result: Result, file: Path) -> None:
    """Whole or not at all. Raises: RunError: it cannot be written."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(result, indent=2) + "\n")
        partial.replace(file)
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error


def latest(file: Path | None = None, now_s: float | None = None) -> Result | None:
    """The latest result of this host with its age, `age_s` [s]; None: there is none that can be read.

    file: None: that of `cache_file`.  now_s: seconds since 1970; None: now.
    """
    try:
        result = json.loads((file or cache_file()).read_text())
        if result["format"] != FORMAT:
            return None
        age_s = (time.time() if now_s is None else now_s) - datetime.fromisoformat(result["when"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {"age_s": max(0.0, age_s), **result}
