"""npz files: of all episodes, of one each, and our own."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finite_episodes import assert_returned, exported, imported

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store import Dataset
from robot_orl.errors import DataError, UsageError
from robot_orl.types import Actor, Camera, Episode

ROWS: dict[str, Any] = {
    "obs/arm": np.array([[0, 0], [1, 1], [2, 2], [10, 0], [11, 1]]),
    "actions": np.array([[0.5], [-0.5], [0], [1], [-1]]),
    "rewards": np.arange(5),
    "episode_ends": np.array([3, 5]),
    "control_hz": 20,
}


def made(path: Path, **changes: Any) -> Path:
    """A file with these arrays; None leaves one out."""
    arrays = {**ROWS, **{name.replace("__", "/"): rows for name, rows in changes.items()}}
    np.savez(path, **{name: rows for name, rows in arrays.items() if rows is not None})
    return path


def test_episode_ends_split_one_file(tmp_path: Path) -> None:
    spec, episodes = imported("npz", made(tmp_path / "x.npz", task="arm"))
    assert (spec.task, spec.control_hz, list(spec.observation)) == ("arm", 20.0, ["arm"])
    assert [len(e) for e in episodes] == [2, 1]  # the last step's s' is not in the file
    assert episodes[1].obs["arm"].tolist() == [[10, 0], [11, 1]]
    assert [e.meta.origin for e in episodes] == ["x.npz#0", "x.npz#1"]


def test_one_row_more_per_episode_completes_the_last_step(tmp_path: Path) -> None:
    rows = np.array([[0, 0], [1, 1], [2, 2], [3, 3], [10, 0], [11, 1], [12, 2]])
    frames = np.arange(7 * 12, dtype="u1").reshape(7, 2, 2, 3)
    spec, episodes = imported("npz", made(tmp_path / "x.npz", obs__arm=rows, images__top=frames))
    assert [len(e) for e in episodes] == [3, 2]
    assert episodes[1].obs["arm"].tolist() == [[10, 0], [11, 1], [12, 2]]
    assert episodes[1].reward.tolist() == [3, 4]
    assert spec.cameras == {"top": Camera(2, 2)}
    assert np.array_equal(episodes[1].images["top"], frames[4:])


def test_flags_split_where_there_are_no_ends(tmp_path: Path) -> None:
    ends = {"terminals": np.array([0, 1, 0, 0, 0], bool), "truncations": np.array([0, 0, 0, 1, 0], bool)}
    _, episodes = imported("npz", made(tmp_path / "x.npz", episode_ends=None, **ends))
    assert [e.obs["arm"][:, 0].tolist() for e in episodes] == [[0, 1, 1], [2, 10]]
    assert [e.meta.end_reason for e in episodes] == ["terminated", "horizon"]


def test_a_folder_holds_one_episode_per_file_in_the_order_of_numbers(tmp_path: Path) -> None:
    for number in (10, 9):
        made(tmp_path / f"e{number}.npz", episode_ends=None, rewards=np.full(5, number))
    _, episodes = imported("npz", tmp_path)
    assert [e.reward.tolist() for e in episodes] == [[9] * 4, [10] * 4]
    assert [e.meta.origin for e in episodes] == [f"{tmp_path.name}#e9.npz", f"{tmp_path.name}#e10.npz"]


def test_unknown_arrays_stay_unknown(tmp_path: Path) -> None:
    _, episodes = imported("npz", made(tmp_path / "x.npz", rewards=None))
    assert np.isnan(episodes[0].reward).all()
    assert episodes[0].meta.success is None
    assert (episodes[0].t_ns == -1).all()


def test_flat_observations_are_split_as_the_task_says(tmp_path: Path) -> None:
    whole = np.arange(5 * 31).reshape(5, 31) % 7
    path = made(
        tmp_path / "x.npz", obs__arm=None, observations=whole, actions=np.zeros((5, 4)), control_hz=None
    )
    spec, episodes = imported("npz", path, task="fetch_push")
    assert np.array_equal(spec.flatten(episodes[0].obs), whole[:3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": None}, "no 'actions'; it has: obs/arm"),
        ({"obs__arm": None}, "neither 'observations' nor 'obs/"),
        ({"obs__arm": np.zeros((4, 2))}, "'obs/arm' has 4 rows; expected 5"),
        ({"obs__arm": np.zeros((5, 2, 2))}, r"rows of shape \(2, 2\)"),
        ({"obs__arm": np.full((5, 2), np.nan)}, "holds nan"),
        ({"rewards": np.zeros((5, 2))}, r"'rewards' has rows of shape \(2,\)"),
        ({"actions": np.full((5, 1), np.inf)}, "'actions' holds inf"),
        ({"episode_ends": np.array([3, 4])}, "do not rise to 5"),
        ({"episode_ends": np.array([4, 3, 5])}, "do not rise to 5"),
        ({"episode_ends": None}, "does not say where its episodes end"),
        ({"actions": np.array([[None]] * 5)}, "holds object"),
        ({"actions": np.array([["a"]] * 5)}, "does not hold rows"),
        ({"images__top": np.zeros((5, 2, 2), "u1")}, r"expected \(H, W, 3\)"),
        ({"obs__arm": np.asfortranarray(np.zeros((5, 2)))}, "stored by columns"),
    ],
)
def test_wrong_content_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        imported("npz", made(tmp_path / "x.npz", **changes))
    assert "\n" not in str(raised.value)


def test_a_pickle_in_a_file_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "opened",))

    path = made(tmp_path / "x.npz", rewards=np.array([Bomb()] * 5, object))
    with pytest.raises(DataError, match="holds object"):
        imported("npz", path)
    assert not (tmp_path / "opened").exists()


def test_a_huge_declared_shape_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    content = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 100)}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(made(tmp_path / "x.npz", actions=None), "a") as archive:
        archive.writestr("actions.npy", content.getvalue() + bytes(64))
    with pytest.raises(DataError, match="but holds 64 of 400000000000000 bytes"):
        imported("npz", tmp_path / "x.npz")


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    content = made(tmp_path / "x.npz").read_bytes()
    place = content.index(np.array([0.5, -0.5]).tobytes())
    for damaged in (content[:-40], content[:place] + b"\xff" + content[place + 1 :], b"no npz"):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(DataError, match="damaged") as raised:
            imported("npz", tmp_path / "bad.npz")
        assert "\n" not in str(raised.value)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"holds no .npz file"):
        imported("npz", tmp_path / "none")


def test_an_export_comes_back_bit_for_bit_with_states_and_frames(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]]
) -> None:
    dataset, episodes = filmed
    folder = exported("npz", dataset, tmp_path / "out")
    assert sorted(file.name for file in folder.iterdir()) == [f"episode_00000{i}.npz" for i in range(3)]
    spec, found = imported("npz", folder)
    assert spec == dataset.spec
    assert_returned(found, episodes)
    with np.load(folder / "episode_000000.npz", allow_pickle=False) as arrays:
        assert arrays["obs/observation"].shape == (4, 5)


def test_an_export_is_a_folder(tmp_path: Path, filmed: tuple[Dataset, list[Episode]]) -> None:
    dataset, _ = filmed
    with pytest.raises(UsageError, match=r"choose a name without .npz"):
        exported("npz", dataset, tmp_path / "out.npz")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actor": np.full(5, 77)}, "'actor' holds 77, which is no actor"),
        ({"actor": np.full(5, 256 + Actor.HUMAN)}, "'actor' holds 257, which is no actor"),
        ({"t_ns": np.arange(5) / 20}, "'t_ns' holds float64; expected whole nanoseconds"),
        ({"episode_ends": np.array([2.5, 5])}, "'episode_ends' do not rise to 5"),
        ({"episode_ends": np.arange(1, 10**6)}, "'episode_ends' do not rise to 5"),
        ({"actions": np.zeros((5, 2**18 + 1), bool)}, "'action' has rows of 262145 values"),
    ],
)
def test_what_would_have_to_be_bent_is_refused(tmp_path: Path, changes: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        imported("npz", made(tmp_path / "x.npz", **changes))
