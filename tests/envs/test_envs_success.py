"""When a task is solved, and that the reward says so."""

from typing import Any

import numpy as np
import pytest

import envs
from robot_orl.errors import UsageError

FETCH = [name for name in envs.names() if name.startswith("fetch")]


def pay(env: Any) -> tuple[float, bool]:
    """Reward and success of a step that asks for nothing."""
    _, reward, terminated, _, info = env.step(np.zeros(env.action_space.shape))
    assert not terminated
    return reward, info["success"]


def with_goal(env: Any, goal: np.ndarray) -> None:
    env._sim.goal = goal.astype(np.float64)


@pytest.mark.parametrize("task", FETCH)
def test_a_goal_within_five_centimetres_is_reached(task: str) -> None:
    env = envs.make(task).unwrapped
    obs = env.reset(seed=0)[0]
    still = obs["achieved_goal"]
    for offset, expected in [(0.045, (0.0, True)), (0.055, (-1.0, False))]:
        with_goal(env, still + [offset, 0.0, 0.0])
        assert pay(env) == expected


def test_driving_the_gripper_to_the_goal_solves_reach() -> None:
    env = envs.make("fetch_reach")
    obs, _ = env.reset(seed=0)
    rewards = []
    for _ in range(50):
        move = np.append(10.0 * (obs["desired_goal"] - obs["achieved_goal"]), 0.0)
        obs, reward, terminated, truncated, info = env.step(move)
        rewards.append(reward)
    assert rewards[0] == -1.0
    assert rewards[-1] == 0.0
    assert (terminated, truncated, info["success"]) == (False, True, True)


@pytest.mark.parametrize("task", FETCH)
def test_reward_for_pays_as_step_did_right_at_the_threshold(task: str) -> None:
    env = envs.make(task).unwrapped
    obs = env.reset(seed=0)[0]
    rng = np.random.default_rng(0)
    achieved, desired, rewards = [], [], []
    for _ in range(40):
        direction = rng.normal(size=3)
        distance = 0.05 + rng.choice([-1e-3, -1e-9, 0.0, 1e-9, 1e-3])
        with_goal(env, obs["achieved_goal"] + distance * direction / np.linalg.norm(direction))
        obs, reward, _, _, info = env.step(0.1 * rng.normal(size=4))
        assert info["success"] == (reward == 0.0)
        achieved.append(obs["achieved_goal"])
        desired.append(obs["desired_goal"])
        rewards.append(reward)
    paid = env.reward_for(np.array(achieved), np.array(desired))
    assert (paid.dtype, paid.shape) == (np.float32, (40,))
    np.testing.assert_array_equal(paid, rewards)
    assert set(paid) == {-1.0, 0.0}


def test_reward_for_rounds_alike_for_any_shape_and_layout() -> None:
    env = envs.make("fetch_push").unwrapped
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(6, 500, 3))
    desired = rng.uniform(0.3, 1.5, direction.shape).astype(np.float32)
    achieved = desired + 0.05 * direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    achieved = achieved.astype(np.float32)
    batch = env.reward_for(achieved, desired)
    single = [env.reward_for(a, d) for a, d in zip(achieved[0], desired[0], strict=True)]
    np.testing.assert_array_equal(batch[0], single)
    np.testing.assert_array_equal(batch, env.reward_for(np.asfortranarray(achieved), desired))
    assert 0.2 < -batch.mean() < 0.8, "the sample straddles the threshold"
    one_goal = env.reward_for(achieved, desired[0, 0])
    assert one_goal.shape == (6, 500)


def test_reward_for_by_hand() -> None:
    env = envs.make("fetch_push").unwrapped
    origin = np.zeros(3, np.float32)
    near, far, diagonal = [0.049, 0, 0], [0, 0.051, 0], [0.03, 0.03, 0.03]  # |diagonal| = 0.052
    paid = env.reward_for(np.array([near, far, diagonal], np.float32), origin)
    assert paid.tolist() == [0.0, -1.0, -1.0]


def solved_start(env: Any) -> dict[str, Any]:
    """A start from which the task is as good as solved, made of plain lists as JSON would hold it."""
    sim = env._sim
    start = sim.get_env_state()
    match env.task_spec.task:
        case "adroit_door":
            start["qpos"][sim.model.joint("door_hinge").qposadr[0]] = 1.45  # [rad]; open is 1.35
        case "adroit_hammer":
            start["qpos"][sim.model.joint("nail_dir").qposadr[0]] = 0.09  # [m] driven in
        case "adroit_pen":
            start["desired_orien"] = sim.data.body("Object").xquat.copy()
        case "adroit_relocate":
            start["target_pos"] = start["obj_pos"].copy()
    return {name: value.tolist() for name, value in start.items()}


@pytest.mark.parametrize("task", ["adroit_door", "adroit_hammer", "adroit_pen", "adroit_relocate"])
def test_adroit_pays_for_the_tasks_own_success(task: str) -> None:
    env = envs.make(task).unwrapped
    env.reset(seed=0)
    assert pay(env) == (-1.0, False)
    env.reset(seed=0)
    env.reset(seed=0, options={"initial_state_dict": solved_start(env)})
    assert pay(env) == (0.0, True)


def test_adroit_has_no_goal_to_relabel() -> None:
    env = envs.make("adroit_door").unwrapped
    assert env.task_spec.achieved_goal is env.task_spec.desired_goal is None
    assert not hasattr(env, "reward_for")


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("fetch_push", {"goal": 1}, "no reset option 'goal'; valid: initial_state_dict"),
        ("adroit_door", {"initial_state": 1}, "did you mean 'initial_state_dict'"),
        ("adroit_door", {"initial_state_dict": {}}, "initial_state_dict has no 'door_body_pos'"),
        (
            "adroit_door",
            {"initial_state_dict": {"door_body_pos": [0, 0, 0], "qpos": [1.0], "qvel": [0.0] * 30}},
            "'qpos' is not",
        ),
    ],
)
def test_a_bad_reset_option_is_one_line(task: str, options: dict[str, Any], said: str) -> None:
    env = envs.make(task)
    with pytest.raises(UsageError, match=said) as caught:
        env.reset(seed=0, options=options)
    assert "\n" not in str(caught.value)
