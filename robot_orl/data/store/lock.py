"""Locks on folders, a segment's above all: who is writing it.

The kernel drops a lock when the writer dies, however it dies.
"""

import fcntl
import json
import os
import socket
import time
from pathlib import Path

from robot_orl.data.store.layout import LOCK_FILE


def hold(folder: Path, name: str = LOCK_FILE) -> int:
    """Take the exclusive lock of a folder; returns the descriptor that holds it until closed.

    Raises: BlockingIOError: it is held already.
    """
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock_exclusively(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock_exclusively(descriptor: int, attempts: int = 20) -> None:
    """Retries a little: a reader that looks who holds the lock has it for an instant itself."""
    for attempt in range(attempts):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == attempts - 1:
                raise
            time.sleep(0.002)


def holder(folder: Path, name: str = LOCK_FILE) -> str | None:
    """The process that writes this folder now, such as 'process 123'; None: nobody does."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _name(os.read(descriptor, 4096))
    except OSError:  # a file system without locks: nobody can be writing under one
        return None
    finally:
        os.close(descriptor)
    return None


def _name(content: bytes) -> str:
    try:
        owner = json.loads(content)
        where = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
        return f"process {owner['pid']}{where}"
    except (ValueError, TypeError, KeyError):  # caught between taking the lock and signing it
        return "another process"
