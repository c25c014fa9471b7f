"""The background writer keeps the order, waits at close, and hides no failure."""

from pathlib import Path

import pytest
from made_episodes import assert_same_bits, made_episode, made_spec

from robot_orl.data.store import BackgroundWriter, Dataset, SegmentWriter
from robot_orl.errors import RunError

SPEC = made_spec()


def test_queued_episodes_are_all_committed_in_order_when_close_returns(tmp_path: Path) -> None:
    episodes = [made_episode(seed, 1 + seed % 7) for seed in range(12)]
    with BackgroundWriter(SegmentWriter(tmp_path / "set", SPEC, "test")) as writer:
        for episode in episodes:
            writer.append(episode)
    dataset = Dataset.open(tmp_path / "set")
    assert dataset.info().unsealed == 0
    for found, expected in zip(dataset.load_all(), episodes, strict=True):
        assert_same_bits(found, expected)
    writer.close()  # a second close does no harm
    with pytest.raises(RunError, match="closed"):
        writer.append(episodes[0])


def test_a_failure_of_the_thread_is_raised_and_what_came_before_is_kept(tmp_path: Path) -> None:
    good, wrong = made_episode(0, 3), made_episode(1, 3, sim_state=False)
    writer = BackgroundWriter(SegmentWriter(tmp_path / "set", SPEC, "test"))
    for episode in (good, wrong, good, good):
        try:
            writer.append(episode)
        except RunError:
            break
    with pytest.raises(RunError, match=r"sim/state.* \(\d episodes? not recorded\)"):
        writer.close()
    [found] = Dataset.open(tmp_path / "set").load_all()
    assert_same_bits(found, good)


def test_an_error_inside_the_block_is_told_before_one_of_the_writer(tmp_path: Path) -> None:
    def record() -> None:
        with BackgroundWriter(SegmentWriter(tmp_path, SPEC, "test")) as writer:
            writer.append(made_episode(1, 0))
            raise KeyError("the robot's own fault")

    with pytest.raises(KeyError, match="the robot's own fault"):
        record()
