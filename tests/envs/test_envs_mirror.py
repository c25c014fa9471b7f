"""A task that says what it looks like in the mirror does behave so."""

from typing import Any

import numpy as np
import pytest

import envs

symmetric = [name for name in envs.names() if envs.make(name).unwrapped.mirror is not None]
every_symmetric_task = pytest.mark.parametrize("task", symmetric)


def test_fetch_tasks_have_a_mirror() -> None:
    assert {name for name in envs.names() if name.startswith("fetch_")} <= set(symmetric)


@every_symmetric_task
def test_the_mirror_of_the_mirror_is_what_was_before(task: str) -> None:
    env: Any = envs.make(task).unwrapped
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((4, env.task_spec.observation_size)).astype(np.float32)
    action = rng.uniform(-1, 1, (4, env.task_spec.action_size)).astype(np.float32)
    twice = env.mirror.observation(env.mirror.observation(flat))
    np.testing.assert_allclose(twice, flat, atol=1e-6)
    np.testing.assert_array_equal(env.mirror.action(env.mirror.action(action)), action)


@every_symmetric_task
def test_goals_pay_the_same_in_the_mirror(task: str) -> None:
    env: Any = envs.make(task).unwrapped
    spec, rng = env.task_spec, np.random.default_rng(1)
    flat = np.tile(spec.flatten(env.reset(seed=0)[0]), (200, 1))
    achieved, desired = spec.slice_of(spec.achieved_goal), spec.slice_of(spec.desired_goal)
    flat[:, achieved] = flat[:, desired] + rng.normal(0, 0.03, (200, 3))  # about half of them within 5 cm
    mirrored = env.mirror.observation(flat)
    paid = env.reward_for(flat[:, achieved], flat[:, desired])
    assert 0.2 < -paid.mean() < 0.8
    agree = paid == env.reward_for(mirrored[:, achieved], mirrored[:, desired])
    assert agree.mean() > 0.99  # a distance that is 5 cm but for rounding may fall on either side


@pytest.mark.e2e
@every_symmetric_task
def test_mirrored_actions_from_a_mirrored_start_lead_to_the_mirrored_place(task: str) -> None:
    """Down to the object and against it, for ten steps: places agree to 3 mm, signs of turns as well."""
    env: Any = envs.make(task).unwrapped
    spec, mirror = env.task_spec, env.mirror
    seen = [spec.flatten(env.reset(seed=3)[0])]
    start = env.start_state()
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (10, spec.action_size)).astype(np.float32)
    if "object_pos" in start:
        toward = np.array(start["object_pos"][:2]) - seen[0][:2]
        actions[:, :2] += 0.6 * toward / np.linalg.norm(toward)
        actions[:8, 2] = -0.5
    seen += [spec.flatten(env.step(action)[0]) for action in actions]
    plane = mirror.offset[spec.slice_of(spec.desired_goal)][1] / 2
    for place in start.values():
        place[1] = 2 * plane - place[1]
    there = [spec.flatten(env.reset(seed=3, options={"initial_state_dict": start})[0])]
    there += [spec.flatten(env.step(action)[0]) for action in mirror.action(actions)]
    difference = np.abs(mirror.observation(np.array(there)) - np.array(seen))
    names = [signal.name for key in spec.observation.values() for signal in key]
    places = [i for i, name in enumerate(names) if "_pos" in name]
    assert difference[:, places].max() < 3e-3
    # Contacts blur turns [rad] and velocities a step; with a wrong sign they differ by 0.4 and more.
    assert difference.max() < 0.1


def test_a_task_with_one_right_hand_has_no_mirror() -> None:
    assert envs.make("adroit_door").unwrapped.mirror is None  # type: ignore[attr-defined]
