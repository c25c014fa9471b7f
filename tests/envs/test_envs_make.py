"""Making tasks: by id, by configuration, with and without frames."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import envs
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env

CONFIGS = Path(__file__).parents[2] / "configs"
IDS = [
    *("fetch_reach", "fetch_push", "fetch_slide", "fetch_pick_and_place"),
    *("adroit_door", "adroit_hammer", "adroit_pen", "adroit_relocate"),
    *("arm_reach", "arm_push", "arm_lift"),
]


def test_every_task_is_a_gymnasium_id() -> None:
    assert envs.names() == IDS
    assert set(IDS) <= set(gymnasium.registry)


@pytest.mark.parametrize("task", IDS)
def test_every_task_has_a_yaml_that_makes_it(task: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = OmegaConf.to_object(compose(f"task/{task}").task)
    assert config == TaskConfig(name=task, kwargs={})
    env = make_env(config)
    assert spec_of(env).task == task
    assert task_env(env) is env, "no wrapper that would cost time or count steps"


@pytest.mark.parametrize("make", [envs.make, lambda name: make_env(TaskConfig(name=name))])
def test_an_unknown_task_names_the_nearest_and_the_valid_ones(make: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match=r"^no task 'fetch_psh'; did you mean 'fetch_push'\? valid: .*pen"):
        make("fetch_psh")


def test_an_environment_of_another_kind_is_no_task() -> None:
    with pytest.raises(UsageError, match="CartPoleEnv is not a task of this stack: it has no task_spec"):
        make_env(TaskConfig(name="CartPole-v1"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widht": 3}, "no task option 'widht'; did you mean 'width'"),
        ({"width": 0}, "width=0 is not a positive number of pixels"),
        ({"height": "tall"}, "height='tall' is not"),
        ({"camera": "frnt"}, "no camera 'frnt'; .*valid: .*external_camera_0"),
    ],
)
def test_a_bad_option_is_one_line(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        envs.make("fetch_push", **options)


@pytest.mark.parametrize("task", ["fetch_pick_and_place", "adroit_hammer"])
def test_rendering_never_changes_the_episode(task: str) -> None:
    plain, filmed = envs.make(task), envs.make(task, render=True, width=64, height=48)
    plain.reset(seed=0)
    filmed.reset(seed=0)
    frames = []
    for move in np.random.default_rng(0).uniform(-1, 1, (12, *plain.action_space.shape)):
        plain.step(move)
        filmed.step(move)
        frames.append(filmed.render())
        state = filmed.unwrapped.get_sim_state()
        np.testing.assert_array_equal(plain.unwrapped.get_sim_state(), state)
    assert {(frame.shape, frame.dtype) for frame in frames} == {((48, 64, 3), np.dtype(np.uint8))}
    assert frames[0].std() > 10, "the frame shows something"
    assert (frames[0] != frames[-1]).any()
    filmed.close()


def test_a_restored_state_looks_as_it_did_and_shows_its_goal() -> None:
    a, b = (envs.make("fetch_reach", render=True, width=160, height=120) for _ in range(2))
    a.reset(seed=0)
    b.reset(seed=1)
    frame, other = a.render(), b.render()
    assert (frame != other).any(), "the goals of the two seeds lie apart"
    b.unwrapped.set_sim_state(a.unwrapped.get_sim_state())
    assert np.abs(b.render().astype(int) - frame).mean() < 0.1
    a.close()
    b.close()


def test_a_camera_of_the_model_can_be_chosen() -> None:
    frames = []
    for camera in (None, "external_camera_0"):
        env = envs.make("fetch_push", render=True, width=64, height=48, camera=camera)
        env.reset(seed=0)
        frames.append(env.render())
        env.close()
    assert (frames[0] != frames[1]).any()


def test_no_renderer_is_made_unless_asked() -> None:
    env = envs.make("fetch_reach")
    env.reset(seed=0)
    assert env.render() is None
    assert not env.unwrapped._rendering._renderers


@pytest.mark.e2e
def test_importing_is_cheap_sets_egl_without_a_display_and_making_prints_nothing() -> None:
    program = """
import os, sys, envs
assert not {"mujoco", "gymnasium_robotics", "torch"} & set(sys.modules), "import envs is lazy"
print(os.environ["MUJOCO_GL"])
env = envs.make("adroit_door", render=True)
env.reset(seed=0)
print(env.render().shape)
"""
    hidden = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
    clean = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "egl\n(240, 320, 3)\n", "")


@pytest.mark.e2e
def test_without_any_opengl_library_tasks_run_and_rendering_says_what_is_missing() -> None:
    program = """
import ctypes
real = ctypes.CDLL
def without_opengl(name, *args, **kwargs):
    if name and ("libEGL" in str(name) or "libOSMesa" in str(name)):
        raise OSError(f"{name}: cannot open shared object file")
    return real(name, *args, **kwargs)
ctypes.CDLL = without_opengl
import envs
env = envs.make("fetch_reach", render=True)
env.reset(seed=0)
print(env.step(env.action_space.sample())[1] <= 0)
try:
    env.render()
except Exception as error:
    print(type(error).__name__, error)
"""
    hidden = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
    clean = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True)
    missing = "rendering needs an OpenGL library of the system: on Debian, apt install libegl1"
    assert (done.returncode, done.stdout) == (0, f"True\nRunError {missing}\n")
