"""What is drawn of an episode is where everything was, and what cannot be drawn is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browse_toys import STEPS, episode, recorded, spec

import envs
from data_collection.browse.pictures import jpeg, packed
from data_collection.browse.worlds import Worlds
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Observation, Proposal


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
    assert spec_of(worlds.of(dataset.segments[0]).env).cameras == {}, "which would need OpenGL"
    worlds.close()


def test_without_states_or_without_its_task_an_episode_is_curves_only(tmp_path: Path) -> None:
    dataset = Dataset.open(recorded(tmp_path / "a", [episode(0, has_state=False)]))
    worlds, segment = Worlds(dataset.spec), dataset.segments[0]
    with pytest.raises(DataError, match="no simulator state was recorded, and its observation does not say"):
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


def test_an_arm_that_is_no_simulation_is_drawn_where_it_observed_itself(tmp_path: Path) -> None:
    env = envs.make("arm_reach")

    def choose(obs: Observation) -> Proposal:
        return Proposal(np.full(spec_of(env).action_size, 0.4, "f4"), Actor.POLICY)

    made = rollout(env, choose, seed=3, steps=12)
    real = replace(made, sim_state=None)
    for name, one in (("sim", made), ("real", real)):
        with SegmentWriter(tmp_path / name, spec_of(env), "toy") as writer:
            writer.append(one)
    simulated, observed = (Dataset.open(tmp_path / name) for name in ("sim", "real"))
    worlds = Worlds(observed.spec)
    takes = [worlds.take(one.segments[0], one.load(one.episodes[0]), "") for one in (simulated, observed)]
    first, second = (take.moments for take in takes)
    assert first is not None
    assert second is not None
    last = {name: rows[-1] for name, rows in real.obs.items()}
    assert np.array_equal(worlds.of(observed.segments[0]).observed(last), second[-1])
    assert np.abs(first[-1] - first[0]).max() > 0.1
    assert np.abs(first - second).max() < 1e-4
    worlds.close()
    gone = replace(real, obs={**real.obs, "observation": real.obs["observation"] * np.nan})
    assert worlds.take(observed.segments[0], gone, "").moments is None
    worlds.close()


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
