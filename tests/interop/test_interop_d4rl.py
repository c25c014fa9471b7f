"""D4RL files: as their documentation draws them, and our own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from finite_episodes import assert_returned, exported, finite_dataset, finite_episode, imported

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interop.base import Request, reader
from robot_orl.types import Actor, Episode
from tests.data.made_episodes import made_spec

# Rows 0-2 end in a terminal, 3-5 in a timeout, 6-7 with the file.
OBSERVATIONS = np.array([[0, 0], [1, 1], [2, 2], [10, 0], [11, 1], [12, 2], [20, 0], [21, 1]], "f4")
NEXT = np.array([[1, 1], [2, 2], [3, 3], [11, 1], [12, 2], [13, 3], [21, 1], [22, 2]], "f4")
ROWS: dict[str, Any] = {
    "observations": OBSERVATIONS,
    "actions": np.array([[0.5], [-0.5], [1.5], [0], [0], [-2], [1], [-1]], "f4"),
    "rewards": np.arange(8, dtype="f4"),
    "terminals": np.array([0, 0, 1, 0, 0, 0, 0, 0], bool),
    "timeouts": np.array([0, 0, 0, 0, 0, 1, 0, 0], bool),
}


def made(path: Path, **changes: Any) -> Path:
    """A file with these arrays; None leaves one out."""
    with h5py.File(path, "w") as file:
        for name, rows in {**ROWS, **changes}.items():
            if rows is not None:
                file[name.replace("__", "/")] = rows
    return path


def test_an_episode_ends_at_a_terminal_a_timeout_and_the_end_of_the_file(tmp_path: Path) -> None:
    spec, episodes = imported("d4rl", made(tmp_path / "x.hdf5", next_observations=NEXT), control_hz=20)
    assert [len(e) for e in episodes] == [3, 3, 2]
    assert [e.meta.end_reason for e in episodes] == ["terminated", "horizon", "unknown"]
    assert [e.terminated.tolist()[-1] for e in episodes] == [True, False, False]
    assert [e.truncated.tolist()[-1] for e in episodes] == [False, True, True]
    assert episodes[1].obs["observation"].tolist() == [[10, 0], [11, 1], [12, 2], [13, 3]]
    assert episodes[1].reward.tolist() == [3, 4, 5]
    assert [e.meta.origin for e in episodes] == ["x.hdf5#0", "x.hdf5#1", "x.hdf5#2"]
    assert (spec.task, spec.control_hz, spec.horizon, spec.action_size) == ("unknown", 20, 3, 1)


def test_without_next_observations_only_a_terminal_step_is_kept_at_an_episodes_end(tmp_path: Path) -> None:
    _, episodes = imported("d4rl", made(tmp_path / "x.hdf5"), control_hz=20)
    assert [len(e) for e in episodes] == [3, 2, 1]
    assert episodes[0].obs["observation"].tolist() == [[0, 0], [1, 1], [2, 2], [2, 2]]
    assert episodes[0].terminated.tolist() == [False, False, True]
    assert "repeats" in episodes[0].meta.notes
    assert episodes[1].obs["observation"].tolist() == [[10, 0], [11, 1], [12, 2]]
    assert episodes[1].reward.tolist() == [3, 4]
    assert episodes[1].truncated.tolist() == [False, True]
    assert episodes[1].meta.notes == ""


def test_what_d4rl_cannot_say_is_unknown(tmp_path: Path) -> None:
    _, episodes = imported("d4rl", made(tmp_path / "x.hdf5"), control_hz=20)
    episode = episodes[0]
    assert (episode.meta.success, episode.meta.quality, episode.meta.operator) == (None, None, "unknown")
    assert (episode.t_ns == -1).all()
    assert (episode.actor == Actor.UNKNOWN).all()
    assert np.isnan(episode.action_policy).all()
    assert episode.sim_state is None


def test_actions_are_clipped_and_counted(tmp_path: Path) -> None:
    source = reader("d4rl")(made(tmp_path / "x.hdf5"), Request(control_hz=20))
    assert source.provenance["clipped_action_values"] == 2  # 1.5 and -2
    assert next(source.episodes).action.tolist() == [[0.5], [-0.5], [1.0]]


def test_goal_achieved_tells_success_at_the_last_and_at_any_imported_step(tmp_path: Path) -> None:
    reached = np.array([[0], [1], [0], [0], [0], [1], [0], [1]], bool)  # row 5 and 7 are not imported
    _, episodes = imported("d4rl", made(tmp_path / "x.hdf5", infos__goal_achieved=reached), control_hz=20)
    assert [(e.meta.success, e.meta.success_any) for e in episodes] == [
        (False, True),
        (False, False),
        (False, False),
    ]


def test_shaped_rewards_become_the_tasks_where_success_is_told(tmp_path: Path) -> None:
    rows, reached = 4, np.array([0, 1, 1, 0], bool)
    arrays: dict[str, Any] = {
        "observations": np.zeros((rows, 39), "f4"),
        "next_observations": np.zeros((rows, 39), "f4"),
        "actions": np.zeros((rows, 28), "f4"),
        "rewards": np.array([-0.1, 10.5, 20, 0], "f4"),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.array([0, 0, 0, 1], bool),
    }
    door = made(tmp_path / "door.hdf5", **arrays, infos__goal_achieved=reached)
    source = reader("d4rl")(door, Request(task="adroit_door"))
    assert source.provenance["rewards"] == "as the task pays, from the success of each step; not the file's"
    assert next(source.episodes).reward.tolist() == [-1, 0, 0, -1]
    _, [other] = imported("d4rl", door, task="a task of somebody", control_hz=20)
    assert other.reward.tolist() == np.float32([-0.1, 10.5, 20, 0]).tolist()
    half = made(tmp_path / "z.hdf5", **arrays, infos__goal_achieved=np.array([0, 1, np.nan, 0], "f4"))
    told_in_part = reader("d4rl")(half, Request(task="adroit_door"))
    assert "rewards" not in told_in_part.provenance, "two kinds of rewards would be mixed"
    assert next(told_in_part.episodes).reward[1] == 10.5
    untold = reader("d4rl")(made(tmp_path / "y.hdf5", **arrays), Request(task="adroit_door"))
    assert "rewards" not in untold.provenance
    assert next(untold.episodes).reward[1] == 10.5


def test_without_timeouts_the_horizon_must_be_told(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5", timeouts=None, next_observations=None)
    with pytest.raises(UsageError, match="no 'timeouts': add horizon="):
        imported("d4rl", path, control_hz=20)
    path = made(tmp_path / "y.hdf5", timeouts=None)
    _, episodes = imported("d4rl", path, control_hz=20, horizon=2)
    # ends after rows 1 (horizon), 2 (terminal), 4 and 6 (horizon), 7; one-row rests have no complete step
    assert [e.obs["observation"][:, 0].tolist() for e in episodes] == [[0, 1], [2, 2], [10, 11], [12, 20]]


def test_a_task_of_this_stack_gives_the_spec_and_refuses_other_widths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = made(
        tmp_path / "door.hdf5",
        observations=rng.normal(size=(8, 39)),
        actions=rng.uniform(-1, 1, (8, 28)),
    )
    spec, episodes = imported("d4rl", path, task="adroit_door")
    assert (spec.task, spec.control_hz) == ("adroit_door", 100.0)
    assert episodes[0].obs["observation"].dtype == np.float32
    with pytest.raises(DataError, match="39 and actions of 28 values; task adroit_hammer has 46 and 26"):
        imported("d4rl", path, task="adroit_hammer")
    with pytest.raises(UsageError, match="runs at 100 Hz, not at control_hz=50"):
        imported("d4rl", path, task="adroit_door", control_hz=50)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": None}, "no readable 'rewards'"),
        ({"actions": np.zeros((7, 1))}, "'actions' has 7 rows; expected 8"),
        ({"rewards": np.zeros((8, 2))}, r"'rewards' has rows of shape \(2,\)"),
        ({"observations": np.zeros((8, 2, 2))}, r"'observations' has rows of shape \(2, 2\)"),
        ({"observations": np.zeros((0, 2))}, "holds no transition"),
        ({"observations": np.array([b"x"] * 8)}, "expected numbers"),
        ({"actions": np.full((8, 1), np.nan)}, "'actions' holds nan in its row 0"),
        ({"observations": np.where(OBSERVATIONS == 11, np.nan, OBSERVATIONS)}, "episode 1.* holds nan"),
        ({"next_observations": NEXT + 1}, "is not 'observations' of row 1"),
        ({"observations": None, "observations__x": np.zeros(8)}, "is a group"),
    ],
)
def test_wrong_content_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = made(tmp_path / "x.hdf5", **changes)
    with pytest.raises(DataError, match=message) as raised:
        imported("d4rl", path, control_hz=20)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    whole = made(tmp_path / "x.hdf5", infos__padding=np.random.default_rng(0).normal(size=5000))
    torn, other = tmp_path / "torn.hdf5", tmp_path / "text.hdf5"
    torn.write_bytes(whole.read_bytes()[:-9000])
    other.write_text("no HDF5")
    for path, message in (
        (torn, "is damaged"),
        (other, "not an HDF5 file"),
        (tmp_path, "is a folder"),
        (tmp_path / "none", "no file"),
    ):
        with pytest.raises(DataError, match=message) as raised:
            imported("d4rl", path, control_hz=20)
        assert "\n" not in str(raised.value)


def test_rows_that_were_declared_but_never_written_are_not_data(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5", observations=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("observations", shape=(10**10, 100), dtype="f4", chunks=(8, 100))
        file["observations"][:4] = 1
    with pytest.raises(DataError, match="but only 0% of it was written"):
        imported("d4rl", path, control_hz=20)


def test_texts_that_were_declared_but_never_written_are_not_made(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        file["metadata/robot_orl/ends"] = np.array([8])
        file.create_dataset("metadata/robot_orl/episodes", (1,), "S2000000000", chunks=(1,))
    with pytest.raises(DataError, match="'/metadata/robot_orl/episodes' does not hold 1 texts"):
        imported("d4rl", path, control_hz=20)


@pytest.mark.parametrize("name", ["observations", "infos", "metadata", "metadata/key"])
def test_links_to_other_files_are_not_followed(tmp_path: Path, name: str) -> None:
    made(tmp_path / "other.hdf5", metadata__key="secret", infos__success=np.ones(8))
    path = made(tmp_path / "x.hdf5", **({"observations": None} if name == "observations" else {}))
    with h5py.File(path, "a") as file:
        file[name] = h5py.ExternalLink("other.hdf5", name)
    with pytest.raises(DataError, match=f"'{name}' is a link to another file"):
        imported("d4rl", path, control_hz=20)


@pytest.mark.parametrize("name", ["actions", "metadata/key"])
def test_content_that_lies_in_another_file_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"a" * 64)
    path = made(tmp_path / "x.hdf5", **({"actions": None} if name == "actions" else {}))
    with h5py.File(path, "a") as file:
        kept = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        kept.set_external(bytes(tmp_path / "secret"), 0, 64)
        kind, space = h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((8, 1))
        if name != "actions":
            kind, space = h5py.h5t.C_S1.copy(), h5py.h5s.create(h5py.h5s.SCALAR)
            kind.set_size(64)
        group = file.require_group("metadata") if name != "actions" else file
        h5py.h5d.create(group.id, name.rpartition("/")[2].encode(), kind, space, kept)
    with pytest.raises(DataError, match=f"'{name}' lies in another file"):
        imported("d4rl", path, control_hz=20)


def test_a_link_within_the_file_is_followed(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        file.move("observations", "seen")
        file["observations"] = h5py.SoftLink("/seen")
    assert [len(e) for e in imported("d4rl", path, control_hz=20)[1]] == [3, 2, 1]


def test_nan_is_neither_success_nor_failure_and_no_end(tmp_path: Path) -> None:
    reached = np.array([0, 0, 1, 0, np.nan, 0, 0, 0])
    _, episodes = imported("d4rl", made(tmp_path / "x.hdf5", infos__success=reached), control_hz=20)
    assert [e.meta.success for e in episodes] == [True, None, False]
    with pytest.raises(DataError, match=r"x.hdf5: 'terminals' holds NaN in its row 4"):
        imported("d4rl", made(tmp_path / "x.hdf5", terminals=reached), control_hz=20)


def test_an_export_comes_back_bit_for_bit(tmp_path: Path) -> None:
    dataset, episodes = finite_dataset(tmp_path / "data", cameras=False)
    path = exported("d4rl", dataset, tmp_path / "x.hdf5")
    spec, found = imported("d4rl", path)
    assert spec == dataset.spec
    assert_returned(found, episodes)


def test_an_export_is_what_d4rl_documents(tmp_path: Path, filmed: tuple[Dataset, list[Episode]]) -> None:
    dataset, episodes = filmed
    with h5py.File(exported("d4rl", dataset, tmp_path / "x.hdf5")) as file:
        rows = {name: file[name][:] for name in ("observations", "next_observations", "actions", "rewards")}
        terminals, timeouts = file["terminals"][:], file["timeouts"][:]
    flat = [dataset.spec.flatten(episode.obs) for episode in episodes]
    assert np.array_equal(rows["observations"], np.concatenate([part[:-1] for part in flat]))
    assert np.array_equal(rows["next_observations"], np.concatenate([part[1:] for part in flat]))
    assert rows["actions"].shape == (9, 2)
    assert np.flatnonzero(terminals).tolist() == [2, 8]
    assert np.flatnonzero(timeouts).tolist() == [3]


def test_a_recording_that_just_ends_does_not_run_into_the_next(tmp_path: Path) -> None:
    episode = replace(finite_episode(made_spec(), 2, 4), terminated=np.zeros(4, bool))
    with SegmentWriter(tmp_path / "data", made_spec(), "made") as writer:
        writer.append(episode)
    with h5py.File(exported("d4rl", Dataset.open(tmp_path / "data"), tmp_path / "x.hdf5")) as file:
        assert file["timeouts"][:].tolist() == [False, False, False, True]


LIMITED = """
import resource, sys
from pathlib import Path
import h5py, numpy, torch, envs
from robot_orl.interop.base import Request, reader
reader("d4rl"); before = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (before + 2**28, before + 2**28))
source = reader("d4rl")(Path(sys.argv[1]), Request(control_hz=20))
print(source.count, sum(len(episode) for episode in source.episodes))
"""


@pytest.mark.e2e
def test_a_file_larger_than_memory_is_imported(tmp_path: Path) -> None:
    """1 GB of zeros, packed; 256 MB more than before may be addressed. Read at once it would not fit."""
    path, rows = tmp_path / "x.hdf5", 250_000
    with h5py.File(path, "w") as file:
        packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}
        file.create_dataset("observations", data=np.zeros((rows, 1000), "f4"), chunks=(500, 1000), **packed)
        file["actions"], file["rewards"] = np.zeros((rows, 4), "f4"), np.zeros(rows, "f4")
        file["terminals"] = np.zeros(rows, bool)
        file["timeouts"] = np.arange(rows) % 1000 == 999
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False
    )
    assert child.stdout.split() == ["250", "249750"], child.stderr[-500:]
