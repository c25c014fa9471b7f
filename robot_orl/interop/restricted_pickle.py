"""Reads pickles that hold numbers only: dicts, lists, text, numbers and NumPy arrays of them.

A pickle is a program. The names that it may call are listed here, and what they stand for is made here
too: NumPy's own reconstruction takes memory layouts at their word, so it never meets the file. Nothing
that a file says makes more than twice its own size of arrays.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.errors import DataError
from robot_orl.types import Array

MAX_BYTES = 2**30  # a pickle is read as a whole; known demonstrations have some MB
_CODES = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_MALFORMED = (
    pickle.UnpicklingError,
    *(EOFError, ValueError, TypeError, AttributeError, LookupError),
    *(OverflowError, MemoryError, RecursionError),
)


def load(path: Path) -> Any:
    """What the file holds: dicts and lists (tuples too) of text, numbers and `numpy.ndarray`.

    Lists and dicts that the file holds more than once are one object here, too.
    Raises: DataError: it is no pickle, or holds anything else; nothing of it is run.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path} has {size} bytes; a pickle is read as a whole, up to {MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    try:
        _check_memo(content)
        return _plain(_Unpickler(content).load(), {})
    except _MALFORMED as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} is refused: not a pickle of numbers ({said}); nothing of it was run"
        ) from error


def _check_memo(content: bytes) -> None:
    """The unpickler makes room up to the highest index that the file names, however few it uses."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in _PUTS and int(argument or 0) > count:
            raise ValueError(f"memo index {argument}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._left = 2 * len(content)  # bytes that may still be made: text may become bytes, those an array
        self._allowed: dict[str, Callable[..., Any]] = {
            "numpy ndarray": lambda *_: _Array(self._filled),
            "numpy dtype": _Type,
            "_codecs encode": self._encoded,
            "__builtin__ bytes": lambda: b"",  # how Python 3 writes no bytes at all in old protocols
        }
        for core in ("numpy.core", "numpy._core"):
            self._allowed |= {
                f"{core}.multiarray _reconstruct": lambda *_: _Array(self._filled),
                f"{core}.multiarray scalar": lambda kind, content: self._filled(content, kind, ())[()],
                f"{core}.numeric _frombuffer": self._filled,
            }

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        made = self._allowed.get(f"{module} {name}")
        if made is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return lambda *args: made(*args)  # a new object: what the file does to it ends with the file

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it names objects outside of itself")

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("more arrays than the file has bytes")

    def _encoded(self, text: str, encoding: str) -> bytes:
        """How Python 3 writes bytes in old protocols."""
        if encoding != "latin1":
            raise ValueError(f"encoding {encoding!r}")
        self._take(len(text))
        return text.encode("latin1")

    def _filled(self, content: Any, kind: Any, shape: Any, order: Any = "C") -> Array:
        """The array that these bytes are. Raises: ValueError: they are more or fewer than it holds."""
        self._take(len(content))
        if isinstance(content, str):  # Python 2 wrote bytes as text
            content = content.encode("latin1")
        if not isinstance(kind, _Type) or not isinstance(content, bytes | bytearray):
            raise ValueError("an array without numbers")
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"an array of shape {shape}")
        if math.prod(shape) * kind.dtype.itemsize != len(content):
            raise ValueError(f"an array of shape {tuple(shape)} with {len(content)} bytes")
        return np.frombuffer(content, kind.dtype).reshape(shape, order="F" if order == "F" else "C")


class _Type:
    """Stands in for numpy.dtype."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code not in _CODES:
            raise ValueError(f"an array of {code!r}, not of numbers")
        self.dtype = np.dtype("?" if code == "b1" else code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands in for numpy.ndarray until its content is known."""

    value: Array

    def __init__(self, fill: Callable[..., Array]) -> None:
        self._fill = fill

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, is_fortran, content = state
        self.value = self._fill(content, kind, shape, "F" if is_fortran else "C")


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """With arrays in the place of their stand-ins. seen: what it became, by identity."""
    if isinstance(value, _Array):
        return value.value
    if value is None or isinstance(value, bool | int | float | str | bytes | np.generic | np.ndarray):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, dict):
        made: Any = seen.setdefault(id(value), {})
        made.update((_plain(key, seen), _plain(item, seen)) for key, item in value.items())
    elif isinstance(value, list | tuple):
        made = seen.setdefault(id(value), [])
        made.extend(_plain(item, seen) for item in value)
    else:
        raise ValueError(f"it holds a {type(value).__name__}")
    return made
