"""What software made this: package versions and the source's git revision."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("robot-orl", "gymnasium", "gymnasium-robotics", "mujoco", "numpy", "torch", "zarr")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what data and results look like."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # e.g. torch, which deployment does not need
    return found


def git_revision() -> str | None:
    """Commit of the checkout this package runs from; None where it is installed without one."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():  # a wheel inside someone else's repository is not that commit
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
