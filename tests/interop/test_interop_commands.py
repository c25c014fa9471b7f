"""`robot-orl import`: whole, once, and with where it came from."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from children import child
from finite_episodes import exported, imported

from robot_orl.cli import main
from robot_orl.data.store import Dataset
from robot_orl.errors import UsageError
from robot_orl.types import Episode

COUNT = 3000  # episodes; they are committed in groups of 512


def d4rl_file(path: Path, first: float = 0.0, episodes: int = 3, steps: int = 4, width: int = 2) -> Path:
    rows = episodes * steps
    seen = first + np.arange(rows * width, dtype="f4").reshape(rows, width)
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"] = seen, np.full((rows, 1), 1.5)
        file["rewards"], file["terminals"] = np.zeros(rows), np.arange(rows) % steps == steps - 1
        file["timeouts"] = np.zeros(rows, bool)
    return path


def bring_in(path: Path, out: Path, *words: str) -> int:
    return main(["import", "source=d4rl", f"path={path}", f"out={out}", "control_hz=20", *words])


def test_an_import_keeps_where_it_came_from(tmp_path: Path) -> None:
    path = d4rl_file(tmp_path / "some data.hdf5")
    assert bring_in(path, tmp_path / "out", "task=arm") == 0
    dataset = Dataset.open(tmp_path / "out")
    told = dataset.segments[0].attributes["config"]["import"]
    assert told["format"] == "d4rl"
    assert told["file"] == "some data.hdf5"
    assert told["size"] == path.stat().st_size
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["file_says"]["clipped_action_values"] == 12
    assert dataset.spec.task == "arm"
    assert [record.meta.origin for record in dataset.episodes] == [f"some data.hdf5#{i}" for i in range(3)]


def test_the_same_file_is_imported_once_and_another_one_is_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = d4rl_file(tmp_path / "x.hdf5"), tmp_path / "out"
    assert bring_in(path, out) == 0
    assert bring_in(path, out) == 0
    assert "0 episodes, 0 transitions of unknown imported; 3 were there already" in capsys.readouterr().out
    path.rename(tmp_path / "renamed.hdf5")
    assert bring_in(tmp_path / "renamed.hdf5", out) == 0
    assert len(Dataset.open(out).episodes) == 3
    assert bring_in(d4rl_file(tmp_path / "x.hdf5", first=100), out) == 0  # the same name, other content
    assert len(Dataset.open(out).episodes) == 6


def test_an_import_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second episode holds a NaN; once it is mended elsewhere, the first is not taken twice."""
    path, out = d4rl_file(tmp_path / "x.hdf5"), tmp_path / "out"
    with h5py.File(path, "a") as file:
        file["observations"][5] = np.nan
    assert bring_in(path, out) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "episode 1" in message
    assert message.endswith(f"; 1 other episodes are in {out}")
    assert len(Dataset.open(out).episodes) == 1
    assert bring_in(path, out) == 2
    assert len(Dataset.open(out).episodes) == 1


def test_a_file_that_was_cut_elsewhere_is_not_the_same_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = d4rl_file(tmp_path / "x.hdf5"), tmp_path / "out"
    with h5py.File(path, "a") as file:
        del file["timeouts"]
    assert bring_in(path, out, "horizon=3") == 0
    assert bring_in(path, out, "horizon=3") == 0
    assert bring_in(path, out, "horizon=2") == 2
    assert f"x.hdf5 is in {out} with horizon=3 already" in capsys.readouterr().err


@pytest.mark.parametrize("rate", [0.0, -20.0, np.nan, np.inf])
def test_a_control_rate_that_cannot_be_is_not_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: float
) -> None:
    path, out = tmp_path / "x.npz", tmp_path / "out"
    rows = {"observations": np.zeros((2, 1)), "actions": np.zeros((2, 1)), "episode_ends": np.array([2])}
    np.savez(path, control_hz=rate, **rows)
    words = ["import", "source=npz", f"path={path}", f"out={out}"]
    assert main(words) == 2
    assert f"says a control rate of {rate:g} Hz" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "control_hz=20"]) == 0
    assert Dataset.open(out).spec.control_hz == 20


def test_a_slip_in_a_tasks_name_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring_in(d4rl_file(tmp_path / "x.hdf5"), tmp_path / "out", "task=adroit_dor", "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "'adroit_dor' is no task of this stack" in said
    assert "did you mean 'adroit_door'?" in said


def test_a_folder_that_is_named_by_dots_gives_its_name_to_the_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ä b").mkdir()
    rows = {"observations": np.zeros((3, 1)), "actions": np.zeros((2, 1)), "control_hz": 20}
    np.savez(tmp_path / "ä b" / "1.npz", **rows)
    monkeypatch.chdir(tmp_path / "ä b")
    assert main(["import", "source=npz", "path=.", "out=../out"]) == 0
    assert Dataset.open(tmp_path / "out").episodes[0].meta.origin == "ä b#1.npz"


@pytest.mark.parametrize("name", ["lerobot", "video"])
def test_a_relative_path_with_a_colon_is_a_path(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["dataset", "convert", str(filmed[0].path), f"to={name}", "out=a:b/c d"]) == 0
    assert main(["import", f"source={name}", "path=a:b/c d", "out=back"]) == 0
    assert len(Dataset.open("back").episodes) == 3


@pytest.mark.parametrize(
    ("name", "package"), [("d4rl", "h5py"), ("minari", "h5py"), ("lerobot", "pyarrow"), ("video", "av")]
)
def test_a_missing_library_is_named_with_what_installs_it(
    tmp_path: Path,
    filmed: tuple[Dataset, list[Episode]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    package: str,
) -> None:
    path = exported(name, filmed[0], tmp_path / "x-v0")
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["import", f"source={name}", f"path={path}", f"out={tmp_path / 'out'}"]) == 2
    assert f"this format needs {package}: pip install 'robot-orl[interop]'" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring_in(d4rl_file(tmp_path / "x.hdf5"), tmp_path / "out", "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "clipped action values 12" in said
    assert "no task of this stack" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source=d5rl", "path=x.hdf5", "out=o"], "no source 'd5rl'; did you mean 'd4rl'?"),
        (["source=d4rl", "path=none.hdf5", "out=o"], "none.hdf5"),
        (["source=d4rl", "path=folder", "out=o"], "folder is an empty folder"),
        (["source=d4rl", "path=x.hdf5", "out=o"], "does not say its control rate: add control_hz="),
        (["source=d4rl", "path=x.hdf5", "out=x.hdf5", "control_hz=5"], "x.hdf5 is a file"),
        (["source=d4rl", "path=x.hdf5", "out=o", "control_hz=0"], "control_hz=0.0 is outside"),
        (["source=robomimic", "path=x.hdf5", "out=o"], "no group 'data'"),
        (["source=npz", "path=x.hdf5", "out=o"], "not an .npz file"),
        (["source=d4rl", "path=x.hdf5"], "import needs out="),
        (
            ["source=npz", "path=s3://bucket/x", "out=o"],
            "s3://bucket/x: files of other formats are read from",
        ),
        (["source=hand_dapg", "path=/dev/zero", "task=adroit_door", "out=o"], "/dev/zero is no file"),
    ],
)
def test_wrong_words_are_told_in_one_line_before_anything_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    d4rl_file(Path("x.hdf5"))
    Path("folder").mkdir()
    assert main(["import", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "x.hdf5"]


def test_data_of_another_spec_is_not_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring_in(d4rl_file(tmp_path / "x.hdf5"), tmp_path / "out") == 0
    assert bring_in(d4rl_file(tmp_path / "y.hdf5", width=3), tmp_path / "out") == 2
    assert "of another spec: observation" in capsys.readouterr().err
    assert len(Dataset.open(tmp_path / "out").episodes) == 3


@pytest.mark.parametrize("name", ["d4rl", "robomimic", "npz"])
def test_damage_anywhere_in_a_file_is_told_in_one_line(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]], name: str
) -> None:
    path = exported(name, filmed[0], tmp_path / f"{name}.x")
    file = path if path.is_file() else path / "episode_000001.npz"
    whole, rng, told = file.read_bytes(), np.random.default_rng(0), []
    for _ in range(12):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 10):
            content[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
        try:
            imported(name, path)  # a flipped bit of an uncompressed number is another number
        except UsageError as error:
            told.append(str(error))
    assert len(told) > 3
    assert all(message.startswith(str(path)) and "\n" not in message for message in told)


@pytest.mark.e2e
def test_an_import_interrupted_by_ctrl_c_is_continued_by_the_same_command(tmp_path: Path) -> None:
    path, out = d4rl_file(tmp_path / "x.hdf5", episodes=COUNT), tmp_path / "out"
    words = [sys.executable, "-m", "robot_orl.cli", "import", "source=d4rl", f"path={path}", f"out={out}"]
    words.append("control_hz=20")
    with child(words, stderr=subprocess.PIPE, text=True) as importing:
        deadline = time.monotonic() + 60
        while not list(out.glob("segments/*/episodes.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.02)
        importing.send_signal(signal.SIGINT)
        _, said = importing.communicate(timeout=60)
    assert importing.returncode == 130, said
    committed = len(Dataset.open(out, allow_empty=True).episodes)
    assert 0 < committed < COUNT
    assert f"{committed} episodes are in {out}; the same command goes on" in said
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"{COUNT - committed} episodes" in again.stdout
    origins = [record.meta.origin for record in Dataset.open(out).episodes]
    assert sorted(origins) == sorted(f"x.hdf5#{i}" for i in range(COUNT))
    assert all(segment.is_sealed for segment in Dataset.open(out).segments)
