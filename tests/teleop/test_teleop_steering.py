"""Laws of steering: hands move the tool as they say, and nothing ever jumps."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import envs
from data_collection.teleop.hands import Jog
from data_collection.teleop.ramp import Ramp
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.steering import live, steering_of, tool_of, turns_of
from robot_orl.errors import UsageError
from robot_orl.types import Array

Env = gymnasium.Env[Any, Any]
REST = np.zeros(3)
FORWARD, LEFT, UP = np.eye(3)


@pytest.fixture(scope="module")
def fetch() -> Env:
    return envs.make("fetch_reach")


@pytest.fixture(scope="module")
def arm() -> Env:
    return envs.make("arm_reach")


@pytest.fixture(scope="module")
def hand() -> Env:
    return envs.make("adroit_door")


def config(**fields: Any) -> PersonConfig:
    return PersonConfig(name="person", **fields)


def tool_pose(env: Env) -> tuple[Array, Array]:
    """(3,) m and (3, 3): where the tool points, left and up, as columns."""
    site = env.unwrapped.data.site(tool_of(env))  # type: ignore[attr-defined]
    return site.xpos.copy(), site.xmat.reshape(3, 3).copy()


def played(env: Env, cfg: PersonConfig, jogs: list[Jog | None]) -> tuple[Array, Array]:
    """The actions, (T, A), and the tool's way [m]."""
    steering = steering_of(env, cfg)
    obs, _ = env.reset(seed=0)
    steering.begin()
    before, _ = tool_pose(env)
    actions = []
    for jog in jogs:
        actions.append(steering.action(jog, obs))
        obs = env.step(actions[-1])[0]
    return np.array(actions), tool_pose(env)[0] - before


@pytest.mark.parametrize("name", ["fetch", "arm"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_tool_moves_where_it_is_pushed_as_fast_as_it_is_told(
    name: str, axis: int, request: pytest.FixtureRequest
) -> None:
    env: Env = request.getfixturevalue(name)
    hz = env.unwrapped.task_spec.control_hz  # type: ignore[attr-defined]
    way = np.eye(3)[axis]
    push: list[Jog | None] = [Jog(way, REST)] * round(0.4 * hz)
    _, pushed = played(env, config(speed_m_s=0.1, ramp_s=0.0), push)
    _, idle = played(env, config(), [None] * len(push))
    moved = pushed - idle  # both sink a little under their weight
    np.testing.assert_allclose(moved, 0.04 * way, atol=0.008)


def test_an_arms_tool_keeps_its_tilt_while_it_moves(arm: Env) -> None:
    steering = steering_of(arm, config(speed_m_s=0.1))
    for way in (FORWARD, LEFT, UP):
        obs, _ = arm.reset(seed=0)
        steering.begin()
        tilt = np.degrees(np.arcsin(tool_pose(arm)[1][2, 0]))
        for _ in range(25):
            obs = arm.step(steering.action(Jog(way, REST), obs))[0]
        assert abs(np.degrees(np.arcsin(tool_pose(arm)[1][2, 0])) - tilt) < 3.0


def test_an_arms_tool_turns_where_it_is(arm: Env) -> None:
    steering = steering_of(arm, config(speed_rad_s=0.5, ramp_s=0.0))
    for turn, axis in ((np.array([1.0, 0, 0]), 0), (np.array([0, 1.0, 0]), 1)):
        obs, _ = arm.reset(seed=0)
        steering.begin()
        before, axes = tool_pose(arm)
        for _ in range(25):  # 0.5 s: 0.25 rad
            obs = arm.step(steering.action(Jog(REST, turn), obs))[0]
        after, turned = tool_pose(arm)
        other = 1 - axis
        angle = np.arcsin(np.cross(axes[:, other], turned[:, other]) @ axes[:, axis])  # right-handed
        assert angle == pytest.approx(0.25, abs=0.05)
        np.testing.assert_allclose(after, before, atol=0.012)


def test_nothing_jumps_when_hands_take_over_or_let_go(fetch: Env, arm: Env) -> None:
    """From rest to full speed takes ramp_s: with 0.2 s, 5 ticks at 25 Hz and 10 at 50 Hz."""
    jogs = [None] * 3 + [Jog(FORWARD, REST)] * 12 + [None] * 12 + [Jog(-FORWARD, REST)] * 12
    for env, ticks in ((fetch, 5), (arm, 10)):
        actions, _ = played(env, config(speed_m_s=0.1, ramp_s=0.2), jogs)
        assert (actions[:3] == 0).all()
        changes = np.abs(np.diff(actions, axis=0))
        assert changes.max() <= 1 / ticks + 1e-6  # no part of it faster than a whole action in that time
        assert (actions[3 + 12 + ticks : 3 + 24] == 0).all()  # at rest again


def test_speed_grows_and_ends_evenly() -> None:
    ramp = Ramp(0.25, 0.2, 25.0)
    ramp.begin(np.zeros(1))
    assert [ramp.towards(np.array([0.25])).item() for _ in range(6)] == pytest.approx(
        [0.05, 0.1, 0.15, 0.2, 0.25, 0.25]
    )
    assert ramp.towards(np.zeros(1)).item() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("way", "steps", "beside_m"), [(UP, 100, 0.012), (-FORWARD, 100, 0.012), (FORWARD, 150, 0.03)]
)
def test_at_the_end_of_its_reach_an_arm_slows_down_instead_of_going_elsewhere(
    arm: Env, way: Array, steps: int, beside_m: float
) -> None:
    """10 cm/s for longer than there is room; by 0.15 s to full speed, 7.5 ticks."""
    actions, moved = played(arm, config(speed_m_s=0.1), [Jog(way, REST)] * steps)
    _, idle = played(arm, config(), [None] * steps)
    beside = (moved - idle) * (way == 0)
    assert np.abs(beside).max() < beside_m
    assert np.abs(np.diff(actions, axis=0)).max() <= 1 / 7.5 + 1e-6  # a joint's end is no jump either


def test_a_gripper_goes_on_until_it_is_told_otherwise(fetch: Env, arm: Env) -> None:
    jogs: list[Jog | None] = [Jog(REST, REST, gripper=-1.0), *[None] * 9, Jog(REST, REST, 1.0), *[None] * 9]
    actions, _ = played(fetch, config(ramp_s=0.1), jogs)
    assert (actions[3:10, 3] == -1).all()
    assert (actions[15:, 3] == 1).all()
    assert (actions[:, :3] == 0).all()
    actions, _ = played(arm, config(ramp_s=0.1, speed_rad_s=1.0), jogs)
    np.testing.assert_allclose(actions[3:10, 5], -0.2, rtol=1e-6)  # 1 rad/s of 0.1 rad at 50 Hz


def test_each_episode_begins_at_rest(fetch: Env) -> None:
    steering = steering_of(fetch, config())
    obs, _ = fetch.reset(seed=0)
    for _ in range(5):
        steering.action(Jog(FORWARD, REST, gripper=1.0), obs)
    steering.begin()
    assert (steering.action(None, obs) == 0).all()


def test_the_frame_says_what_forward_is(fetch: Env) -> None:
    """Fetch's camera looks along azimuth 140 degrees; its gripper points down."""
    cfg: dict[str, Any] = {"speed_m_s": 0.1, "ramp_s": 0.0}
    size = 0.1 / 25 / (0.05 * 0.65)
    seen = np.deg2rad(140.0)
    for frame, way in (
        ("base", [1, 0, 0]),
        ("camera", [np.cos(seen), np.sin(seen), 0]),
        ("tool", [0, 0, -1]),
    ):
        actions, _ = played(fetch, config(frame=frame, **cfg), [Jog(FORWARD, REST)])
        np.testing.assert_allclose(actions[0, :3], size * np.array(way), atol=0.01 * size)
    actions, _ = played(fetch, config(flip=["forward"], **cfg), [Jog(FORWARD, REST)])
    np.testing.assert_allclose(actions[0, :3], [-size, 0, 0], atol=1e-6)


def test_a_stick_at_rest_is_at_rest_and_two_keys_are_no_faster_than_one() -> None:
    assert (live(np.array([0.05, 0, 0]), 0.05) == 0).all()
    np.testing.assert_allclose(live(np.array([0.525, 0, 0]), 0.05), [0.5, 0, 0])
    np.testing.assert_allclose(live(np.array([1.0, 1.0, 0]), 0.05), [0.5**0.5, 0.5**0.5, 0])
    assert (live(np.full(3, np.nan), 0.0) == 0).all()


def test_a_hand_holds_where_it_is_and_goes_where_sliders_say_with_limited_speed(hand: Env) -> None:
    steering = steering_of(hand, config(speed_rad_s=1.0, speed_m_s=0.5))
    obs, _ = hand.reset(seed=0)
    steering.begin()
    model = hand.unwrapped.model  # type: ignore[attr-defined]
    low, high = model.actuator_ctrlrange.T
    start = steering.action(None, obs).astype(np.float64)
    targets = (low + high) / 2 + start * (high - low) / 2
    data = hand.unwrapped.data  # type: ignore[attr-defined]
    np.testing.assert_allclose(targets, np.clip(data.actuator_length, low, high), atol=1e-6)
    wanted = np.ones(len(low))
    moved = steering.action(Jog(REST, REST, joints=wanted), obs)
    turning = model.jnt_type[model.actuator_trnid[:, 0]] == 3
    step = np.where(turning, 1.0, 0.5) / 100  # at 100 Hz
    np.testing.assert_allclose(moved - start, np.minimum(step / ((high - low) / 2), 1 - start), atol=1e-6)
    np.testing.assert_array_equal(steering.action(None, obs), moved)  # hands off: the targets stay


def test_joints_that_are_no_numbers_are_hands_off(fetch: Env, arm: Env, hand: Env) -> None:
    for env in (fetch, arm, hand):
        size = env.unwrapped.task_spec.action_size  # type: ignore[attr-defined]
        steering = steering_of(env, config())
        obs, _ = env.reset(seed=0)
        steering.begin()
        still = steering.action(None, obs)
        nothing = Jog(REST, REST, joints=np.full(size, np.nan))
        np.testing.assert_array_equal(steering.action(nothing, obs), still)


def test_who_moves_a_tool_cannot_pass_its_speed_limit_by_joints(fetch: Env, arm: Env) -> None:
    for env in (fetch, arm):
        steering = steering_of(env, config())
        obs, _ = env.reset(seed=0)
        steering.begin()
        still = steering.action(None, obs)
        all_of_it = Jog(REST, REST, joints=np.ones(len(still)))
        np.testing.assert_array_equal(steering.action(all_of_it, obs), still)


def test_which_tasks_have_a_tool_and_which_turns(fetch: Env, arm: Env, hand: Env) -> None:
    assert (tool_of(fetch), turns_of(fetch)) == ("robot0:grip", ())
    assert (tool_of(arm), turns_of(arm)) == ("tool", ("roll", "pitch"))
    assert (tool_of(hand), turns_of(hand)) == (None, ())


def test_a_task_that_nobody_can_steer_is_named() -> None:
    class Strange(gymnasium.Env[Any, Any]):
        task_spec = envs.make("arm_reach").unwrapped.task_spec
        get_sim_state = set_sim_state = None

    with pytest.raises(UsageError, match=r"^nobody knows how hands would steer task 'arm_reach'$"):
        steering_of(Strange(), config())
