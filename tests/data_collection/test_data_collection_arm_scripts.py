"""The scripts of the arm: what they see, how inverse kinematics leads the hand, and that they succeed."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from data_collection.operators.scripted import ScriptedConfig, ScriptedOperator
from data_collection.scripts.arm import STEP_RAD, ArmView, Hand
from data_collection.scripts.arm_lift import ArmLift, Phase
from envs import arm_model
from robot_orl.cli import main
from robot_orl.data.store.reader import Dataset
from robot_orl.tasks import spec_of
from robot_orl.types import Spec

BARS = {"arm_reach": 1.0, "arm_push": 0.95, "arm_lift": 0.95}
HOME = arm_model.HOME_POSE


def success_rate(task: str, skill: float, seeds: range, **options: Any) -> float:
    """Share of episodes that succeed at their last step."""
    env = envs.make(task, **options)
    operator = ScriptedOperator(ScriptedConfig(skill_low=skill, skill_high=skill), spec_of(env))
    succeeded = []
    for seed in seeds:
        obs, _ = env.reset(seed=seed)
        operator.begin(np.random.default_rng(seed))
        truncated, info = False, {}
        while not truncated:
            obs, _, _, truncated, info = env.step(operator.action(obs))
        succeeded.append(bool(info["success"]))
    return float(np.mean(succeeded))


@pytest.mark.e2e
@pytest.mark.parametrize("task", BARS)
def test_full_skill_meets_its_bar(task: str) -> None:
    assert success_rate(task, 1.0, range(3000, 3008)) >= BARS[task]


@pytest.mark.e2e
@pytest.mark.parametrize("task", BARS)
def test_success_falls_with_skill(task: str) -> None:
    seeds = range(2000, 2008)
    assert success_rate(task, 0.1, seeds) < success_rate(task, 1.0, seeds)


@pytest.mark.slow
@pytest.mark.parametrize("task", BARS)
@pytest.mark.parametrize("first_seed", [0, 1000])
def test_full_skill_meets_its_bar_on_a_hundred_seeds(task: str, first_seed: int) -> None:
    assert success_rate(task, 1.0, range(first_seed, first_seed + 100)) >= BARS[task]


@pytest.mark.slow
@pytest.mark.parametrize("task", BARS)
def test_full_skill_copes_with_another_physics(task: str) -> None:
    """Servos and cubes up to a fifth away from the model, the maker's backlash, two thirds of the torque."""
    options = {"randomise": 0.2, "backlash": 0.006, "torque_limit": 0.67}
    assert success_rate(task, 1.0, range(50), **options) >= 0.9


@pytest.mark.e2e
def test_collecting_with_the_script_stores_lifts(tmp_path: Path) -> None:
    words = ["collect", "task=arm_lift", "operator=scripted", "operator.skill_low=1", "episodes=2"]
    assert main([*words, f"out={tmp_path / 'lifts'}"]) == 0
    records = Dataset.open(tmp_path / "lifts").episodes
    assert [(record.meta.success, record.meta.operator) for record in records] == [(True, "scripted")] * 2


def view_at(joints: np.ndarray, **places: list[float]) -> ArmView:
    zeros = np.zeros(6)
    tool = Hand("tool").place(joints)
    seen = {"tool": tool, "object": tool, "goal": tool} | {k: np.array(v) for k, v in places.items()}
    return ArmView(joints=joints, velocities=zeros, lead=zeros, **seen)


def test_the_view_names_the_columns_of_the_observation() -> None:
    obs = {"observation": np.arange(27, dtype=np.float32), "desired_goal": np.float32([7, 8, 9])}
    view = ArmView.of(obs)
    np.testing.assert_array_equal(view.joints, range(6))
    np.testing.assert_array_equal(view.velocities, range(6, 12))
    np.testing.assert_array_equal(view.lead, range(12, 18))
    np.testing.assert_array_equal(view.tool, [18, 19, 20])
    np.testing.assert_array_equal(view.object, [21, 22, 23])
    np.testing.assert_array_equal(view.goal, [7, 8, 9])
    without = ArmView.of(obs | {"observation": np.arange(21, dtype=np.float32)})
    np.testing.assert_array_equal(without.object, without.tool)


def test_a_hand_believed_too_far_left_is_led_too_far_right() -> None:
    view = view_at(HOME, object=[0.15, 0.0, 0.015], goal=[0.2, 0.0, 0.1])
    believed = view.misjudged(np.array([0.0, 0.01, 0.0]))
    np.testing.assert_allclose(believed.object, [0.15, -0.01, 0.015])
    np.testing.assert_allclose(believed.goal, [0.2, -0.01, 0.1])
    np.testing.assert_array_equal(believed.tool, view.tool)


def test_the_scripts_know_the_tasks_action_law() -> None:
    np.testing.assert_array_equal(STEP_RAD, arm_model.STEP_RAD)


@pytest.mark.parametrize("site", ["tool", "pusher"])
def test_the_hand_is_where_the_simulator_has_it(site: str) -> None:
    model = mujoco.MjModel.from_xml_path(str(arm_model.KOCH))
    data = mujoco.MjData(model)
    data.qpos[:] = [0.4, 0.2, -0.3, 0.9, -0.5, 0.1]
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(Hand(site).place(data.qpos), data.site(site).xpos, atol=1e-9)


@pytest.mark.parametrize("displacement", [[0.02, 0, 0], [0, -0.02, 0], [0, 0, 0.02], [0.01, 0.01, -0.01]])
def test_following_the_joints_that_are_asked_for_leads_the_hand_there(displacement: list[float]) -> None:
    """Without a simulator: joints that do at once what an action asks; each corrects 0.3 of the error."""
    hand, joints = Hand("tool"), HOME.copy()
    target = hand.place(joints) + displacement
    for _ in range(15):
        action = hand.move(view_at(joints), target - hand.place(joints), 0.0, tilt=0.9, stride=0.03)
        joints = joints + np.clip(action, -1, 1) * STEP_RAD
    # What is left of the error after 15 steps: 0.7^15 = 0.005 of it, and the hand's turn, which it weighs.
    np.testing.assert_allclose(hand.place(joints), target, atol=1e-3)


def test_a_longer_way_is_gone_at_the_speed_of_the_stride() -> None:
    hand = Hand("tool")
    far, near = (
        hand.move(view_at(HOME), np.array([length, 0.0, 0.0]), 0.0, tilt=0.9, stride=0.01)
        for length in (0.08, 0.01)
    )
    np.testing.assert_allclose(far, near, atol=1e-9)


def test_a_lift_is_approach_descend_grasp_carry_and_a_lost_cube_sends_it_back() -> None:
    script, cube = ArmLift(), [0.15, 0.0, 0.015]
    open_jaws = np.array([0.0, -0.7, 0.3, 1.3, 0.0, 1.1])

    def phase(joints: np.ndarray, tool: list[float], lead: float = 0.0) -> Phase:
        view = view_at(joints, tool=tool, object=cube, goal=[0.15, 0.0, 0.1])
        script.action(ArmView(**{**vars(view), "lead": np.array([0, 0, 0, 0, 0, lead])}))
        return script.phase

    assert phase(HOME, [0.15, -0.004, 0.06]) is Phase.APPROACH, "the jaws are not open"
    assert phase(open_jaws, [0.12, 0.0, 0.06]) is Phase.APPROACH, "it is not above the cube"
    assert phase(open_jaws, [0.15, -0.004, 0.06]) is Phase.DESCEND
    assert phase(open_jaws, [0.15, -0.004, 0.03]) is Phase.DESCEND
    assert phase(open_jaws, [0.15, -0.004, 0.013]) is Phase.GRASP
    assert not script.carrying
    assert phase(HOME, [0.15, -0.004, 0.013], lead=-0.2) is Phase.CARRY
    assert script.carrying
    assert phase(HOME, [0.15, 0.0, 0.08], lead=-0.2) is Phase.APPROACH


@given(task=st.sampled_from(sorted(BARS)), skill=st.floats(0.0, 1.0), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_actions_are_finite_and_in_range_wherever_the_arm_is(task: str, skill: float, seed: int) -> None:
    operator = ScriptedOperator(
        ScriptedConfig(skill_low=skill, skill_high=skill), Spec(task, {}, (), control_hz=50.0, horizon=20)
    )
    rng = np.random.default_rng(seed)
    operator.begin(rng)
    for _ in range(5):
        observation = rng.uniform(-3.0, 3.0, 21 if task == "arm_reach" else 27).astype(np.float32)
        goal = rng.uniform(-0.5, 0.5, 3).astype(np.float32)
        action = operator.action({"observation": observation, "desired_goal": goal})
        assert (action.shape, action.dtype) == ((6,), np.float32)
        assert np.isfinite(action).all()
        assert np.abs(action).max() <= 1.0
