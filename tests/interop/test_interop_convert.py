"""`robot-orl dataset convert`: what is chosen, in every format, and nothing over anything."""

from pathlib import Path

import pytest
from finite_episodes import assert_returned, exported, finite_dataset, imported

from robot_orl.cli import main
from robot_orl.data.store import Dataset
from robot_orl.interop.base import Request, names, reader
from robot_orl.types import Episode


def test_convert_writes_what_is_chosen_and_nothing_over_anything(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, episodes = filmed
    out = tmp_path / "new" / "x.hdf5"
    words = ["dataset", "convert", str(dataset.path), "to=robomimic", f"out={out}", "where=success"]
    assert main(words) == 0
    assert_returned(imported("robomimic", out)[1], [episodes[0], episodes[2]])
    assert [item.name for item in out.parent.iterdir()] == ["x.hdf5"]
    before = out.read_bytes()
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_convert_says_what_the_format_cannot_hold(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, _ = filmed
    assert main(["dataset", "convert", str(dataset.path), "to=d4rl", f"out={tmp_path / 'x.hdf5'}"]) == 0
    assert "not in it: camera frames" in capsys.readouterr().out


def test_convert_that_fails_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, _ = finite_dataset(tmp_path / "data")
    chunk = next((tmp_path / "data").rglob("steps/reward/c/0"))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
    assert main(["dataset", "convert", str(dataset.path), "to=npz", f"out={tmp_path / 'new/out'}"]) == 2
    assert "damaged" in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["to=d5rl", "out=x"], "no format 'd5rl'; did you mean 'd4rl'?"),
        (["to=d4rl", "out=data/x.hdf5"], "would lie within the dataset"),
        (["to=d4rl", "out=x.hdf5", "where=quality > 2"], "episodes match where=quality > 2"),
        (["to=d4rl", "out=x.hdf5", "where=qualty > 2"], "quality"),
        (["to=npz", "out=s3://bucket/x"], "s3://bucket/x: other formats are written to a folder"),
    ],
)
def test_wrong_words_of_convert_are_told_in_one_line(
    filmed: tuple[Dataset, list[Episode]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    folder = Path(str(filmed[0].path)).parent
    monkeypatch.chdir(folder)
    assert main(["dataset", "convert", "data", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [item.name for item in folder.iterdir()] == ["data"]


@pytest.mark.parametrize("name", sorted({*names("write")} - {"video"}))
def test_what_the_task_was_made_with_travels_in_every_format(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]], name: str
) -> None:
    path = exported(name, filmed[0], tmp_path / "x-v0")
    source = reader(name.split("_")[0])(path, Request())
    assert source.env_kwargs == {"variant": "würfel"}


@pytest.mark.e2e
@pytest.mark.parametrize("name", sorted({*names("write")} - {"video"}))
def test_a_recording_keeps_its_fingerprint_through_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Arrays and labels, by the commands and with relative paths; a video has frames only."""
    monkeypatch.chdir(tmp_path)
    assert main(["collect", "task=fetch_reach", "operator=scripted", "episodes=2", "out=a"]) == 0
    assert main(["dataset", "convert", "a", f"to={name}", "out=b/reach-v0"]) == 0
    words = ["import", f"source={name.split('_')[0]}", "path=b/reach-v0", "task=fetch_reach", "out=c"]
    assert main(words) == 0
    assert Dataset.open("c").fingerprint() == Dataset.open("a").fingerprint()
