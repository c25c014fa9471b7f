"""The tools as they are typed: what they print, refuse and leave."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from curation_toys import files, numbers, toy_dataset

from robot_orl.cli import main
from robot_orl.data.store import Dataset

pytestmark = pytest.mark.e2e
Tool = Callable[..., str]


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run `dataset TOOL ...`; returns what it printed, or with code=2 the one line that refuses it."""

    def run(*words: object, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["dataset", *map(str, words)]) == code
        out, err = capsys.readouterr()
        if code:
            assert (out, err.count("\n"), err[:11]) == ("", 1, "robot-orl: ")
            return err.removeprefix("robot-orl: ").strip()
        return out

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    toy_dataset(tmp_path / "a", range(30), notes="x\x1b[2Jy")
    return tmp_path / "a"


def test_filter_lists_and_copies(root: Path, tool: Tool) -> None:
    before = files(root)
    listed = tool("filter", root, "where=success and seed > 3")
    assert listed.splitlines()[-1] == "13 of 30 episodes"
    assert "\x1b" not in listed
    assert "ann" in listed
    first = tool("filter", root)
    assert first.splitlines()[-2:] == ["and 10 more: --all shows them", "30 of 30 episodes"]
    assert ":29" in tool("filter", root, "--all")
    found = json.loads(tool("filter", root, "where=seed in (3, 28)", "--json", "--history"))
    assert [(one["uid"], one["seed"], one["history"]) for one in found] == [("u3", 3, []), ("u28", 28, [])]
    out = root.parent / "b"
    assert tool("filter", root, "where=seed < 2", f"out={out}") == f"{out}: 2 of 30 episodes\n"
    assert numbers(Dataset.open(out).episodes) == [0, 1]
    assert tool("filter", root, "where=seed < 2", f"out={out}", code=2).endswith("choose another folder")
    assert tool("filter", root, "where=seed > 99", code=2) == "0 of 30 episodes match where=seed > 99"
    assert tool("filter", root, "where=sed > 9", code=2).startswith(
        "where, column 1: no episode field 'sed';"
    )
    assert files(root) == before


def test_labels_are_changed_and_told(root: Path, tool: Tool) -> None:
    words = ["relabel", root, "where=seed < 3", "success=true", "quality=0.5", "reason=seen"]
    before = files(root)
    assert "success=true is new in 1, quality=0.5 is new in 3" in tool(*words, "--dry-run")
    assert files(root) == before
    tool(*words)
    assert "success=true is new in 0, quality=0.5 is new in 0" in tool(*words)
    told = tool("filter", root, "where=quality is known", "--history")
    assert told.count("success=true, quality=0.5 (seen)") == 3
    assert tool("relabel", root, "where=success", "reason=x", code=2).startswith(
        "relabel needs one of: success"
    )
    assert (
        tool("relabel", root, "where=success", "success=true", code=2) == "dataset relabel needs reason=..."
    )
    assert "task 'toy'" in tool("relabel", root, "where=success", "reward=task", "reason=x", code=2)


def test_deleted_episodes_come_back_until_they_are_compacted(root: Path, tool: Tool) -> None:
    assert "would delete 10 of 30" in tool("delete", root, "where=seed < 10", "reason=bad", "--dry-run")
    assert len(Dataset.open(root).episodes) == 30
    tool("delete", root, "where=seed < 10", "reason=bad")
    assert tool("filter", root, "--deleted").splitlines()[-1] == "10 of 10 deleted episodes"
    tool("undelete", root, "where=seed < 5")
    assert len(Dataset.open(root).episodes) == 25
    assert "would remove 5 episodes for good" in tool("compact", root, "--dry-run")
    assert len(Dataset.open(root).records) == 30
    assert "5 deleted episodes gone for good" in tool("compact", root)
    assert len(Dataset.open(root).records) == 25
    assert tool("undelete", root, "where=seed < 10", code=2) == f"{root} has no deleted episode"


def test_parts_and_unions(root: Path, tool: Tool) -> None:
    parts, whole = root.parent / "parts", root.parent / "whole"
    said = tool("split", root, f"out={parts}", "shares=[0.7,0.3]", "names=[train,test]", "seed=3")
    assert said.splitlines() == [f"{parts}/train: 21 of 30 episodes", f"{parts}/test: 9 of 30 episodes"]
    said = tool("merge", parts / "train", parts / "test", root, f"out={whole}")
    assert said.splitlines()[0] == "skipped 30 episodes that were there already"
    assert sorted(map(str, numbers(Dataset.open(whole).episodes))) == sorted(map(str, range(30)))
    assert "names a dataset twice" in tool("merge", root, f"{root}/.", f"out={whole}2", code=2)
    assert (
        tool("merge", root, f"out={whole}2", code=2) == "merge needs two or more datasets: merge A B out=DIR"
    )
    assert "lies inside out=" in tool("merge", root, whole, f"out={root.parent}", code=2)
    assert sorted(entry.name for entry in root.parent.iterdir()) == ["a", "parts", "whole"]


def test_where_all_is_deleted_each_tool_says_that_nothing_is_in_use(root: Path, tool: Tool) -> None:
    tool("delete", root, "where=length > 0", "reason=all of them")
    out = f"out={root.parent / 'b'}"
    for words in (
        *(["filter"], ["filter", out], ["split", out], ["convert", "to=npz", out], ["stats"]),
        *(["replay", "episode=0"], ["replay", "--all"], ["delete", "where=success", "reason=again"]),
    ):
        assert tool(words[0], root, *words[1:], code=2) == f"{root} has no episode in use"
    assert "30 of 30 deleted episodes" in tool("filter", root, "--deleted")


def test_nothing_is_made_inside_a_dataset(root: Path, tool: Tool) -> None:
    before = files(root)
    for words in (
        *(
            ["filter", f"out={root}/b"],
            ["split", f"out={root}/b"],
            ["merge", f"{root}/../a/", f"out={root}/b"],
        ),
        *(["stats", f"out={root}/b.html"], ["replay", "episode=0", f"video={root}/b.mp4"]),
        ["convert", "to=npz", f"out={root}/b"],
    ):
        assert "dataset" in tool(words[0], root, *words[1:], code=2)
    assert files(root) == before


def test_a_copy_is_not_listed(root: Path, tool: Tool) -> None:
    for word in ("--json", "--all", "--history", "--deleted"):
        tool("filter", root, f"out={root.parent / 'b'}", word, code=2)
    assert not (root.parent / "b").exists()
