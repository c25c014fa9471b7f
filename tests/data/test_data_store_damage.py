"""Damage of any file is found and named in one line; what a crash leaves behind is not damage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_episodes import assert_same_bits, made_episode, made_spec, segment_folders

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.layout import guarded
from robot_orl.errors import DataError
from robot_orl.types import Episode

SPEC = made_spec()
EPISODES = [made_episode(0, 5), made_episode(1, 20), made_episode(2, 7)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed dataset of one segment with three episodes."""
    root = tmp_path_factory.mktemp("model") / "set"
    with SegmentWriter(root, SPEC, "test") as writer:
        for episode in EPISODES:
            writer.append(episode)
    return root


@pytest.fixture
def root(model: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(model, tmp_path / "set"))


def unsealed(root: Path) -> Path:
    """A dataset as a kill leaves it: the same episodes, but nobody closed the writer."""
    writer = SegmentWriter(root, SPEC, "test")
    for episode in EPISODES:
        writer.append(episode)
    writer._abandon()
    return root


def read(root: Path) -> list[Episode]:
    return list(Dataset.open(root).load_all())


def message_of_failed_read(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(root)
    message = str(caught.value)
    assert "\n" not in message
    return message


def file_of(root: Path, name: str) -> Path:
    return root / name if name == "dataset.json" else segment_folders(root)[0] / name


FILES = [
    "dataset.json",
    "zarr.json",
    "obs/zarr.json",
    "steps/action/zarr.json",
    "sim/state/zarr.json",
    "episodes.jsonl",
    "obs/observation/c/0/0",
    "sim/state/c/0/0",
    "steps/action_policy/c/0/0",
    "steps/reward/c/0",
    "steps/terminated/c/0",
]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_kind_of_file_is_found_and_the_file_named(root: Path, name: str) -> None:
    file = file_of(root, name)
    whole = file.read_bytes()
    rng = np.random.default_rng(len(whole))
    places = {0, len(whole) - 2, len(whole) - 1, *rng.integers(0, len(whole), 8).tolist()}
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        if name.endswith(".json") and _means_the_same(bytes(flipped), whole):
            continue  # one blank for another
        file.write_bytes(flipped)
        assert name.split("/c/")[0] in message_of_failed_read(root)
    file.write_bytes(whole)
    assert len(read(root)) == 3


def _means_the_same(left: bytes, right: bytes) -> bool:
    try:
        return bool(json.loads(left) == json.loads(right))
    except ValueError:
        return False


@pytest.mark.parametrize("name", FILES)
def test_a_file_truncated_or_lost_is_found_and_named(root: Path, name: str) -> None:
    file = file_of(root, name)
    whole = file.read_bytes()
    for size in (0, 3, len(whole) // 2, len(whole) - 2):
        file.write_bytes(whole[:size])
        assert name.split("/c/")[0] in message_of_failed_read(root)
    file.unlink()
    assert name.split("/c/")[0] in message_of_failed_read(root)


def test_a_wrong_number_of_rows_in_a_sealed_array_is_found(root: Path) -> None:
    for name, rows in {"steps/reward": 32, "obs/observation": 32 + 3}.items():
        file = file_of(root, f"{name}/zarr.json")
        whole = file.read_text()
        document = json.loads(whole)
        assert document["shape"][0] == rows
        for wrong in (rows - 1, rows + 1, 10**12):
            document["shape"][0] = wrong
            file.write_text(json.dumps(document))
            assert f"{name}/zarr.json is damaged: it says {wrong} rows" in message_of_failed_read(root)
        file.write_text(whole)


def test_damage_of_a_chunk_names_the_first_episode_it_spoils(root: Path) -> None:
    chunk = file_of(root, "steps/reward/c/0")
    chunk.unlink()
    dataset = Dataset.open(root)
    assert dataset.info().episodes == 3  # the log is whole
    with pytest.raises(DataError, match="steps/reward/c/0 is missing: episode 1 cannot be read"):
        dataset.load(dataset.episodes[1])
    assert "episode 0 " in message_of_failed_read(root)


def test_rows_that_were_replaced_by_valid_others_do_not_pass_for_the_committed_ones(root: Path) -> None:
    import zarr

    zarr.open_array(file_of(root, "steps/reward"), mode="r+")[6] = 0.5  # step 1 of episode 1
    dataset = Dataset.open(root)
    assert_same_bits(dataset.load(dataset.episodes[0]), EPISODES[0])
    with pytest.raises(DataError, match="steps/reward does not match its checksum: episode 1"):
        list(dataset.load_all())
    assert [len(episode) for episode in dataset.load_all(verify=False)] == [5, 20, 7]


def test_a_damaged_chunk_of_deleted_episodes_only_spoils_nothing(tmp_path: Path) -> None:
    long, short = made_episode(0, 9000), made_episode(1, 5)  # the long one alone fills the first chunk
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(long)
        writer.append(short)
    file_of(tmp_path / "set", "steps/reward/c/0").unlink()
    file_of(tmp_path / "set", "steps/action/c/0/0").write_bytes(b"damaged")
    Dataset.open(tmp_path / "set").delete(Dataset.open(tmp_path / "set").episodes[:1], "chunk lost")
    [found] = read(tmp_path / "set")
    assert_same_bits(found, short)


def test_a_line_torn_anywhere_is_no_episode_and_no_error(tmp_path: Path) -> None:
    log = file_of(unsealed(tmp_path / "set"), "episodes.jsonl")
    whole = log.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for size in [*range(last, len(whole), 9), len(whole) - 2, len(whole) - 1]:
        log.write_bytes(whole[:size])
        assert [record.length for record in Dataset.open(tmp_path / "set").episodes] == [5, 20]
    found = read(tmp_path / "set")
    assert_same_bits(found[1], EPISODES[1])


def test_any_flipped_byte_of_the_log_of_a_killed_writer_is_found(tmp_path: Path) -> None:
    """Also the newline of the last line: what looks torn there was committed."""
    log = file_of(unsealed(tmp_path / "set"), "episodes.jsonl")
    whole = log.read_bytes()
    newlines = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for place in [*range(0, len(whole), 7), *newlines]:
        flipped = bytearray(whole)
        flipped[place] ^= 0x01
        log.write_bytes(flipped)
        with pytest.raises(DataError, match=r"episodes.jsonl: line \d is damaged"):
            Dataset.open(tmp_path / "set")


def test_a_line_missing_in_the_middle_of_the_log_is_found(root: Path) -> None:
    log = file_of(root, "episodes.jsonl")
    first, _, third = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + third)
    assert "episodes.jsonl: line 2 is damaged" in message_of_failed_read(root)


def test_a_sealed_log_cut_off_between_lines_is_found(root: Path) -> None:
    log = file_of(root, "episodes.jsonl")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    assert "episodes.jsonl is cut off: 2 of 3 episodes are left" in message_of_failed_read(root)


def test_rows_beyond_the_last_commit_line_are_nobodys(tmp_path: Path) -> None:
    """As after a kill between the arrays and the line."""
    log = file_of(unsealed(tmp_path / "set"), "episodes.jsonl")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    for found, expected in zip(read(tmp_path / "set"), EPISODES[:2], strict=True):
        assert_same_bits(found, expected)
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(EPISODES[2])
    assert [len(episode) for episode in read(tmp_path / "set")] == [5, 20, 7]
    assert Dataset.open(tmp_path / "set").info().unsealed == 1


def test_a_writer_killed_before_its_first_episode_leaves_no_trace_in_a_reader(root: Path) -> None:
    for name in ("20990101T000000.000000Z_test_00000001", "20990101T000000.000000Z_test_00000002"):
        (root / "segments" / name).mkdir()
    (root / "segments" / name / "zarr.json").write_text(
        '{"attributes": {}, "zarr_format": 3, "node_type": "group"}'
    )
    assert len(read(root)) == 3


def test_a_newer_format_version_is_refused_with_both_versions(root: Path) -> None:
    file = root / "dataset.json"
    file.write_text(json.dumps(guarded({**json.loads(file.read_text()), "format_version": 3})))
    assert message_of_failed_read(root).endswith(
        "dataset.json has format version 3; this robot_orl reads up to 2: update it"
    )
    with pytest.raises(DataError, match="format version 3"):
        SegmentWriter(root, SPEC, "test")


def test_a_segment_of_a_newer_format_version_is_refused(root: Path) -> None:
    file = file_of(root, "zarr.json")
    document = json.loads(file.read_text())
    document["attributes"] = guarded({**document["attributes"], "format_version": 7})
    file.write_text(json.dumps(document))
    assert "format version 7" in message_of_failed_read(root)


def test_a_segment_of_another_task_put_into_a_dataset_is_found(root: Path, tmp_path: Path) -> None:
    other = made_spec(task="toy_slide")
    with SegmentWriter(tmp_path / "other", other, "test") as writer:
        writer.append(made_episode(0, 3, spec=other))
    [segment] = segment_folders(tmp_path / "other")
    segment.rename(root / "segments" / segment.name)
    assert "holds toy_slide of another spec than its dataset, toy_push" in message_of_failed_read(root)
