"""The Koch-class arm: its kinematics, its action law, what it observes and where its episodes begin."""

from functools import cache
from typing import Any

import mujoco
import numpy as np
import pytest

import envs
from envs.arm_model import ASSETS, HOME_POSE, JOINTS, KOCH
from robot_orl.errors import UsageError

TASKS = ("arm_reach", "arm_push", "arm_lift")
every_arm_task = pytest.mark.parametrize("task", TASKS)


@cache
def env_of(task: str) -> Any:
    return envs.make(task).unwrapped


def tool_at(**angles: float) -> np.ndarray:
    """(3,) m: the tool as observed with these joints [rad], the others at zero."""
    joints = np.array([angles.get(name, 0.0) for name in JOINTS])
    zeros = np.zeros(6)
    return env_of("arm_reach").observation_of(joints, zeros, joints, zeros[:3])["achieved_goal"]


def test_the_tool_is_where_the_lengths_of_the_links_put_it() -> None:
    # Shoulder 0.062 up; elbow 0.108 above and 0.015 ahead of it; wrist 0.1, roll 0.045, tool 0.085 farther.
    np.testing.assert_allclose(tool_at(), [0.245, 0.0, 0.170], atol=1e-6)
    quarter = np.pi / 2
    np.testing.assert_allclose(tool_at(shoulder_pan=quarter), [0.0, 0.245, 0.170], atol=1e-6)
    np.testing.assert_allclose(tool_at(elbow_flex=-quarter), [0.015, 0.0, 0.400], atol=1e-6)
    np.testing.assert_allclose(tool_at(wrist_flex=quarter), [0.115, 0.0, 0.040], atol=1e-6)
    # The upper arm level: the elbow 0.108 ahead and 0.015 below the shoulder, the rest hangs down.
    np.testing.assert_allclose(tool_at(shoulder_lift=quarter), [0.108, 0.0, -0.183], atol=1e-6)


def test_the_tool_lies_on_the_axis_of_the_wrist_and_the_jaws_do_not_move_it() -> None:
    for still in ("wrist_roll", "gripper"):
        np.testing.assert_allclose(tool_at(**{still: 1.0}), tool_at(), atol=1e-6)


@pytest.mark.parametrize("scene", ["koch.xml", "arm_reach.xml", "arm_cube.xml"])
def test_joints_and_servos_have_the_names_and_the_order_of_the_bus(scene: str) -> None:
    model = mujoco.MjModel.from_xml_path(str(ASSETS / scene))
    assert tuple(model.joint(i).name for i in range(6)) == JOINTS
    assert tuple(model.actuator(i).name for i in range(model.nu)) == JOINTS
    np.testing.assert_array_equal(model.actuator_trnid[:, 0], range(6))
    np.testing.assert_allclose(model.actuator_ctrlrange, model.jnt_range[:6], atol=1e-12)
    assert (model.jnt_range[:6, 0] <= HOME_POSE).all()
    assert (model.jnt_range[:6, 1] >= HOME_POSE).all()


def test_servos_are_those_of_the_data_sheets() -> None:
    """Stall torque, no-load speed, and the P gain [register value] at which the PWM saturates."""
    model = mujoco.MjModel.from_xml_path(str(KOCH))
    xl430, xl330 = (1.5, 61), (0.52, 103)
    servos = [(*xl430, 800), (*xl430, 1600), (*xl330, 1500), (*xl330, 1000), (*xl330, 800), (*xl330, 800)]
    for i, (stall_nm, rev_per_min, p_gain) in enumerate(servos):
        saturation_rad = 885 * 128 / p_gain * 2 * np.pi / 4096
        assert model.actuator_gainprm[i, 0] == pytest.approx(stall_nm / saturation_rad, rel=0.02)
        assert model.actuator_forcerange[i].tolist() == [-stall_nm, stall_nm]
        no_load_rad_s = rev_per_min * 2 * np.pi / 60
        assert model.dof_damping[i] == pytest.approx(stall_nm / no_load_rad_s, rel=0.02)


def test_the_action_law_by_hand() -> None:
    task = env_of("arm_reach")
    zeros = np.zeros(6)
    moved = task.next_targets(np.array([1.0, -0.5, 0.0, 0.2, -1.0, 1.0]), zeros, zeros)
    np.testing.assert_allclose(moved, [0.05, -0.025, 0.0, 0.01, -0.05, 0.1], atol=1e-12)


def test_a_target_does_not_run_away_from_a_joint_that_is_held() -> None:
    task = env_of("arm_reach")
    targets, held = np.full(6, 0.1), np.full(6, 0.1)
    for _ in range(20):
        targets = task.next_targets(np.ones(6), targets, held)
    np.testing.assert_allclose(targets, 0.3)
    back = task.next_targets(-np.ones(6), targets, held)
    np.testing.assert_allclose(back, [0.25, 0.25, 0.25, 0.25, 0.25, 0.2])


def test_a_target_stays_in_the_range_of_its_joint_even_where_the_joint_does_not() -> None:
    task = env_of("arm_reach")
    low, high = task.joint_range.T
    for beyond, action in ((high + 0.05, 1.0), (low - 0.05, -1.0), (high + 0.5, 0.0)):
        targets = task.next_targets(np.full(6, action), beyond, beyond)
        assert (targets >= low).all()
        assert (targets <= high).all()


@every_arm_task
def test_a_step_moves_the_servos_targets_by_the_action_law(task: str) -> None:
    env = env_of(task)
    env.reset(seed=0)
    for action in np.random.default_rng(0).uniform(-1, 1, (8, 6)).astype(np.float32):
        data = env._sim.data
        expected = env.next_targets(action, data.ctrl.copy(), data.qpos[:6].copy())
        env.step(action)
        np.testing.assert_array_equal(data.ctrl, expected)


@every_arm_task
def test_what_is_observed_is_what_a_real_arm_there_would_observe(task: str) -> None:
    """From positions, velocities and targets alone; the tool where the simulator has it."""
    env = env_of(task)
    obs = env.reset(seed=2)[0]
    data = env._sim.data
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 6)):
        cube = data.qpos[6:9] if task != "arm_reach" else None
        before = env.get_sim_state()
        again = env.observation_of(data.qpos[:6], data.qvel[:6], data.ctrl, env._sim.goal, cube)
        np.testing.assert_array_equal(env.get_sim_state(), before)
        for key, values in obs.items():
            np.testing.assert_array_equal(again[key], values, strict=True)
        mujoco.mj_kinematics(env._sim.model, data)
        np.testing.assert_allclose(obs["observation"][18:21], data.site("tool").xpos, atol=1e-6)
        obs = env.step(action)[0]


def test_the_observation_names_what_is_in_its_columns() -> None:
    task = env_of("arm_lift")
    positions, velocities, targets = np.arange(6) / 10, np.arange(6) + 10.0, np.arange(6) / 10 + 0.125
    goal, cube = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    obs = task.observation_of(positions, velocities, targets, goal, cube)
    names = [signal.name for signal in task.task_spec.observation["observation"]]
    seen = dict(zip(names, obs["observation"], strict=True))
    assert seen["elbow_flex_pos"] == pytest.approx(0.2)
    assert seen["elbow_flex_vel"] == 12.0
    assert seen["gripper_lead"] == pytest.approx(0.125)
    assert seen["object_pos_y"] == 5.0
    assert seen["object_rel_pos_z"] == pytest.approx(6.0 - seen["tool_pos_z"])
    np.testing.assert_array_equal(obs["desired_goal"], goal)
    np.testing.assert_array_equal(obs["achieved_goal"], cube)


def test_a_task_with_an_object_cannot_be_observed_without_it() -> None:
    zeros = np.zeros(6)
    with pytest.raises(UsageError, match=r"^arm_push: observing it needs the position of its object$"):
        env_of("arm_push").observation_of(zeros, zeros, zeros, zeros[:3])


@every_arm_task
def test_the_goal_of_a_seed_is_known_without_beginning_its_episode(task: str) -> None:
    env = env_of(task)
    for seed in (0, 7):
        sampled = env.sample_goal(seed)
        assert sampled.shape == (3,)
        np.testing.assert_array_equal(sampled.astype(np.float32), env.reset(seed=seed)[0]["desired_goal"])


@every_arm_task
def test_an_arm_that_is_told_nothing_stays_where_it_is(task: str) -> None:
    env = env_of(task)
    env.reset(seed=1)
    begun = env._sim.data.qpos[:6].copy()
    for _ in range(50):
        env.step(np.zeros(6))
    assert np.abs(env._sim.data.qpos[:6] - begun).max() < 0.04, "what its weight bends the servos by"
    assert np.abs(env._sim.data.qvel[:6]).max() < 0.01


def test_goals_and_cubes_lie_where_the_arm_can_bring_one_to_the_other() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        reach, push, lift = (env_of(task)._draw(rng) for task in TASKS)
        assert 0.05 <= np.hypot(*(push["goal"][:2] - push["object_pos"])) <= 0.1
        assert push["goal"][2] == 0.015
        assert 0.06 <= lift["goal"][2] <= 0.1
        assert np.abs(lift["goal"][:2] - lift["object_pos"]).max() <= 0.03
        for place in (reach["goal"], push["goal"], push["object_pos"], lift["goal"], lift["object_pos"]):
            assert 0.08 < np.hypot(*place[:2]) < 0.25
            assert place[0] > 0.0
        assert np.abs(lift["joint_pos"] - HOME_POSE).max() <= 0.02


@every_arm_task
def test_success_is_nearness_to_the_goal_as_the_reward_pays_it(task: str) -> None:
    env = env_of(task)
    threshold = 0.02 if task == "arm_reach" else 0.025
    obs = env.reset(seed=0)[0]
    for _ in range(20):
        obs = env.step(np.zeros(6))[0]  # the arm sags until the friction of its servos holds it
    for distance, success in ((threshold - 0.002, True), (threshold + 0.002, False)):
        env._sim.goal = obs["achieved_goal"].astype(np.float64) + [0.0, distance, 0.0]
        seen, reward, _, _, info = env.step(np.zeros(6))
        assert (reward, info["success"]) == (float(success) - 1.0, success)
        assert env.reward_for(seen["achieved_goal"], seen["desired_goal"]) == reward
    batch = np.float32([[0.0, 0.0, 0.9], [0.0, 0.0, 1.1]]) * np.float32(threshold)
    assert env.reward_for(batch, np.zeros(3)).tolist() == [0.0, -1.0]


def test_the_cube_lies_and_is_turned_as_a_start_says() -> None:
    env = env_of("arm_push")
    env.reset(seed=1)
    start = env.start_state()
    turned = start | {"object_pos": [0.14, -0.05], "object_turn": [np.cos(0.3), np.sin(0.3)]}
    obs = env.reset(seed=2, options={"initial_state_dict": turned})[0]
    np.testing.assert_allclose(obs["achieved_goal"], [0.14, -0.05, 0.015], atol=1e-6)
    np.testing.assert_allclose(obs["desired_goal"], start["goal"], atol=1e-6)
    cube = env._sim.data.body("cube").xmat.reshape(3, 3)
    assert np.arctan2(cube[1, 0], cube[0, 0]) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"randomize": 0.2}, "no task option 'randomize'; did you mean 'randomise'.* valid: .*width"),
        ({"randomise": 1.5}, r"randomise=1.5 is not a number in \[0, 0.9\]"),
        ({"randomise": "much"}, r"randomise='much' is not a number in \[0, 0.9\]"),
        ({"randomise": True}, "randomise=True is not a number"),
        ({"backlash": -0.1}, r"backlash=-0.1 is not a number in \[0, 0.1\]"),
        ({"torque_limit": 0}, r"torque_limit=0 is not a number in \[0.1, 1\]"),
        ({"torque_limit": float("nan")}, "torque_limit=nan is not a number"),
    ],
)
def test_a_bad_option_of_the_arm_is_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}"):
        envs.make("arm_push", **options)
