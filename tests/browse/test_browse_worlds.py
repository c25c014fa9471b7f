"""What is drawn of an episode is where everything was, and what cannot be drawn is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browse_toys import STEPS, episode, recorded, spec

from data_collection.browse.pictures import jpeg, packed
from data_collection.browse.worlds import Worlds
from robot_orl.data.store import Dataset
from robot_orl.errors import DataError


def header_of(take: bytes) -> dict[str, Any]:
    length = int(np.frombuffer(take[:4], np.uint32)[0])
    return json.loads(take[4 : 4 + length])  # type: ignore[no-any-return]


def test_the_moment_is_that_of_the_recorded_state_and_the_last_of_its_take(tmp_path: Path) -> None:
    made = episode(5)
    dataset = Dataset.open(recorded(tmp_path / "a", [made]))
    worlds, segment = Worlds(dataset.spec), dataset.segments[0]
    assert made.sim_state is not None
    moment = worlds.of(segment).moment(made.sim_state[-1])
    take = worlds.take(segment, dataset.load(dataset.episodes[0]), "title")
    assert take.moments is not None
    assert take.moments.shape == (STEPS + 1, len(moment))
    assert np.array_equal(take.moments[-1], moment)
    assert not np.array_equal(take.moments[0], moment)
    row = header_of(worlds.of(segment).scene.packed)["tool"]
    tool = moment[12 * row : 12 * row + 3]
    shown = made.obs["achieved_goal"][-1]
    assert np.abs(tool - shown).max() < 5e-3, "a substep ahead of the observation"
    assert np.abs(tool - made.obs["achieved_goal"][0]).max() > 2e-2
    assert worlds.of(segment) is worlds.of(segment), "a task is made once"
    worlds.close()


def test_cameras_of_a_recording_are_not_needed_to_draw_it(tmp_path: Path) -> None:
    dataset = Dataset.open(recorded(tmp_path / "a", [episode(0, has_camera=True)]))
    worlds = Worlds(dataset.spec)
    take = worlds.take(dataset.segments[0], dataset.load(dataset.episodes[0]), "")
    assert header_of(take.packed())["moments"] == STEPS + 1
    worlds.close()


def test_without_states_or_without_its_task_an_episode_is_curves_only(tmp_path: Path) -> None:
    dataset = Dataset.open(recorded(tmp_path / "a", [episode(0, has_state=False)]))
    worlds, segment = Worlds(dataset.spec), dataset.segments[0]
    assert worlds.name(segment) is None
    with pytest.raises(DataError, match="no simulator state was recorded"):
        worlds.of(segment)
    take = worlds.take(segment, dataset.load(dataset.episodes[0]), "")
    assert (take.moments, len(take)) == (None, STEPS)

    drawn = Dataset.open(recorded(tmp_path / "b", [episode(0)]))
    other = Worlds(replace(spec(), task="tidy_up"))
    with pytest.raises(DataError, match="tidy_up cannot be shown in 3-D: no such task is installed here"):
        other.of(drawn.segments[0])
    wider = Worlds(replace(spec(), control_hz=100.0))
    with pytest.raises(DataError, match="it is another task now: control_hz differ"):
        wider.of(drawn.segments[0])
    assert wider.take(drawn.segments[0], drawn.load(drawn.episodes[0]), "").moments is None


def test_a_state_that_was_not_kept_leaves_the_curves(tmp_path: Path) -> None:
    made = episode(0)
    assert made.sim_state is not None
    gap = made.sim_state.copy()
    gap[3] = np.nan
    dataset = Dataset.open(recorded(tmp_path / "a", [replace(made, sim_state=gap)]))
    worlds = Worlds(dataset.spec)
    assert worlds.take(dataset.segments[0], dataset.load(dataset.episodes[0]), "").moments is None
    worlds.close()


def test_frames_go_as_pictures_each_with_its_size() -> None:
    frames = np.zeros((2, 20, 30, 3), np.uint8)
    frames[1] = (200, 40, 10)
    content = packed(frames)
    count, first, second = np.frombuffer(content[:12], np.uint32)
    assert (int(count), 12 + int(first) + int(second)) == (2, len(content))
    shown = cv2.imdecode(np.frombuffer(content[12 + first :], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (20, 30, 3)
    assert np.abs(shown[10, 15].astype(int) - (10, 40, 200)).max() < 12, "red first, OpenCV's is last"
    assert packed(frames[:0]) == np.uint32(0).tobytes()


def test_a_large_frame_is_made_smaller_in_its_shape() -> None:
    shown = cv2.imdecode(np.frombuffer(jpeg(np.zeros((480, 800, 3), np.uint8), 200), np.uint8), 1)
    assert shown.shape == (120, 200, 3)
