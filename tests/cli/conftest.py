"""One tiny dataset, run and bundle per test process, made by the commands themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import TRAIN, TUNE, Made, Refused

from robot_orl.cli import main


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    it = Made(tmp_path_factory.mktemp("made"))
    assert main(["collect", "task=fetch_reach", "episodes=10", f"out={it.reach}"]) == 0
    assert main(["collect", "task=fetch_push", "operator=random", "episodes=2", f"out={it.push}"]) == 0
    assert main(["pretrain", f"data={it.reach}", f"out={it.run}", *TRAIN]) == 0
    assert main(["pretrain", f"data={it.push}", f"out={it.push_run}", *TRAIN]) == 0
    assert main(["finetune", f"run={it.run}", *TUNE]) == 0
    assert main(["export", f"run={it.run}", f"out={it.bundle}"]) == 0
    return it


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of the made folders that a test may damage."""

    def copy_of(name: str) -> Path:
        return Path(shutil.copytree(getattr(made, name), tmp_path / f"copied_{name}"))

    return copy_of


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail: exit code 2, one line on stderr; returns the line.

    Progress may precede the line where the fault shows only after some work (after_work=True).
    """

    def check(*words: object, code: int = 2, after_work: bool = False) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == code
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert [line for line in lines if line.startswith("robot-orl: ")] == lines[-1:]
        assert after_work or len(lines) == 1, err
        assert "Traceback" not in err
        assert out == ""
        return lines[-1].removeprefix("robot-orl: ")

    return check
