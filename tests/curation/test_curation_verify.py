"""Verify finds every damage at once and names file, array and episode; the rest it calls what it is."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from curation_toys import files, toy_dataset, toy_episode, toy_spec
from numcodecs import blosc

from robot_orl.curation.checking.findings import Finding, Report, Severity
from robot_orl.curation.checking.tolerant_log import scan_log
from robot_orl.curation.checking.verify import verify
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.layout import crc32c, guarded, node_checksum
from robot_orl.data.store.places import place_at
from robot_orl.data.store.records import from_line, to_line
from robot_orl.errors import DataError
from robot_orl.types import Camera, EpisodeMeta

SPEC = toy_spec(cameras={"front": Camera(4, 5)})
KINDS = [
    "dataset.json",
    "zarr.json",
    "obs/images/zarr.json",
    "steps/action/zarr.json",
    "episodes.jsonl",
    "obs/images/front/c/0/0/0/0",
    "sim/state/c/0/0",
    "steps/reward/c/0",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy_dataset(folder := tmp_path_factory.mktemp("model") / "set", [0, 1, 2], spec=SPEC)
    return folder


@pytest.fixture
def root(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "set"))


def segment(root: Path) -> Path:
    return sorted((root / "segments").iterdir())[0]


def file_of(root: Path, name: str) -> Path:
    return root / name if name == "dataset.json" else segment(root) / name


def found(root: Path, strict: bool = False) -> Report:
    return verify(place_at(root), strict)


def of(report: Report, severity: Severity) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity is severity]


def indices(finding: Finding) -> list[str]:
    return [name.rpartition(":")[2] for name in finding.episodes]


def flipped(content: bytes, place: int, rng: np.random.Generator) -> bytes:
    """Another byte at that place: a changed bit, or another character that JSON may have there."""
    others = [content[place] ^ (1 << int(rng.integers(8))), *b" \n01"]
    other = next(byte for byte in rng.permutation(others) if byte != content[place])
    return content[:place] + bytes([other]) + content[place + 1 :]


def assert_every_flip_is_found(root: Path, name: str, places: int) -> None:
    file, rng = root / name, np.random.default_rng(len(name))
    whole = file.read_bytes()
    for place in {0, len(whole) - 1, *rng.integers(0, len(whole), places).tolist()}:
        file.write_bytes(flipped(whole, place, rng))
        damage = of(found(root), Severity.DAMAGE)
        assert name.split("/c/")[0] in " ".join(str(finding) for finding in damage), (name, place)
    file.write_bytes(whole)


def test_an_undamaged_dataset_gives_no_finding(root: Path) -> None:
    dataset = Dataset.open(root)
    dataset.delete(dataset.episodes[:1], "bad")
    dataset.relabel(dataset.episodes, "seen", quality=0.5)
    report = found(root)
    assert (list(report.findings), report.episodes, report.segments, report.is_clean) == ([], 3, 1, True)
    sizes = [len(content) for name, content in files(root).items()]
    assert report.size_bytes == sum(sizes)  # every byte was read
    assert report.summary(2.04) == f"OK: 3 episodes in 1 segment, {sum(sizes) / 1e6:.1f} MB verified in 2.0 s"


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_byte_in_any_kind_of_file_is_damage_of_that_file(root: Path, name: str) -> None:
    assert_every_flip_is_found(root, str(file_of(root, name).relative_to(root)), places=5)


@pytest.mark.e2e
@pytest.mark.parametrize("sealed", [True, False])
def test_a_flipped_byte_anywhere_is_damage(tmp_path: Path, sealed: bool) -> None:
    """In every file but the lock, blanks and checksums included."""
    root = tmp_path / "set"
    writer = SegmentWriter(root, SPEC, "test")
    list(writer.extend((toy_episode(n, SPEC), None) for n in range(3)))
    writer.close() if sealed else writer._abandon()
    for name in files(root):
        assert_every_flip_is_found(root, name, places=8)


def test_all_damage_is_found_at_once_with_file_array_and_episodes(tmp_path: Path) -> None:
    spec = toy_spec()
    root = tmp_path / "set"
    with SegmentWriter(root, spec, "test") as writer:
        for number, length in enumerate((3, 8189, 5)):  # steps from 8192 on lie in the second chunk
            writer.append(toy_episode(number, spec, length))
    (segment(root) / "steps/reward/c/1").unlink()
    (segment(root) / "obs/cube/c/0/0").write_bytes(b"cut")
    (segment(root) / "steps/t_ns/zarr.json").unlink()
    (root / "dataset.json").write_bytes((root / "dataset.json").read_bytes().replace(b"arm", b"leg"))
    zarr.open_array(segment(root) / "steps/actor", mode="r+")[1] = 9
    report = found(root)
    told = {f.file: f for f in of(report, Severity.DAMAGE)}
    base = f"segments/{segment(root).name}"
    assert told[f"{base}/steps/reward/c/1"].message == "is missing"
    assert told[f"{base}/steps/reward/c/1"].array == "steps/reward"
    assert indices(told[f"{base}/steps/reward/c/1"]) == ["2"]
    assert indices(told[f"{base}/obs/cube/c/0/0"]) == ["0", "1"]
    assert told[f"{base}/steps/t_ns/zarr.json"].message == "is missing"
    assert indices(told[f"{base}/steps/actor"]) == ["0"]
    assert told["dataset.json"].message == "does not match its checksum"
    assert len(told) == 5
    assert report.episodes == 0


def test_damaged_lines_of_the_log_hide_no_others(root: Path) -> None:
    log = segment(root) / "episodes.jsonl"
    first, second, third = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first.replace(b"ann", b"bob") + second + third)
    report = found(root)
    assert [f.message for f in of(report, Severity.DAMAGE)] == [
        "line 1 is damaged: it does not match its checksum"
    ]
    assert report.episodes == 2
    log.write_bytes(first + third)
    assert "line 2 is damaged: an earlier line is missing" in [f.message for f in found(root).findings]
    log.write_bytes(first)
    [cut] = of(found(root), Severity.DAMAGE)
    assert cut.message == "ends at episode 1 and step 3; it was sealed with 3 episodes and 9 steps"
    log.unlink()
    assert [(f.file or "")[-14:] for f in of(found(root), Severity.DAMAGE)] == ["episodes.jsonl"]


def test_a_sound_log_reads_tolerantly_as_it_reads_strictly(root: Path) -> None:
    dataset = Dataset.open(root)
    dataset.set_rewards([(dataset.episodes[1], np.zeros(3, "f4"))], "again")
    dataset.relabel(dataset.episodes[:2], "seen", notes="ü")
    log = scan_log((segment(root) / "episodes.jsonl").read_bytes(), segment(root).name)
    strict = Dataset.open(root).records
    assert [r.to_dict() for r in log.records] == [r.to_dict() for r in strict]
    assert [r.meta.notes for r in log.records] == ["ü", "ü", ""]
    assert log.stored[1].reward is None
    assert [line["reason"] for line in log.history[1]] == ["again", "seen"]
    assert (log.problems, log.torn) == ([], b"")


def test_what_a_killed_writer_leaves_is_told_and_is_no_damage(tmp_path: Path) -> None:
    root = tmp_path / "set"
    writer = SegmentWriter(root, SPEC, "test")
    for number in range(3):
        writer.append(toy_episode(number, SPEC))
    writer._abandon()
    folder = segment(root)
    log = folder / "episodes.jsonl"
    log.write_bytes(log.read_bytes()[:-5])  # the third line is torn
    (folder / "steps/reward/c/7").write_bytes(b"nobody's")
    (folder / f"steps/reward/c/0.{'0a' * 16}.partial").write_bytes(b"half")
    (root / f".dataset.json.{'0b' * 16}").write_bytes(b"{")
    (folder / "lock").write_text('{"pid": 1, "host": "gone"}')
    (root / "segments" / "20990101T000000.000000Z_test_00000001").mkdir()
    report = found(root)
    assert report.is_clean
    assert report.episodes == 2
    assert [f.severity for f in report.findings] == [Severity.NOTE] * 7
    text = "\n".join(map(str, report.findings))
    for said in ("is not sealed: its writer was cut off; 2 episodes committed", "ends in a torn line of"):
        assert said in text
    for said in ("4 rows beyond what is committed", "lies beyond the committed rows", "holds no commit"):
        assert said in text
    assert text.count("is a draft that a killed writer left") == 2


def test_beside_a_running_writer_the_committed_is_verified_without_alarm(root: Path) -> None:
    with SegmentWriter(root, SPEC, "test") as writer:
        writer.append(toy_episode(3, SPEC))
        report = found(root)
        assert (list(report.findings), report.episodes) == ([], 4)


def test_what_does_not_belong_into_a_dataset_is_told(root: Path, tmp_path: Path) -> None:
    (root / "notes.txt").write_text("mine")
    (segment(root) / "obs" / "plot.png").write_bytes(b"png")
    toy_dataset(tmp_path / "inner", [5])
    (tmp_path / "inner").rename(root / "segments" / "inner")
    (root / "link").symlink_to(tmp_path)
    (root / "bad\nname").write_text("")
    report = found(root)
    warnings = {f.file: f.message for f in of(report, Severity.WARNING)}
    assert warnings == {
        "notes.txt": "is no file of a dataset",
        f"segments/{segment(root).name}/obs/plot.png": "is no file of a dataset",
        "segments/inner": "is a dataset inside this dataset, and not read",
        "link": f"is a symbolic link to {tmp_path}",
        "bad\nname": "is no file of a dataset",
    }
    assert report.is_clean
    assert all("\n" not in str(finding) for finding in report.findings)


def test_segments_of_another_spec_and_of_a_newer_format_are_found(root: Path, tmp_path: Path) -> None:
    toy_dataset(tmp_path / "other", [7], spec=toy_spec("arm"))
    other = segment(tmp_path / "other")
    other.rename(root / "segments" / other.name)
    [damage] = of(found(root), Severity.DAMAGE)
    assert "observation 'cube', cameras 'front' differ" in damage.message
    file = root / "segments" / other.name / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"] = guarded({**document["attributes"], "format_version": 99})
    file.write_text(json.dumps(document, indent=2))
    [damage] = of(found(root), Severity.DAMAGE)
    assert "has format version 99" in damage.message
    assert found(root).episodes == 3
    document = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(guarded({**document, "format_version": 99})))
    with pytest.raises(DataError, match="has format version 99; this robot_orl reads up to"):
        found(root)


def rewrite_line(log: Path, number: int, **changes: Any) -> None:
    lines = log.read_bytes().splitlines()
    content = from_line(lines[number])
    assert content is not None
    lines[number] = to_line({**content, **changes})[:-1]
    log.write_bytes(b"\n".join(lines) + b"\n")


def test_lengths_and_shapes_that_no_memory_could_hold_are_refused(root: Path) -> None:
    """Made by hand, with every checksum right."""
    rewrite_line(segment(root) / "episodes.jsonl", 2, length=10**15)
    file = segment(root) / "steps/reward/zarr.json"
    node = json.loads(file.read_text())
    node["shape"] = [10**15]
    node["chunk_grid"]["configuration"]["chunk_shape"] = [10**12]
    file.write_text(json.dumps(node, indent=2))
    group = json.loads((segment(root) / "zarr.json").read_text())
    group["attributes"]["nodes"]["steps/reward"] = node_checksum(node)
    group["attributes"] = guarded({k: v for k, v in group["attributes"].items() if k != "crc32c"})
    (segment(root) / "zarr.json").write_text(json.dumps(group, indent=2))
    report = found(root)
    text = "\n".join(map(str, of(report, Severity.DAMAGE)))
    assert "steps/reward/zarr.json: is not the layout that the segment's spec says" in text
    assert "steps/action/c/1/0: is missing (steps/action; episode 2)" in text
    assert report.episodes == 2


def test_a_chunk_that_unpacks_to_more_than_its_array_is_refused(root: Path) -> None:
    packed = blosc.compress(bytes(2**26), b"lz4", 5, 1)
    (segment(root) / "steps/reward/c/0").write_bytes(packed + crc32c(packed).to_bytes(4, "little"))
    [damage] = of(found(root), Severity.DAMAGE)
    assert damage.message == "cannot be unpacked to what its array is"
    assert indices(damage) == ["0", "1", "2"]


def test_episodes_under_one_uid_are_told(root: Path) -> None:
    with SegmentWriter(root, SPEC, "test") as writer:
        writer.append(toy_episode(1, SPEC), uid="u1")
    [twice] = of(found(root), Severity.WARNING)
    assert twice.message == "2 episodes have the uid u1"
    assert [name.rpartition(":")[2] for name in twice.episodes] == ["1", "0"]
    Dataset.open(root).delete(Dataset.open(root).records[1:2], "twice")
    assert not found(root).findings


def test_an_interrupted_episode_in_a_journal_is_a_note_and_a_damaged_journal_is_damage(root: Path) -> None:
    journal = Journals(root, SPEC, "test").open(EpisodeMeta())
    assert journal is not None
    journal.close()
    (root / "journal" / "broken.steps").write_text("{}\n")
    damage, note = found(root).findings
    assert (damage.severity, damage.file) == (Severity.DAMAGE, "journal/broken.steps")
    assert (note.severity, note.file) == (Severity.NOTE, f"journal/{journal.path.name}")


def test_without_its_dataset_file_the_segments_are_verified(root: Path) -> None:
    (root / "dataset.json").unlink()
    report = found(root)
    assert [str(f) for f in report.findings] == ["damage      dataset.json: is missing"]
    assert report.episodes == 3
    for path in (root / "nothing", segment(root) / "zarr.json"):
        with pytest.raises(DataError):
            found(path)


def test_a_line_names_a_few_episodes_and_json_all() -> None:
    ids = tuple(f"s:{i}" for i in range(500))
    finding = Finding(Severity.DAMAGE, "is missing", "segments/s/steps/reward/c/0", "steps/reward", ids)
    assert str(finding) == (
        "damage      segments/s/steps/reward/c/0: is missing "
        "(steps/reward; 500 episodes: 0, 1, 2 and 497 more)"
    )
    assert finding.to_dict()["episodes"] == ids


@pytest.fixture
def stranger_folder() -> Iterator[Path]:
    """A dataset used as somebody who is not root, who may read everything."""
    folder, user = Path(tempfile.mkdtemp()), os.geteuid()
    folder.chmod(0o755)
    toy_dataset(folder / "set", [0, 1])
    if user == 0:
        os.seteuid(65534)
    try:
        yield folder / "set"
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


def test_a_file_that_may_not_be_read_is_named(stranger_folder: Path) -> None:
    user = os.geteuid()
    os.seteuid(os.getuid())
    (segment(stranger_folder) / "steps/reward/c/0").chmod(0)
    os.seteuid(user)
    [damage] = of(found(stranger_folder), Severity.DAMAGE)
    assert damage.message == "cannot be read: Permission denied"
    assert (damage.file or "").endswith("steps/reward/c/0")


@pytest.mark.e2e
def test_a_dataset_in_an_object_store_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data")
    import obstore
    from object_store import BUCKET, object_store  # type: ignore[import-not-found,unused-ignore]
    from obstore.store import from_url

    with object_store() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/data/set"
        with SegmentWriter(url, SPEC, "test") as writer:
            writer.append(toy_episode(1, SPEC))
        report = verify(place_at(url))
        assert (list(report.findings), report.episodes) == ([], 1)
        name = Dataset.open(url).segments[0].path.name
        store = from_url(f"s3://{BUCKET}")
        obstore.put(store, f"data/set/segments/{name}/steps/reward/c/0", b"damaged")
        [damage] = of(verify(place_at(url)), Severity.DAMAGE)
        assert (damage.array, indices(damage)) == ("steps/reward", ["0"])
