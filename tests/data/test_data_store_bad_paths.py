"""What a user may point at by mistake gets one line that says what is there instead."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_episodes import made_episode, made_spec

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, RunError, UsageError

SPEC = made_spec()


def test_a_missing_path_an_empty_folder_another_folder_and_a_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "file").write_text("not a folder")
    for name, message in {
        "missing": "it does not exist",
        "empty": "the folder is empty",
        "photos": "the folder has no dataset.json",
        "file": "is a file, not a dataset's folder",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            Dataset.open(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def test_nothing_is_written_into_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="not empty and not a dataset"):
        SegmentWriter(tmp_path / "photos", SPEC, "test")
    with pytest.raises(DataError, match="is a file"):
        SegmentWriter(tmp_path / "file", SPEC, "test")


def test_episodes_of_another_task_are_refused_and_both_tasks_named(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 3))
    with pytest.raises(DataError, match="set holds episodes of task toy_push, not of toy_slide"):
        SegmentWriter(tmp_path / "set", made_spec(task="toy_slide"), "test")
    with pytest.raises(DataError, match="toy_push episodes of another spec: control_hz differ"):
        SegmentWriter(tmp_path / "set", made_spec(control_hz=50.0), "test")


def test_two_tasks_that_begin_one_dataset_at_once_do_not_mix(tmp_path: Path) -> None:
    first = SegmentWriter(tmp_path / "set", SPEC, "test")
    second = SegmentWriter(tmp_path / "set", made_spec(task="toy_slide"), "test")  # nothing there yet
    first.append(made_episode(0, 3))
    with pytest.raises(DataError, match="holds episodes of task toy_push, not of toy_slide"):
        second.append(made_episode(0, 3))
    first.close()
    assert len(list(Dataset.open(tmp_path / "set").load_all())) == 1


def test_a_dataset_without_a_committed_episode_opens_only_when_that_is_allowed(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 3))
    for file in (tmp_path / "set" / "segments").glob("*/*"):
        if file.name != "lock" and file.is_file():
            file.unlink()  # as if the writer had been killed before its first episode
    with pytest.raises(DataError, match="holds no committed episode yet"):
        Dataset.open(tmp_path / "set")
    info = Dataset.open(tmp_path / "set", allow_empty=True).info()
    assert (info.episodes, info.success, info.quality) == (0, None, None)
    assert dict(info.rows())["success at the last step"] == "unknown"


def test_a_label_that_episodes_do_not_have_is_refused_with_the_valid_names(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 3))
    dataset = Dataset.open(tmp_path / "set")
    with pytest.raises(UsageError, match="no episode field 'qualty'; did you mean 'quality'"):
        dataset.relabel(dataset.episodes, "typo", qualty=1.0)


@pytest.fixture
def stranger_folder() -> Iterator[Path]:
    """A folder everybody may enter, used as somebody who is not root (root may do everything)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    with SegmentWriter(folder / "set", SPEC, "test") as writer:
        writer.append(made_episode(0, 3))
    try:
        yield folder
    finally:
        os.seteuid(user)
        for locked in (folder / "set", folder / "set" / "segments"):
            locked.chmod(0o755)
        shutil.rmtree(folder)


def become_a_stranger() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_no_permission_to_write_is_one_line_and_reading_still_works(stranger_folder: Path) -> None:
    root = stranger_folder / "set"
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o555)
    become_a_stranger()
    with pytest.raises(RunError, match=r"cannot write .*set: Permission denied") as caught:
        SegmentWriter(root, SPEC, "test").append(made_episode(1, 3))
    assert "\n" not in str(caught.value)
    dataset = Dataset.open(root)
    assert len(list(dataset.load_all())) == 1


def test_no_permission_to_read_is_one_line(stranger_folder: Path) -> None:
    root = stranger_folder / "set"
    root.chmod(0)
    become_a_stranger()
    with pytest.raises(DataError, match=r"cannot read .*set.*: Permission denied"):
        Dataset.open(root)
    with pytest.raises(DataError, match=r"cannot read .*set.*: Permission denied"):
        SegmentWriter(root, SPEC, "test")


def test_a_segment_that_may_not_be_read_is_not_taken_for_an_empty_one(stranger_folder: Path) -> None:
    (stranger_folder / "set" / "segments").chmod(0)
    become_a_stranger()
    with pytest.raises(DataError, match=r"cannot read .*set/segments.*: Permission denied"):
        Dataset.open(stranger_folder / "set")
