"""Compiled where it pays, bfloat16 where it is fast, and what is not here is said in one line."""

import pytest
import torch

from robot_orl.errors import UsageError
from robot_orl.nn.compute import has_fast_bfloat16
from robot_orl.training.speed import COMPILE_FROM, Speed, can_compile


@pytest.mark.skipif(not can_compile("cpu"), reason="no C++ compiler")
def test_a_short_run_pays_for_no_compilation() -> None:
    assert not Speed(device="cpu").compute(COMPILE_FROM - 1).compiled
    assert Speed(device="cpu").compute(COMPILE_FROM).compiled
    assert Speed(device="cpu", compile="on").compute(1).compiled
    assert not Speed(device="cpu", compile="off").compute(10**9).compiled


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not Speed(device="cpu").compute(10**9).compiled
    with pytest.raises(UsageError, match=r"compile=on needs a C\+\+ compiler"):
        Speed(device="cpu", compile="on").compute(1)


def test_precision_is_chosen_by_the_processor_unless_asked_for() -> None:
    expected = "bfloat16" if has_fast_bfloat16() else "float32"
    assert Speed(device="cpu").compute(1).precision == expected
    for precision in ("float32", "bfloat16"):
        assert Speed(device="cpu", precision=precision).compute(1).precision == precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    assert Speed().compute(1).device == "cpu"
    with pytest.raises(UsageError, match="device=cuda: PyTorch finds no GPU here; valid: auto, cpu"):
        Speed(device="cuda").compute(1)
