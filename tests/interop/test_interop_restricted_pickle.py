"""A pickle is a program: what it may do is to say numbers."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_orl.errors import DataError
from robot_orl.interop import restricted_pickle

NUMBERS: dict[str, Any] = {
    "double": np.array([[1.5, -0.0], [np.inf, 5e-324]]),
    "single": np.arange(6, dtype="f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.array([1.0, 2.0], ">f8"),
    "flags": np.array([True, False]),
    "whole": np.array(-7),
    "empty": np.zeros((0, 4)),
    "scalar": np.float64(0.1),
    "plain": [1, 2.5, "text", None, True, {"deep": np.ones(2)}],
}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_come_back_bit_for_bit_from_every_protocol(tmp_path: Path, protocol: int) -> None:
    found = restricted_pickle.load(write(tmp_path / "a", pickle.dumps(NUMBERS, protocol)))
    assert list(found) == list(NUMBERS)
    for name, expected in NUMBERS.items():
        if name == "plain":
            assert found[name][:5] == expected[:5]
            assert found[name][5]["deep"].tolist() == [1.0, 1.0]
            continue
        assert (np.shape(found[name]), found[name].dtype) == (np.shape(expected), expected.dtype)
        assert found[name].tobytes() == expected.tobytes()


def test_text_of_python_2_is_taken_as_the_bytes_that_it_was(tmp_path: Path) -> None:
    raw = struct.pack("<2d", 3.25, -1.0)
    python_2 = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    )
    content = python_2 + b"U" + bytes([len(raw)]) + raw + b"tb."
    assert restricted_pickle.load(write(tmp_path / "a", content)).tolist() == [3.25, -1.0]


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def array(shape: bytes, state_shape: bytes, code: bytes, raw: bytes) -> bytes:
    """Protocol 0: a NumPy array that was tampered with."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + shape + b"S'b'\ntR(I1\n" + state_shape
    ) + (
        b"cnumpy\ndtype\n(S'" + code + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + raw + b"'\ntb."
    )


def test_a_call_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps([{"actions": np.ones((2, 2))}, Calls(os.system, f"touch '{mark}'")])
    with pytest.raises(DataError, match=r"a is refused: .* names posix.system\); nothing of it was run"):
        restricted_pickle.load(write(tmp_path / "a", content))
    assert not mark.exists()


HOSTILE = {
    "a look-alike": b"cnumpy.core.multiarray\nos.system\n(S'true'\ntR.",
    "a path through NumPy": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
    "NumPy's own loader": b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
    "a builtin": b"c__builtin__\neval\n(S'1'\ntR.",
    "an extension code": b"\x82\x01.",
    "an object outside": b"P17\n.",
    "another codec": b"c_codecs\nencode\n(V00\nS'hex'\ntR.",
    "objects in an array": array(b"(I0\nt", b"(I1\nt", b"O8", b"12345678"),
    "a huge array of few bytes": array(b"(I0\nt", b"(I1000000000000\nt", b"f8", b"12345678"),
    "a negative size": array(b"(I0\nt", b"(I-1\nt", b"f8", b""),
    "a huge memo index": b"]r\xff\xff\xff\x7f.",
    "a huge text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x0fxx.",
    "an array without content": b"cnumpy\nndarray\n(I1000000000000\ntR.",
    "state for a function": b"cnumpy\ndtype\n(dS'x'\nI1\nstb.",
    "one text made bytes a hundred times": b"(V" + b"x" * 4096 + b"\np0\n0"
    b"c_codecs\nencode\np1\n0" + b"g1\n(g0\nS'latin1'\ntR" * 100 + b"l.",
    "lists within lists": b"(" * 20_000 + b"l" * 20_000 + b".",
    "nothing": b"",
    "half a pickle": pickle.dumps(NUMBERS)[:200],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_or_broken_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    with pytest.raises(DataError, match="a is refused: not a pickle of numbers") as refusal:
        restricted_pickle.load(write(tmp_path / "a", HOSTILE[what]))
    assert "\n" not in str(refusal.value)


def test_what_is_shared_is_not_multiplied(tmp_path: Path) -> None:
    laughs: Any = [1.0]
    for _ in range(40):
        laughs = [laughs, laughs]  # 2^40 numbers when written out
    found = restricted_pickle.load(write(tmp_path / "a", pickle.dumps(laughs)))
    assert found[0] is found[1]


def test_a_file_too_large_to_hold_is_refused_by_its_size(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.truncate(2**30 + 1)  # takes no room on the disk
    with pytest.raises(DataError, match="1073741825 bytes; a pickle is read as a whole"):
        restricted_pickle.load(tmp_path / "a")
    with pytest.raises(DataError, match=r"cannot read .*b: No such file"):
        restricted_pickle.load(tmp_path / "b")
