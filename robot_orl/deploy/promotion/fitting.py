"""Whether a bundle may take the place of another on a robot that runs."""

from pathlib import Path

from robot_orl.deploy.bundle import Bundle, check_robot
from robot_orl.errors import UsageError


def require_alike(bundle: Bundle, acting: Bundle) -> None:
    """Raises: UsageError: they are not of the same task, or not for the same robot."""
    if bundle.task != acting.task:
        raise UsageError(f"{bundle.path} was made for task '{bundle.task}', not '{acting.task}'")
    check_robot(bundle.spec, acting.spec)


def load_for(path: Path | str, acting: Bundle) -> Bundle:
    """The bundle at `path`, if it may take the place of the one that acts, whose limits stay in force.

    Raises: UsageError, DataError: it is damaged, or made for another task or robot, or under other limits.
    """
    bundle = Bundle.load(path)
    require_alike(bundle, acting)
    if bundle.limits != acting.limits:
        raise UsageError(f"{bundle.path} asks for other limits than those in force; deploy it anew")
    return bundle
