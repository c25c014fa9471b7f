"""How the arm's physics varies: randomised per episode, with play in its gears, with weaker servos."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import envs


@cache
def env_of(task: str, randomise: float = 0.2) -> Any:
    return envs.make(task, randomise=randomise).unwrapped


def factors(env: Any, seed: int) -> np.ndarray:
    env.reset(seed=seed)
    return env._sim.factors.copy()


@pytest.mark.parametrize(("task", "count"), [("arm_reach", 12), ("arm_lift", 14)])
def test_each_seed_has_its_own_physics_within_the_given_share(task: str, count: int) -> None:
    env = env_of(task)
    drawn = np.array([factors(env, seed) for seed in range(30)])
    assert drawn.shape == (30, count)
    assert np.abs(drawn - 1.0).max() <= 0.2
    assert (drawn.std(axis=0) > 0.05).all(), "each of them varies"
    np.testing.assert_array_equal(factors(env, 3), drawn[3])


def test_what_is_drawn_is_what_the_simulator_uses() -> None:
    nominal, env = env_of("arm_lift", 0.0)._sim.model, env_of("arm_lift")
    gain, friction, (mass, rub) = np.split(factors(env, 1), [6, 12])
    model = env._sim.model
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], nominal.actuator_gainprm[:, 0] * gain)
    np.testing.assert_allclose(model.actuator_biasprm[:, 1], -model.actuator_gainprm[:, 0])
    np.testing.assert_allclose(model.dof_frictionloss[:6], nominal.dof_frictionloss[:6] * friction)
    np.testing.assert_allclose(model.dof_damping[:6], nominal.dof_damping[:6] * friction)
    assert model.body("cube").mass[0] == pytest.approx(0.027 * mass)
    np.testing.assert_allclose(model.body("cube").inertia, nominal.body("cube").inertia * mass)
    np.testing.assert_allclose(model.geom("cube").friction, nominal.geom("cube").friction * rub)
    np.testing.assert_array_equal(model.body_mass[:-1], nominal.body_mass[:-1])


def test_the_physics_that_is_drawn_moves_no_camera() -> None:
    """Near and far planes, light and shadow follow the sizes in the model's statistics."""
    nominal, env = env_of("arm_lift", 0.0)._sim.model.stat, env_of("arm_lift")
    for seed in range(3):
        env.reset(seed=seed)
        stat = env._sim.model.stat
        for name in ("extent", "center", "meansize", "meanmass"):
            np.testing.assert_array_equal(getattr(stat, name), getattr(nominal, name), name)
    assert stat.meaninertia != nominal.meaninertia, "that one is the solver's"


def test_without_randomisation_the_physics_is_that_of_the_file() -> None:
    env = env_of("arm_push", 0.0)
    fresh = {name: getattr(env._sim.model, name).copy() for name in ("actuator_gainprm", "body_mass")}
    assert (factors(env, 0) == 1.0).all()
    assert "physics_factors" not in env.start_state()
    other = env_of("arm_push")
    other.reset(seed=5)
    env.set_sim_state(other.get_sim_state())
    assert (env._sim.model.body_mass != fresh["body_mass"]).any(), "a state brings its physics along"
    env.reset(seed=0)
    for name, values in fresh.items():
        np.testing.assert_array_equal(getattr(env._sim.model, name), values)


def test_a_randomised_state_continues_bitwise_in_another_instance() -> None:
    original, other = env_of("arm_lift"), envs.make("arm_lift", randomise=0.2).unwrapped
    original.reset(seed=3)
    other.reset(seed=4)
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 6))
    for action in actions[:10]:
        original.step(action)
    other.set_sim_state(original.get_sim_state())
    for action in actions[10:]:
        original.step(action)
        other.step(action)
        np.testing.assert_array_equal(original.get_sim_state(), other.get_sim_state())


def test_a_written_start_tells_the_physics_too() -> None:
    original, other = env_of("arm_lift"), envs.make("arm_lift", randomise=0.2).unwrapped
    original.reset(seed=6)
    other.reset(seed=9, options={"initial_state_dict": original.start_state()})
    np.testing.assert_array_equal(other.get_sim_state(), original.get_sim_state())


def pan_after(env: Any, turn: float, steps: int = 30) -> float:
    """Where shoulder_pan comes to rest from zero, when its target is `turn` [rad] away."""
    env.reset(seed=0)
    sim = env._sim
    sim.begin(np.array([0.0, -0.7, 0.3, 1.3, 0.0, 0.5]), None)
    sim.data.ctrl[0] = turn
    for _ in range(steps):
        env.step(np.zeros(6))
    assert sim.data.ctrl[0] == turn, "the play is not in the target"
    return float(sim.data.qpos[0])


def test_an_error_within_the_play_of_a_gear_moves_nothing_and_beyond_it_the_rest_is_made_up() -> None:
    tight, loose = envs.make("arm_reach").unwrapped, envs.make("arm_reach", backlash=0.06).unwrapped
    assert pan_after(loose, 0.025) == pytest.approx(0.0, abs=1e-4)
    assert pan_after(tight, 0.025) > 0.015
    # Half of the play, and what the friction of 0.04 N m holds against a spring of 6.9 N m/rad.
    assert 0.1 - 0.03 - 0.006 <= pan_after(loose, 0.1) <= 0.1 - 0.03 + 0.006


def test_a_torque_limit_is_a_share_of_the_stall_torque() -> None:
    model = envs.make("arm_reach", torque_limit=0.5).unwrapped._sim.model
    assert model.actuator_forcerange[:, 1].tolist() == [0.75, 0.75, 0.26, 0.26, 0.26, 0.26]
    assert model.actuator_forcerange[:, 0].tolist() == [-0.75, -0.75, -0.26, -0.26, -0.26, -0.26]


def test_a_servo_never_gives_more_than_its_limit() -> None:
    env = envs.make("arm_reach", torque_limit=0.1).unwrapped
    env.reset(seed=0)
    env._sim.data.ctrl[:] += 0.15
    env.step(np.zeros(6))
    force = env._sim.data.actuator_force
    np.testing.assert_array_less(np.abs(force), np.array([0.15, 0.15, 0.052, 0.052, 0.052, 0.052]) + 1e-9)
    assert np.abs(force[1]) == pytest.approx(0.15), "and that limit was felt"
