"""What software made this: package versions and the source's git revision."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("robot-orl", "gymnasium", "gymnasium-robotics", "mujoco", "numpy", "torch", "zarr")

CHECKOUT = Path(__file__).resolve().parents[3]


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what data and results look like."""
    found = {name: _version(name) for name in PACKAGES}
    known = {name: value for name, value in found.items() if value is not None}
    return {"python": platform.python_version(), **known}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None  # e.g. torch, which deployment does not need


def git_revision(checkout: Path | None = None) -> str | None:
    """Commit of a checkout; None: of the one that this process runs from, as when it was first asked for.

    It ends in '-dirty' where tracked files are not as in that commit. Nothing is known where the package is
    installed without a checkout.
    """
    return _own_revision() if checkout is None else _revision(checkout)


@cache
def _own_revision() -> str | None:
    """A change of files since then is none of what was loaded."""
    return _revision(CHECKOUT)


def _revision(checkout: Path) -> str | None:
    if not (checkout / ".git").exists():  # a wheel inside someone else's repository is not that commit
        return None
    describe = ["describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"]
    command = ["git", "-C", str(checkout), *describe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
