"""`dataset verify` and `dataset repair` as typed: lines, exit codes, JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import Refused, contents, flip_byte

from robot_orl.cli import main

pytestmark = pytest.mark.e2e


def test_verify_tells_damage_and_repair_keeps_the_rest(
    copy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy("reach")
    assert main(["dataset", "verify", str(root), "--strict"]) == 0
    assert capsys.readouterr().out.startswith("OK: 10 episodes in 1 segment, ")
    [node] = root.glob("segments/*/obs/observation/zarr.json")
    flip_byte(node)
    assert main(["dataset", "verify", str(root)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"damage      {node.relative_to(root)}: ")
    assert out.splitlines()[-1].startswith("NOT OK: 10 episodes in 1 segment, ")
    assert err.splitlines()[-1] == (
        f"robot-orl: {root}: 1 finding of damage (dataset repair --dry-run says what it can save)"
    )
    assert main(["dataset", "verify", str(root), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["counts"]["damage"], told["findings"][0]["array"]) == (
        False,
        1,
        "obs/observation",
    )
    before = contents(root)
    assert main(["dataset", "repair", str(root), "--dry-run"]) == 0
    dry = capsys.readouterr().out.splitlines()
    assert dry[-1] == f"{root}: 10 of 10 episodes intact; nothing was changed (dry run)"
    assert contents(root) == before
    assert main(["dataset", "repair", str(root)]) == 0
    done = capsys.readouterr().out.splitlines()
    assert done[:-1] == dry[:-1]
    assert done[-1].startswith(
        f"{root}: repaired; 10 of 10 episodes intact; what was moved away is in {root}"
    )
    assert main(["dataset", "verify", str(root), "--strict"]) == 0
    capsys.readouterr()
    assert main(["dataset", "repair", str(root)]) == 0
    assert capsys.readouterr().out == f"{root}: nothing to repair; 10 of 10 episodes intact\n"


def test_where_there_is_no_dataset_one_line_says_so(tmp_path: Path, refused: Refused) -> None:
    for tool in ("verify", "repair"):
        assert refused("dataset", tool, tmp_path / "nothing").endswith("it does not exist")
        assert refused("dataset", tool, tmp_path).endswith("the folder is empty")
        assert refused("dataset", tool, Path(__file__)).endswith("is a file, not a dataset's folder")
