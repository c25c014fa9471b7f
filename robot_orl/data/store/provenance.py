"""What software made this: package versions and the source's git revision."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("robot-orl", "gymnasium", "gymnasium-robotics", "mujoco", "numpy", "torch", "zarr")

CHECKOUT = Path(__file__).resolve().parents[3]


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what data and results look like."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # e.g. torch, which deployment does not need
    return found


def git_revision(checkout: Path = CHECKOUT) -> str | None:
    """Commit of the checkout this package runs from; None where it is installed without one.

    It ends in '-dirty' where tracked files are not as in that commit.
    """
    if not (checkout / ".git").exists():  # a wheel inside someone else's repository is not that commit
        return None
    describe = ["describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"]
    command = ["git", "-C", str(checkout), *describe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
