"""Repair keeps every intact episode with its labels and destroys nothing, whenever it is killed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from curation_toys import files, numbers, same, toy_dataset, toy_episode, toy_spec

from robot_orl.curation.checking.mending import Mending
from robot_orl.curation.checking.repair import Plan, make_plan
from robot_orl.curation.checking.verify import verify
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.places import place_at
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.types import Array, Episode, EpisodeMeta

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
QUARANTINE = "quarantine/20300102T030405.000000Z"
SPEC = toy_spec()
PROGRAM = Path(__file__).with_name("killed_repair.py")
VERSION_1 = Path(__file__).parents[1] / "data" / "version_1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two segments: sealed with labels, history and a deleted episode; and one whose writer was killed."""
    dataset = toy_dataset(tmp_path / "set", [0, 1, 2, 3])
    dataset.relabel(dataset.episodes[:1], "seen", notes="ü", quality=0.5)
    dataset.delete(dataset.episodes[1:2], "bad")
    dataset.set_rewards([(dataset.records[2], np.zeros(3, "f4"))], "again")
    writer = SegmentWriter(tmp_path / "set", SPEC, "toy")
    for number in (4, 5):
        writer.append(toy_episode(number, SPEC), f"u{number}")
    writer._abandon()
    return tmp_path / "set"


def segments(root: Path) -> list[Path]:
    return sorted(entry for entry in (root / "segments").iterdir())


def repair(root: Path) -> Plan:
    plan = make_plan(root)
    Mending(plan, NOW).run()
    return plan


def assert_kept(root: Path, kept: list[int], before: Dataset) -> None:
    """The dataset is clean and holds these episodes as they were."""
    report = verify(place_at(root))
    assert list(map(str, report.findings)) == []
    old = {record.uid: record for record in before.records}
    now = Dataset.open(root)
    assert numbers(now.records) == kept
    for record in now.records:
        was = old[record.uid]
        assert (record.meta, record.deleted, record.crc32c) == (was.meta, was.deleted, was.crc32c)
        assert record.episode_return == was.episode_return
        assert same(now.load(record), toy_with_rewards(record.meta.seed or 0, was.reward, record.meta))


def toy_with_rewards(number: int, reward: Array | None, meta: EpisodeMeta) -> Episode:
    episode = replace(toy_episode(number, SPEC), meta=meta)
    return episode if reward is None else replace(episode, reward=reward)


def test_a_sound_dataset_needs_no_repair(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "set", [0, 1])
    before = files(tmp_path / "set")
    plan = make_plan(tmp_path / "set")
    assert (list(plan.steps), plan.summary()) == ([], "2 of 2 episodes intact")
    assert files(tmp_path / "set") == before


def lose(name: str) -> Callable[[Path], None]:
    return lambda segment: (segment / name).unlink()


def damage_second_line(segment: Path) -> None:
    log = segment / "episodes.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[1].replace(b"ann", b"bob") + b"".join(lines[2:]))


def spoil_first_row(segment: Path) -> None:
    import zarr

    zarr.open_array(segment / "steps/reward", mode="r+")[0] = 7.0


DAMAGES: dict[str, tuple[Callable[[Path], None], list[int]]] = {
    "array metadata": (lose("steps/action/zarr.json"), [0, 1, 2, 3, 4, 5]),
    "group metadata": (lose("zarr.json"), [0, 1, 2, 3, 4, 5]),
    "a row": (spoil_first_row, [1, 2, 3, 4, 5]),
    "a chunk": (lose("steps/t_ns/c/0"), [4, 5]),
    "the log": (lose("episodes.jsonl"), [4, 5]),
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", DAMAGES)
def test_intact_episodes_stay_as_they_were_with_all_that_is_known(root: Path, name: str) -> None:
    before = Dataset.open(root)
    damage, kept = DAMAGES[name]
    damage(segments(root)[0])
    damaged = files(segments(root)[0])
    plan = repair(root)
    assert_kept(root, kept, before)
    [away] = list((root / QUARANTINE / "segments").iterdir())
    assert files(away) == damaged  # nothing is destroyed
    report = json.loads((root / QUARANTINE / "report.json").read_text())
    assert report["done"] is True
    assert report["steps"] == [str(step) for step in plan.steps]
    assert report["kept"] == len(kept)
    assert len(report["lost"]) + report["lost_without_a_line"] == 6 - len(kept)
    assert not make_plan(root).steps


def test_an_episode_whose_line_is_damaged_hides_none_behind_it(root: Path) -> None:
    before = Dataset.open(root)
    damage_second_line(segments(root)[0])
    old = segments(root)[0].name
    plan = repair(root)
    assert plan.summary() == "5 of 6 episodes intact"
    assert str(plan.steps[0]) == (
        f"keep 3 intact episodes of segments/{old} in a new segment, and move it to quarantine: "
        "1 episode cannot be saved"
    )
    assert_kept(root, [0, 2, 3, 4, 5], before)
    new = Dataset.open(root).segments[0]
    assert new.attributes["env_kwargs"] == {"part": 0}
    assert new.attributes["config"]["replaces"] == [old]
    reasons = [json.loads(line).get("reason") for line in new.place.read_log("episodes.jsonl").splitlines()]
    assert reasons == [None, None, None, "seen", "again"]  # the history under new ids


@pytest.mark.e2e
@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_the_dataset_file_is_written_anew_from_the_segments(root: Path, damage: str) -> None:
    before, content = Dataset.open(root), (root / "dataset.json").read_bytes()
    if damage == "lost":
        (root / "dataset.json").unlink()
    else:
        (root / "dataset.json").write_bytes(content.replace(b"arm", b"leg"))
    repair(root)
    assert (root / "dataset.json").read_bytes() == content
    assert_kept(root, [0, 1, 2, 3, 4, 5], before)
    assert (root / QUARANTINE / "dataset.json").exists() == (damage == "changed")


def test_segments_that_disagree_cannot_tell_the_spec(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "set", [0])
    toy_dataset(tmp_path / "other", [1], spec=toy_spec("arm", width=3))
    [other] = segments(tmp_path / "other")
    other.rename(tmp_path / "set" / "segments" / other.name)
    (tmp_path / "set" / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"dataset.json is damaged and cannot be written anew: .* disagree"):
        make_plan(tmp_path / "set")


@pytest.mark.e2e
def test_what_a_killed_writer_left_is_cut_sealed_and_put_away(root: Path) -> None:
    before = Dataset.open(root)
    folder = segments(root)[1]
    with SegmentWriter(root, SPEC, "toy") as writer:  # rows beyond the last line, as after a kill
        writer.append(toy_episode(9, SPEC))
    shutil.rmtree(segments(root)[2])
    log = folder / "episodes.jsonl"
    torn = log.read_bytes()[:40]
    log.write_bytes(log.read_bytes() + torn)
    (folder / "steps/reward/c/3").write_bytes(b"nobody's")
    (root / f".dataset.json.{'0b' * 16}").write_bytes(b"{")
    (root / "segments" / "20990101T000000.000000Z_toy_00000001").mkdir()
    (root / "mine.txt").write_text("a person's")
    plan = repair(root)
    assert [str(step) for step in plan.steps] == [
        f"cut 40 torn bytes off the log of segments/{folder.name}",
        f"move segments/{folder.name}/steps/reward/c/3 to quarantine: beyond the committed rows",
        f"seal segments/{folder.name} with 2 episodes",
        "move segments/20990101T000000.000000Z_toy_00000001 to quarantine: "
        "holds no commit: its writer was cut off before its first episode",
        f"move .dataset.json.{'0b' * 16} to quarantine: a draft that a killed writer left",
    ]
    assert (root / QUARANTINE / "segments" / folder.name / "episodes.jsonl").read_bytes().endswith(torn)
    assert (root / "mine.txt").exists()
    (root / "mine.txt").unlink()
    assert_kept(root, [0, 1, 2, 3, 4, 5], before)
    assert all(segment.is_sealed for segment in Dataset.open(root).segments)


@pytest.mark.e2e
def test_a_dry_run_says_the_same_and_changes_no_byte(root: Path) -> None:
    lose("steps/action/zarr.json")(segments(root)[0])
    (root / "dataset.json").unlink()
    before = files(root), sorted(root.rglob("*"))
    dry = [str(step) for step in make_plan(root).steps]
    assert (files(root), sorted(root.rglob("*"))) == before
    assert [str(step) for step in repair(root).steps] == dry


@pytest.mark.e2e
def test_a_journal_is_recovered_once_the_rest_is_mended(root: Path) -> None:
    journal = Journals(root, SPEC, "toy").open(EpisodeMeta())
    assert journal is not None
    journal.close()
    lose("zarr.json")(segments(root)[1])
    plan = repair(root)
    assert str(plan.steps[-1]).startswith("recover 1 interrupted episode: ")
    assert not journal.path.exists()
    assert len(Dataset.open(root).records) == 6


@pytest.mark.e2e
def test_nothing_is_repaired_while_somebody_writes(root: Path) -> None:
    with SegmentWriter(root, SPEC, "toy") as writer:
        writer.append(toy_episode(7, SPEC))
        with pytest.raises(DataError, match=r"is being written by process \d+: wait for it"):
            make_plan(root)
    plan = make_plan(root)
    held = place_at(segments(root)[1]).hold()
    with pytest.raises(DataError, match=r"is being written by process \d+: wait for it"):
        Mending(plan, NOW).run()
    held.close()


@pytest.mark.e2e
def test_an_object_store_a_link_and_what_may_not_be_read_are_left_alone(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies in an object store: copy it to a folder for this"):
        make_plan("s3://bucket/set")
    elsewhere = tmp_path / "elsewhere"
    segments(root)[0].rename(elsewhere)
    (root / "segments" / "0_link").symlink_to(elsewhere)
    lose("zarr.json")(elsewhere)
    with pytest.raises(DataError, match="0_link is a symbolic link to a damaged segment: repair it there"):
        make_plan(root)


def test_a_file_that_may_not_be_read_is_not_taken_for_lost(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"repair_{os.getpid()}"
    toy_dataset(folder / "set", [0])
    chunk = segments(folder / "set")[0] / "steps/reward/c/0"
    chunk.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(RunError, match=r"may not read .*steps/reward/c/0: repair needs to"):
            make_plan(folder / "set")
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


@pytest.mark.e2e
def test_episodes_of_the_first_format_survive_without_a_uid(tmp_path: Path) -> None:
    root = Path(shutil.copytree(VERSION_1, tmp_path / "set"))
    before = Dataset.open(root)
    lose("steps/action/zarr.json")(segments(root)[0])
    repair(root)
    after = Dataset.open(root)
    assert verify(place_at(root)).is_clean
    assert [r.crc32c for r in after.records] == [r.crc32c for r in before.records]
    assert [r.meta for r in after.records] == [r.meta for r in before.records]
    assert len({r.uid for r in after.records}) == len(after.records)


@pytest.mark.e2e
def test_a_full_disk_is_one_line_and_loses_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Dataset.open(root)
    spoil_first_row(segments(root)[0])
    plan = make_plan(root)
    (root / "quarantine").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write .*quarantine.*nothing is lost: repair again"):
        Mending(plan, NOW).run()
    (root / "quarantine").unlink()
    repair(root)
    assert_kept(root, [1, 2, 3, 4, 5], before)


@pytest.mark.e2e
def test_after_any_damage_repair_leaves_what_was_intact_and_nothing_else(root: Path, tmp_path: Path) -> None:
    """A loop over random damages of one to three files."""
    before, rng = Dataset.open(root), np.random.default_rng(0)
    for trial in range(8):
        copy = Path(shutil.copytree(root, tmp_path / f"{trial}"))
        for name in rng.permutation(sorted(files(copy)))[: rng.integers(1, 4)]:
            hurt(copy / name, rng)
        intact = verify(place_at(copy)).episodes
        assert repair(copy).kept == intact
        report = verify(place_at(copy))
        assert [str(finding) for finding in report.findings] == []
        found = Dataset.open(copy, allow_empty=True)
        assert len({record.uid for record in found.records}) == len(found.records) == intact
        by_uid = {record.uid: record for record in before.records}
        for record in found.records:
            assert record.crc32c == by_uid[record.uid].crc32c
            found.load(record)  # as its checksums say
        shutil.rmtree(copy)


def hurt(file: Path, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    place = int(rng.integers(len(content)))
    match rng.integers(4):
        case 0:
            content[place] ^= 1 << int(rng.integers(8))
        case 1:
            content = content[:place]
        case 2:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        case _:
            file.unlink()
            return
    file.write_bytes(content)


@pytest.mark.e2e
def test_killed_at_any_moment_the_next_repair_ends_in_the_same_state(root: Path, tmp_path: Path) -> None:
    before = Dataset.open(root)
    damage_second_line(segments(root)[0])
    (root / "dataset.json").unlink()
    (tmp_path / "copies").mkdir()
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(root), str(tmp_path / "copies")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    moments = done.stdout.split()
    assert len(moments) >= 8
    for moment in moments:
        copy = tmp_path / "copies" / moment
        repair(copy)
        assert_kept(copy, [0, 2, 3, 4, 5], before)


def test_one_changed_byte_of_a_chunk_costs_the_one_episode_that_it_belongs_to(tmp_path: Path) -> None:
    """Random numbers hardly compress: a byte of the file is a byte of one number."""
    spec, rng = toy_spec(), np.random.default_rng(0)
    with SegmentWriter(tmp_path / "set", spec, "toy") as writer:
        for number in range(10):
            episode = toy_episode(number, spec, length=40)
            obs = {key: rng.normal(size=rows.shape).astype("f4") for key, rows in episode.obs.items()}
            writer.append(replace(episode, obs=obs))
    before = Dataset.open(tmp_path / "set")
    key = next(iter(spec.observation))
    [chunk] = [
        file for file in (segments(tmp_path / "set")[0] / "obs" / key / "c").rglob("*") if file.is_file()
    ]
    content = bytearray(chunk.read_bytes())
    content[100] ^= 4  # behind Blosc's header and offsets: in the lowest bytes of the first numbers
    chunk.write_bytes(content)
    report = verify(place_at(tmp_path / "set"))
    [finding] = report.findings
    assert (finding.message, len(finding.episodes)) == ("does not match its checksum", 1)
    plan = repair(tmp_path / "set")
    assert (plan.kept, len(plan.lost)) == (9, 1)
    now = Dataset.open(tmp_path / "set")
    assert [(r.uid, r.crc32c) for r in now.records] == [
        (r.uid, r.crc32c) for r in before.records if r.id not in finding.episodes
    ]
    assert len(list(now.load_all())) == 9  # each checksum verified


def test_a_damaged_checksum_of_a_chunk_costs_no_episode(tmp_path: Path) -> None:
    before = toy_dataset(tmp_path / "set", [0, 1, 2])
    chunk = segments(tmp_path / "set")[0] / "steps" / "reward" / "c" / "0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    [finding] = verify(place_at(tmp_path / "set")).findings
    assert (finding.message, finding.episodes) == ("does not match its checksum", ())
    repair(tmp_path / "set")
    assert_kept(tmp_path / "set", [0, 1, 2], before)
