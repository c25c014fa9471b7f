"""Checkpoints: atomic, checksummed, and loaded without running anybody's code.

File layout: 8 bytes magic | 32 bytes SHA-256 of the rest | a torch archive of tensors and plain values.
"""

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from robot_orl.errors import DataError, RunError

MAGIC = b"RORLCKP1"


class NotWhole(DataError):
    """A checkpoint that is missing or damaged, or no checkpoint at all."""


def save_checkpoint(path: Path, state: dict[str, Any], pushed_to: Path | None = None) -> None:
    """Write beside, sync, rename: after a kill there is the old file or the new one, whole.

    pushed_to: the old one is kept there.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    payload = stream.getbuffer()
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(MAGIC + hashlib.sha256(payload).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        if pushed_to is not None and path.exists():
            path.replace(pushed_to)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise RunError(f"cannot write checkpoint {path}: {error.strerror}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Raises: DataError: it cannot be read.  NotWhole: for what it is; names the file."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        kind = NotWhole if isinstance(error, FileNotFoundError) else DataError
        raise kind(f"cannot read checkpoint {path}: {error.strerror}") from error
    if raw[:8] != MAGIC:
        raise NotWhole(f"{path} is not a robot_orl checkpoint")
    if hashlib.sha256(memoryview(raw)[40:]).digest() != raw[8:40]:
        raise NotWhole(f"checkpoint {path} is damaged (its checksum does not match)")
    try:
        state = torch.load(io.BytesIO(memoryview(raw)[40:]), weights_only=True, map_location="cpu")
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise NotWhole(f"checkpoint {path} holds more than tensors and plain values") from error
    if not isinstance(state, dict):
        raise NotWhole(f"{path} is not a robot_orl checkpoint")
    return state


def checkpoint_hash(path: Path) -> str:
    """The first 12 hex digits of the file's SHA-256: names a policy in recorded data."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
