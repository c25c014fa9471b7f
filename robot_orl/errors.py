"""Errors that name the valid choices. The command line turns them into one line and an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches


class RobotOrlError(Exception):
    """Base of every error that this project raises on purpose; one line, no traceback shown."""

    exit_code = 1


class UsageError(RobotOrlError):
    """Wrong usage or input: the user can mend it. Exit code 2."""

    exit_code = 2


class RunError(RobotOrlError):
    """Something failed while running: a full disk, a robot fault. Exit code 1."""


class DataError(UsageError):
    """A dataset, checkpoint or bundle that cannot be read as what it was given for. Exit code 2."""


def printable(text: object) -> str:
    """Text out of somebody's file, fit for an error's one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def unknown(kind: str, name: object, valid: Iterable[object]) -> UsageError:
    """One line: `no task 'fetch_psh'; did you mean 'fetch_push'? valid: fetch_push, ...`."""
    choices = [str(choice) for choice in valid]
    close = get_close_matches(str(name), choices, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return UsageError(f"no {kind} '{name}'; {hint}valid: {', '.join(choices) or 'none'}")
