"""What a page is told of a dataset is what stands in it; labels are lines in its log, with who and why."""

from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from browse_toys import SIGNED, STEPS, WHO, episode, recorded, spec

from data_collection.browse.library import COLUMNS, HalfLabelled, Library
from robot_orl.curation.compacting import compact
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interrupt import StopFlag


def library(path: Path) -> Library:
    return Library(str(path), lambda: SIGNED)


def test_a_row_tells_of_an_episode_what_its_log_does(tmp_path: Path) -> None:
    first, second = episode(2), episode(3, operator="unknown", quality=None)
    found = library(recorded(tmp_path / "a", [first, second]))
    one, two = (dict(zip(COLUMNS, found.row(name), strict=True)) for name in found.ids())
    assert one == {
        "id": found.ids()[0],
        "operator": "bob",
        "seed": 2,
        "length": STEPS,
        "return": float(first.reward.sum()),
        "success": True,
        "quality": 0.25,
        "end_reason": "recording",
        "notes": "note 2",
        "actor": ("human",),
        "deleted": False,
    }
    assert (two["operator"], two["quality"], two["actor"]) == (None, None, ("script",))


def test_a_query_selects_among_what_the_page_lists(tmp_path: Path) -> None:
    found = library(recorded(tmp_path / "a", [episode(n) for n in range(4)]))
    listed = found.ids()
    assert found.matching("success and quality > 0", listed) == [2]
    assert found.matching("actor has intervention", listed) == [1]
    assert found.matching("success", ["gone:0", *listed[::-1]]) == [2, 4]
    with pytest.raises(UsageError, match=r"where, column 9: .*expected a value"):
        found.matching("quality>", listed)


def test_shares_are_told_where_more_than_one_acted(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(n) for n in (0, 1, 2, 4)], [episode(3), episode(1)])
    found = library(path)
    names = found.ids()
    assert [len(set(WHO[n % 3])) for n in (0, 1, 2, 4, 3, 1)] == [1, 2, 1, 2, 1, 2]
    early, late = {"policy": 0.25, "intervention": 0.75}, {"policy": 0.375, "intervention": 0.625}
    assert found.shares() == {names[1]: early, names[3]: late, names[5]: early}


def test_states_and_frames_are_those_of_the_episode_and_its_moment(tmp_path: Path) -> None:
    made = [episode(n, has_camera=True) for n in range(3)]
    found = library(recorded(tmp_path / "a", made))
    name = found.ids()[1]
    assert made[1].sim_state is not None
    assert np.array_equal(found.last_state(name), made[1].sim_state[-1])
    assert found.frames(name, "front", slice(3, 5))[:, 0, 0, 0].tolist() == [30, 40]
    assert found.frames(name, "front", slice(STEPS, 99))[:, 0, 0, 0].tolist() == [10 * STEPS], (
        "to the end only"
    )
    assert len(found.frames(name, "front", slice(STEPS + 1, 99))) == 0
    with pytest.raises(UsageError, match="no camera 'back'; valid: front"):
        found.frames(name, "back", slice(1))
    seen = found.last_observation(name)
    assert {key: rows.tolist() for key, rows in seen.items()} == {
        key: rows[-1].tolist() for key, rows in made[1].obs.items()
    }
    without = library(recorded(tmp_path / "b", [episode(0, has_state=False)]))
    assert without.last_state(without.ids()[0]) is None


def test_what_is_damaged_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(0, has_camera=True)])
    found = library(path)
    (chunk,) = path.glob("segments/*/obs/images/front/c/0/0/0/0")
    chunk.write_bytes(b"\0" * 99)
    with pytest.raises(DataError, match=r"front/c/0/0/0/0 is damaged: episode 0 cannot be read"):
        found.frames(found.ids()[0], "front", slice(1))
    assert found.last_state(found.ids()[0]) is not None


def test_a_label_is_a_line_with_who_when_and_why_and_only_where_it_is_new(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(n) for n in range(3)])
    found = library(path)
    names = found.ids()
    assert found.relabel(names, {"success": "true"}, "watched") == {names[1]: {"success": False}}
    assert found.relabel(names[1:2], {"success": "true"}, "watched") == {}, "it is so already"
    found.relabel(names[1:2], {"quality": "0.75", "notes": "slipped"}, "again")
    one = Dataset.open(path).records[1]
    assert (one.meta.success, one.meta.quality, one.meta.notes) == (True, 0.75, "slipped")
    history = found.about(names[1])["history"]
    assert [(change["by"], change["reason"], change["values"]) for change in history] == [
        ("ann", "watched", {"success": True}),
        ("ann", "again", {"quality": 0.75, "notes": "slipped"}),
    ]
    assert found.about(names[0])["history"] == []
    for bad in ({"success": "maybe"}, {"quality": "2"}, {"deleted": "yes"}):
        with pytest.raises(UsageError, match=r"maybe|2|yes"):
            found.relabel(names, bad, "")
    with pytest.raises(UsageError, match="no episode 'x:1'"):
        found.relabel(["x:1"], {"success": "true"}, "")


def test_a_note_is_taken_literally(tmp_path: Path) -> None:
    found = library(recorded(tmp_path / "a", [episode(0)]))
    found.relabel(found.ids(), {"notes": "unknown", "quality": "unknown"}, "")
    assert Dataset.open(tmp_path / "a").records[0].meta.notes == "unknown"
    assert found.row(found.ids()[0])[COLUMNS.index("quality")] is None


def test_what_a_label_replaced_is_put_back_of_each_episode_its_own(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(n) for n in range(3)])
    found = library(path)
    before = found.relabel(found.ids(), {"quality": "0.25", "notes": "all"}, "")
    assert [record.meta.quality for record in Dataset.open(path).records] == [0.25] * 3
    again = found.label(before, "undone")
    assert list(again.values()) == [{"quality": 0.25, "notes": "all"}] * 3
    records = Dataset.open(path).records
    assert [(r.meta.quality, r.meta.notes) for r in records] == [(n / 8, f"note {n}") for n in range(3)]


def test_a_deleted_episode_is_listed_as_such_and_comes_back(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(n) for n in range(2)])
    found = library(path)
    first, second = found.ids()
    assert found.relabel([first], {"deleted": "true"}, "bad") == {first: {"deleted": False}}
    assert [record.id for record in Dataset.open(path).episodes] == [second]
    assert found.ids() == [first, second]
    assert found.row(first)[-1] is True
    assert list(found.relabel([first, second], {"deleted": "false"}, "")) == [first]
    assert len(Dataset.open(path).episodes) == 2


def test_what_others_record_comes_with_a_refresh_and_is_labelled_once_they_are_done(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(0)])
    found = library(path)
    with SegmentWriter(path, spec(), "other") as writer:
        writer.append(episode(1))
        assert len(found.ids()) == 1
        found.refresh()
        old, new = found.ids()
        assert found.about(new)["writer"].startswith("process ")
        assert list(found.relabel([old], {"success": "false"}, "")) == [old]
        with pytest.raises(DataError, match=r"is being written by process \d+: its labels can change when"):
            found.relabel([old, new], {"success": "unknown"}, "")
        assert found.row(old)[COLUMNS.index("success")] is False, "nothing of it was changed"
        writer.append(episode(2))
    assert list(found.relabel([new], {"quality": "1"}, "")) == [new], "without a refresh"
    found.refresh()
    assert len(found.ids()) == 3


def test_a_dataset_in_which_nothing_is_committed_yet_can_be_waited_for(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(0)])
    (tmp_path / "b").mkdir()
    copyfile(path / "dataset.json", tmp_path / "b" / "dataset.json")
    found = library(tmp_path / "b")
    assert found.ids() == []
    recorded(tmp_path / "b", [episode(0)])
    found.refresh()
    assert len(found.ids()) == 1
    with pytest.raises(DataError, match="no dataset at"):
        library(tmp_path / "c")


def test_labels_that_can_be_written_half_way_only_tell_which_were_and_are_put_back(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a", [episode(n, success=None) for n in range(2)], [episode(2, success=None)])
    found = library(path)
    first, other, second = found.ids()
    broken = path / "segments" / found.record(second).segment / "episodes.jsonl"
    broken.rename(tmp_path / "log")
    broken.mkdir()
    with pytest.raises(HalfLabelled, match=r"episodes.jsonl.*; 1 of 2 episodes were changed before") as half:
        found.relabel([first, second], {"success": "true"}, "")
    assert half.value.before == {first: {"success": None}}
    assert half.value.rows == [found.row(first)]
    success = COLUMNS.index("success")
    assert [found.row(name)[success] for name in found.ids()] == [True, None, None]
    with pytest.raises(DataError) as whole:
        found.relabel([second], {"success": "true"}, "")
    assert not isinstance(whole.value, HalfLabelled), "nothing was changed"
    found.label(half.value.before, "undone")
    broken.rmdir()
    (tmp_path / "log").rename(broken)
    assert [record.meta.success for record in Dataset.open(path).records] == [None] * 3
    assert found.about(other)["history"] == []


def test_after_another_process_compacted_it_each_question_says_to_refresh(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "a", [episode(n, has_camera=True) for n in range(2)], [episode(2, has_camera=True)]
    )
    found = library(path)
    gone, left, other = found.ids()
    Dataset.open(path).delete([found.record(gone)], "bad")
    compact(str(path), StopFlag())
    for ask in (
        lambda: found.about(left),
        lambda: found.load(left),
        lambda: found.last_state(left),
        lambda: found.frames(left, "front", slice(1)),
        lambda: found.relabel([other, left], {"success": "unknown"}, ""),
    ):
        with pytest.raises(UsageError, match=r"segments/\S+ was compacted or moved; refresh the page"):
            ask()
    assert found.about(other)["history"] == [], "nothing of it was changed"
    found.refresh()
    assert len(found.ids()) == 2
