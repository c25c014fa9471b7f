"""Checkpoints are kept by policy: the last, the one before it, the best, every N; a damaged one is no end."""

from pathlib import Path

import pytest

from robot_orl.errors import DataError, UsageError
from robot_orl.statistics import wilson_interval
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.runs.kept import Checkpoints, is_better


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Three saves, of steps 1, 2 and 3."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2, 3):
        checkpoints.save("offline", {"step": step})
    return checkpoints


def damage(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def evaluation(successes: int, episodes: int) -> Evaluation:
    return Evaluation(successes / episodes, wilson_interval(successes, episodes), 1.0, -1.0, episodes)


def names(kept: Checkpoints) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir())


def test_the_last_checkpoint_and_the_one_before_it_are_kept(kept: Checkpoints) -> None:
    assert names(kept) == ["offline.ckpt", "offline.previous.ckpt"]
    assert kept.load("offline") == {"step": 3}
    assert kept.load("offline", "previous") == {"step": 2}


def test_a_damaged_last_one_is_replaced_by_the_previous_with_one_warning(
    kept: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    last = kept.path("offline")
    damage(last)
    assert kept.load("offline") == {"step": 2}
    assert kept.find("offline") == (kept.path("offline", "previous"), {"step": 2})
    said = (
        f"warning: checkpoint {last} is damaged (its checksum does not match); offline.previous.ckpt, saved "
    )
    assert capsys.readouterr().err == said + "before it, is used\n"


def test_a_whole_previous_is_not_replaced_by_a_damaged_last_one(kept: Checkpoints) -> None:
    damage(kept.path("offline"))
    kept.load("offline")
    kept.save("offline", {"step": 3})
    assert kept.load("offline", "previous") == {"step": 2}
    kept.save("offline", {"step": 4})
    assert (kept.load("offline"), kept.load("offline", "previous")) == ({"step": 4}, {"step": 3})


def test_a_save_killed_between_its_renames_leaves_the_previous(kept: Checkpoints) -> None:
    kept.path("offline").replace(kept.path("offline", "previous"))  # and not yet the new one in its place
    assert kept.has("offline")
    assert kept.load("offline") == {"step": 3}
    kept.save("offline", {"step": 4})
    assert (kept.load("offline"), kept.load("offline", "previous")) == ({"step": 4}, {"step": 3})


def test_two_damaged_ones_are_named_in_one_line(kept: Checkpoints) -> None:
    last, previous = kept.path("offline"), kept.path("offline", "previous")
    damage(last)
    damage(previous)
    with pytest.raises(DataError) as caught:
        kept.load("offline")
    said = "is damaged (its checksum does not match)"
    assert str(caught.value) == f"checkpoint {last} {said}, and checkpoint {previous} {said}"


def test_a_first_checkpoint_that_is_damaged_has_nothing_to_fall_back_on(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("bc", {"step": 1})
    damage(checkpoints.path("bc"))
    with pytest.raises(DataError, match=r"bc\.ckpt is damaged \(its checksum does not match\)$"):
        checkpoints.load("bc")
    with pytest.raises(
        DataError, match=r"^cannot read checkpoint .*online\.ckpt: No such file or directory$"
    ):
        checkpoints.load("online")


def test_the_best_is_kept_by_its_lower_bound_and_not_by_its_rate(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.best("online") is None
    assert checkpoints.save_best("online", {"step": 1}, evaluation(10, 10), 1)  # 100%, bound 72%
    assert checkpoints.save_best("online", {"step": 2}, evaluation(95, 100), 2)  # 95%, bound 89%
    assert not checkpoints.save_best("online", {"step": 3}, evaluation(20, 20), 3)  # 100%, bound 84%
    checkpoints = Checkpoints(tmp_path)  # another process
    assert not checkpoints.save_best("online", {"step": 4}, evaluation(94, 100), 4)
    assert checkpoints.load("online", "best")["step"] == 2
    assert checkpoints.best("online") == (evaluation(95, 100), 2)
    assert names(checkpoints) == ["online.best.ckpt"]


@pytest.mark.parametrize("successes", [0, 7, 20])
def test_of_two_that_were_measured_alike_the_later_is_better(successes: int) -> None:
    assert is_better(evaluation(successes, 20), evaluation(successes, 20))
    assert not is_better(evaluation(6, 20), evaluation(7, 20))


def test_a_damaged_best_one_is_refused_and_replaced_by_the_next(
    kept: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        kept.load("offline", "best")
    path = kept.path("offline", "best")
    there = "of 'offline' there is: offline.ckpt, offline.previous.ckpt"
    assert str(caught.value) == f"no checkpoint {path}; {there}"
    kept.save_best("offline", {"step": 2}, evaluation(20, 20), 2)
    damage(path)
    with pytest.raises(DataError, match=rf"^checkpoint {path} is damaged"):
        kept.load("offline", "best")  # another policy in its place would be none that was asked for
    assert kept.save_best("offline", {"step": 3}, evaluation(1, 20), 3)
    assert "the next one measured takes its place" in capsys.readouterr().err
    assert kept.best("offline") == (evaluation(1, 20), 3)


def test_a_kept_checkpoint_stays_and_is_not_written_twice(kept: Checkpoints) -> None:
    kept.keep("offline", 3)
    assert kept.path("offline", "3").stat().st_ino == kept.path("offline").stat().st_ino
    kept.keep("offline", 3)
    assert names(kept) == ["offline.3.ckpt", "offline.ckpt", "offline.previous.ckpt"]
    for step in (4, 5, 6):
        kept.save("offline", {"step": step})
    assert kept.load("offline", "3") == {"step": 3}
    assert names(kept) == ["offline.3.ckpt", "offline.ckpt", "offline.previous.ckpt"]
    kept.keep("offline", 3)  # again, after a kill
    assert kept.load("offline", "3") == {"step": 6}


def test_where_links_are_unknown_a_kept_checkpoint_is_a_copy(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("robot_orl.training.runs.kept.os.link", refuse)
    kept.keep("offline", 3)
    assert kept.load("offline", "3") == {"step": 3}
    assert kept.path("offline", "3").stat().st_ino != kept.path("offline").stat().st_ino
