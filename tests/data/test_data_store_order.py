"""Episodes stay in the order in which they were recorded, whatever the clock says."""

from datetime import UTC, datetime
from pathlib import Path

from made_episodes import made_episode, made_spec, segment_folders

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.writer import behind

NOON = datetime(2030, 1, 2, 12, 0, 0, 5, tzinfo=UTC)


def record(root: Path, seed: int) -> None:
    with SegmentWriter(root, made_spec(), "test") as writer:
        writer.append(made_episode(seed, 3))


def test_a_clock_that_was_set_back_reorders_no_segments(tmp_path: Path) -> None:
    record(tmp_path, 0)
    (segment,) = segment_folders(tmp_path)
    segment.rename(segment.with_name("21990101T000000.000000Z_test_0123abcd"))  # it was ahead
    record(tmp_path, 1)
    record(tmp_path, 2)
    assert [record.meta.seed for record in Dataset.open(tmp_path).records] == [0, 1, 2]


def test_a_new_segment_is_named_by_now_or_just_behind_the_last() -> None:
    now = "20300102T120000.000005Z"
    assert behind([], NOON) == now
    assert behind(["20300102T115959.999999Z_test_a", "20290101T000000.000000Z_test_b"], NOON) == now
    assert behind(["20300102T120000.000005Z_test_a"], NOON) == "20300102T120000.000006Z"
    assert behind(["20301231T235959.999999Z_test_a"], NOON) == "20310101T000000.000000Z"
    assert behind(["zz"], NOON) == now  # somebody else's name
    assert behind(["99991231T235959.999999Z_test_a"], NOON) == now  # nothing lies behind that
