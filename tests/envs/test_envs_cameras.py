"""What a task's cameras see is recorded beside its observations, and changes nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from robot_orl.cli import main
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import RunError, UsageError
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Camera, Observation, Proposal

needs_opengl = pytest.mark.skipif(
    os.environ.get("MUJOCO_GL") == "disable", reason="no OpenGL library on this system to draw with"
)
SIZES = {"external_camera_0": [24, 32], "default": [33, 17]}


@pytest.fixture(scope="module")
def filmed() -> Iterator[Any]:
    env = envs.make("fetch_push", cameras=SIZES)
    yield env
    env.close()


def wave(obs: Observation) -> Proposal:
    return Proposal(np.sin(40 * obs["observation"][:4]).astype(np.float32), Actor.SCRIPT)


@needs_opengl
def test_the_spec_says_what_the_frames_are(filmed: Any) -> None:
    filmed.reset(seed=0)
    frames = filmed.unwrapped.frames()
    assert filmed.unwrapped.task_spec.cameras == {
        "external_camera_0": Camera(24, 32),
        "default": Camera(33, 17),
    }
    assert {name: (frame.shape, frame.dtype) for name, frame in frames.items()} == {
        "external_camera_0": ((24, 32, 3), np.uint8),
        "default": ((33, 17, 3), np.uint8),
    }
    assert all(frame.std() > 10 for frame in frames.values()), "they show something"
    assert filmed.unwrapped.task_spec.without_cameras() == spec_of(envs.make("fetch_push"))


@pytest.mark.e2e
@needs_opengl
def test_recording_frames_changes_no_bit_of_the_episode(filmed: Any) -> None:
    plain = rollout(envs.make("fetch_push"), wave, seed=4)
    seen = rollout(filmed, wave, seed=4, keep_frames=True)
    assert plain.sim_state is not None
    assert seen.sim_state is not None
    assert seen.sim_state.tobytes() == plain.sim_state.tobytes()
    assert seen.action.tobytes() == plain.action.tobytes()
    assert {name: rows.shape for name, rows in seen.images.items()} == {
        "external_camera_0": (51, 24, 32, 3),
        "default": (51, 33, 17, 3),
    }
    filmed.unwrapped.set_sim_state(seen.sim_state[0])
    np.testing.assert_array_equal(filmed.unwrapped.frames()["default"], seen.images["default"][0])
    assert (seen.images["default"][0] != seen.images["default"][50]).any(), "each step has its own"
    assert plain.images == {}


@needs_opengl
def test_frames_are_drawn_only_where_they_are_kept(filmed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filmed.unwrapped, "frames", lambda: pytest.fail("drew a frame"))
    assert rollout(filmed, wave, seed=1).images == {}


@pytest.mark.parametrize(
    ("cameras", "said"),
    [
        ({"externl": [8, 8]}, "no camera 'externl'; .*valid: default, .*external_camera_0"),
        ({"default": [8]}, r"cameras.default=\[8\] is not \[height, width\] in pixels"),
        ({"default": [8, 0]}, r"is not \[height, width\]"),
        ({"default": [True, True]}, r"is not \[height, width\]"),
        ({"default": "8x8"}, r"is not \[height, width\]"),
        ([8, 8], r"cameras=\[8, 8\] is not of the form \{name: \[height, width\]\}"),
    ],
)
def test_a_bad_camera_is_one_line(cameras: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        envs.make("fetch_reach", cameras=cameras)


def test_without_opengl_making_the_task_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(RunError, match=r"rendering needs an OpenGL library .* apt install libegl1"):
        envs.make("fetch_reach", cameras={"default": [8, 8]})
    envs.make("fetch_reach").reset(seed=0)


@pytest.mark.e2e
@needs_opengl
def test_what_is_learned_from_filmed_data_needs_no_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run, bundle = (str(tmp_path / name) for name in ("data", "run", "bundle"))
    cameras = "task.kwargs.cameras={default: [16, 16]}"
    assert main(["collect", "task=fetch_reach", cameras, "episodes=2", f"out={data}"]) == 0
    images = Dataset.open(data).load(Dataset.open(data).episodes[1]).images
    assert {name: rows.shape for name, rows in images.items()} == {"default": (51, 16, 16, 3)}
    monkeypatch.setenv("MUJOCO_GL", "disable")  # whoever draws from here on fails
    steps = ["steps=4", "baseline_steps=2", "eval_every=4", "eval_episodes=1", "final_episodes=1"]
    for words in (
        ["pretrain", f"data={data}", f"out={run}", "agent.hidden=[8]", *steps],
        ["finetune", f"run={run}", "env_steps=50", "warmup_steps=10", "eval_every=50", "final_episodes=1"],
        ["evaluate", f"run={run}", "episodes=1"],
        ["export", f"run={run}", f"out={bundle}"],
        ["deploy", f"bundle={bundle}", "duration_s=0.2"],
        ["dataset", "replay", data, "--all"],
    ):
        assert main(words) == 0, words
    monkeypatch.undo()
    acting = ["operator=policy", f"operator.path={bundle}", "episodes=1", f"out={tmp_path / 'again'}"]
    assert main(["collect", "task=fetch_reach", cameras, *acting]) == 0
