import gymnasium
import numpy as np
import pytest
from deploy_toys import FakeClock, Kept, MakeBundle

import envs  # noqa: F401  registers the tasks
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError, UsageError
from robot_orl.registry import factory
from robot_orl.tasks import TaskConfig, make_env

REACH = TaskConfig("fetch_reach")


@pytest.fixture
def sim(clock: FakeClock) -> SimRobot:
    return SimRobot(SimConfig(), REACH, clock)


def test_the_registry_knows_the_simulated_robot() -> None:
    assert type(factory("robot", "sim")(SimConfig(), REACH)) is SimRobot


def test_a_deployed_episode_is_what_the_task_itself_would_have_done(
    sim: SimRobot, clock: FakeClock, make_bundle: MakeBundle
) -> None:
    episodes = Kept()
    bundle = make_bundle(sim.spec)
    report = run(sim, bundle, duration_s=2.0, clock=clock, writer=episodes, seed=3)
    (episode,) = episodes
    assert (len(episode), report.stopped_by) == (sim.spec.horizon, "duration")
    env: gymnasium.Env = make_env(REACH)
    obs, _ = env.reset(seed=3)
    for step, action in enumerate(episode.action):
        for key in obs:
            assert np.array_equal(obs[key], episode.obs[key][step])
        obs, reward, _, truncated, info = env.step(action)
        assert (reward, truncated) == (episode.reward[step], episode.truncated[step])
    assert (episode.meta.seed, episode.meta.success) == (3, info["success"])


def test_recorded_simulator_states_restore_their_step(
    sim: SimRobot, clock: FakeClock, make_bundle: MakeBundle
) -> None:
    episodes = Kept()
    run(sim, make_bundle(sim.spec), duration_s=0.4, clock=clock, writer=episodes)
    episode = episodes[0]
    assert episode.sim_state is not None
    env = make_env(REACH)
    env.reset(seed=0)
    env.unwrapped.set_sim_state(episode.sim_state[4])  # type: ignore[attr-defined]
    obs = env.unwrapped.step(episode.action[4])[0]
    assert np.array_equal(obs["observation"], episode.obs["observation"][5])


def test_observations_carry_the_time_of_their_step(sim: SimRobot, clock: FakeClock) -> None:
    sim.connect()
    sim.home(0)
    clock.time_ns += 500
    assert sim.observe().t_ns == clock.now_ns()  # nothing moves yet: a look is a new observation
    stepped_ns = clock.now_ns()
    sim.send(np.zeros(4, np.float32))
    clock.time_ns += 500
    assert sim.observe().t_ns == stepped_ns


def test_the_freeze_drill_ends_in_a_stale_stop(clock: FakeClock, make_bundle: MakeBundle) -> None:
    sim = SimRobot(SimConfig(freeze_after_s=0.5), REACH, clock)
    report = run(sim, make_bundle(sim.spec), duration_s=9, clock=clock)
    # the step of 0.48 s is the last that is seen; 0.24 s later it is within 250 ms, 0.28 s later not
    assert report.fault is not None
    assert report.fault.startswith("stale: the newest observation is 280.0 ms old")
    assert report.ticks == 18
    with pytest.raises(RunError, match="is stopped"):
        sim.send(np.zeros(4, np.float32))


def test_the_robot_says_what_it_executed_in_its_own_range(sim: SimRobot) -> None:
    sim.connect()
    sim.home(0)
    assert sim.send(np.array([5, -5, 0, 0.125])).tolist() == [1, -1, 0, 0.125]


def test_the_limits_of_its_yaml_hold_whatever_the_bundle_says(
    clock: FakeClock, make_bundle: MakeBundle
) -> None:
    sim = SimRobot(SimConfig(limits=Limits(max_action_delta=0.125)), REACH, clock)
    bundle = make_bundle(sim.spec, Limits(max_action_delta=1.0, max_observation_age_s=0.2))
    episodes = Kept()
    report = run(sim, bundle, duration_s=2.0, clock=clock, writer=episodes).to_dict()
    assert (np.abs(np.diff(episodes[0].action, axis=0)) <= 0.125 + 1e-6).all()
    assert report["limits"]["max_action_delta"] == 0.125
    assert report["tightened"] == {"max_observation_age_s": [0.25, 0.2]}
    assert report["parked"]


def test_stop_and_close_work_from_any_state_and_more_than_once(sim: SimRobot) -> None:
    for _ in range(2):
        sim.stop()
        sim.close()
    sim.connect()
    sim.home(0)
    sim.stop()
    sim.stop()
    with pytest.raises(RunError, match="sim: is stopped; home it first"):
        sim.send(np.zeros(4, np.float32))
    sim.home(1)
    sim.send(np.zeros(4, np.float32))


def test_using_it_too_early_is_an_error_in_words(sim: SimRobot) -> None:
    with pytest.raises(RunError, match="connect before home"):
        sim.home(0)
    with pytest.raises(RunError, match="home before observe"):
        sim.observe()


def test_an_unknown_task_names_the_valid_ones() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'fetch_push'\?"):
        SimRobot(SimConfig(), TaskConfig("fetch_psh"))
