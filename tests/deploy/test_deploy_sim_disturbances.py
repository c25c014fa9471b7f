"""Delay, noise and losses between a simulated robot and whoever controls it."""

import json
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock, Kept, MakeBundle

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.disturbances import Delay, Disturbances, whole_periods
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Array, Episode, Signal, Spec

REACH = TaskConfig("fetch_reach")  # 25 Hz: a control period is 40 ms
ALL_FOUR = SimConfig(latency_s=0.04, jitter_s=0.01, noise={"m": 0.01, "m/step": 0.002}, drop=0.3)


@pytest.fixture
def metres() -> Spec:
    observation = {"seen": (Signal("x", "m"), Signal("turn", "rad")), "goal": (Signal("x", "m"),)}
    return Spec("toy", observation, (Signal("push"),), 10.0, 5, "seen", "goal")


def deployed(cfg: SimConfig, make_bundle: MakeBundle, duration_s: float = 0.4) -> Episode:
    clock, episodes = FakeClock(), Kept()
    sim = SimRobot(cfg, REACH, clock)
    run(sim, make_bundle(sim.spec), duration_s=duration_s, clock=clock, writer=episodes, seed=3)
    return episodes[0]


def simulated(actions: Array) -> tuple[list[Array], list[float]]:
    """True observations, one more than actions, and rewards of the episode of seed 3."""
    env = make_env(REACH)
    obs, _ = env.reset(seed=3)
    observations, rewards = [obs["observation"]], []
    for action in actions:
        obs, reward, *_ = env.step(action)
        observations.append(obs["observation"])
        rewards.append(float(reward))
    return observations, rewards


def test_what_is_delayed_comes_out_in_order_so_many_turns_later() -> None:
    delay: Delay[str] = Delay(2)
    assert [delay(item) for item in "abcd"] == [None, None, "a", "b"]
    delay.begin()
    assert delay("e") is None
    assert Delay[str](0)("a") == "a"


@pytest.mark.parametrize(
    ("latency_s", "periods", "said"),
    [
        (0.0, 0, None),
        (0.08, 2, None),
        (0.05, 1, "latency_s=0.05 is 1.25 control periods of 40 ms; an action takes effect 1 later"),
        (0.06, 2, "latency_s=0.06 is 1.5 control periods of 40 ms; an action takes effect 2 later"),
        (0.01, 0, "latency_s=0.01 is 0.25 control periods of 40 ms; an action takes effect 0 later"),
    ],
)
def test_a_latency_is_rounded_to_control_periods_and_says_so(
    latency_s: float, periods: int, said: str | None
) -> None:
    assert whole_periods(latency_s, 25.0) == (periods, said)


def test_a_rounded_latency_is_told_when_the_robot_is_connected(caplog: pytest.LogCaptureFixture) -> None:
    SimRobot(SimConfig(latency_s=0.05), REACH, FakeClock()).connect()
    (told,) = caplog.messages
    assert told.startswith("sim: latency_s=0.05 is 1.25 control periods of 40 ms;")


def test_with_a_latency_of_two_periods_the_task_gets_each_action_two_steps_later(
    make_bundle: MakeBundle,
) -> None:
    episode = deployed(SimConfig(latency_s=0.08), make_bundle)
    assert np.abs(episode.action).max(1).all()  # what was sent, none of it 0, is what is recorded
    late = np.concatenate([np.zeros((2, 4), np.float32), episode.action[:-2]])
    assert np.array_equal(episode.obs["observation"], simulated(late)[0])
    assert not np.array_equal(episode.obs["observation"], simulated(episode.action)[0])


def test_an_episode_begins_without_the_actions_that_were_on_their_way() -> None:
    sim = SimRobot(SimConfig(latency_s=0.04), REACH, FakeClock())
    sim.connect()
    after_one = []
    for _ in range(2):
        sim.home(3)
        sim.send(np.ones(4, np.float32))
        after_one.append(sim.observe().obs["observation"])
    assert np.array_equal(after_one[0], after_one[1])
    assert np.array_equal(after_one[0], simulated(np.zeros((1, 4)))[0][1])


def test_noise_has_the_deviation_of_its_unit_and_goals_have_none(metres: Spec) -> None:
    noisy = Disturbances(metres, {"m": 0.5}, drop=0.0, jitter_s=0.0)
    noisy.begin(1)
    true = {"seen": np.array([2.0, 3.0], np.float32), "goal": np.array([4.0], np.float32)}
    seen = [noisy.noisy(true) for _ in range(4_000)]
    x = np.array([obs["seen"][0] for obs in seen])
    assert x.dtype == np.float32
    assert abs(x.mean() - 2.0) < 0.04  # five times 0.5 / sqrt(4000)
    assert abs(x.std() - 0.5) < 0.03
    assert {float(obs["seen"][1]) for obs in seen} == {3.0}  # in rad
    assert {float(obs["goal"][0]) for obs in seen} == {4.0}


def test_losses_are_the_share_that_was_asked_for(metres: Spec) -> None:
    def losses(drop: float, noise: float = 0.0) -> list[bool]:
        lossy = Disturbances(metres, {"m": noise}, drop, jitter_s=0.0)
        lossy.begin(1)
        return [lossy.is_lost() for _ in range(4_000) if lossy.noisy({"seen": np.zeros(2)})]

    assert (sum(losses(0.0)), sum(losses(1.0))) == (0, 4_000)
    assert abs(sum(losses(0.25)) / 4_000 - 0.25) < 0.035  # five standard deviations
    assert losses(0.25) == losses(0.25, noise=0.1)  # noise takes nothing from the draws of losses


def test_what_the_policy_saw_is_recorded_and_the_truth_pays(make_bundle: MakeBundle) -> None:
    episode = deployed(SimConfig(noise={"m": 0.05}), make_bundle)
    true, rewards = simulated(episode.action)
    off = np.abs(episode.obs["observation"] - true)[:, :3]
    assert 0.01 < off.mean() < 0.1
    assert episode.reward.tolist() == rewards
    assert episode.sim_state is not None


def test_a_lost_observation_leaves_the_last_one_with_its_time() -> None:
    clock = FakeClock()
    sim = SimRobot(SimConfig(drop=1.0), REACH, clock)
    sim.connect()
    sim.home(3)
    first = sim.observe()
    clock.time_ns += 40_000_000
    sim.send(np.ones(4, np.float32))
    assert sim.observe() is first


def test_a_gap_that_is_too_long_ends_in_the_veto_of_stale_observations(make_bundle: MakeBundle) -> None:
    clock = FakeClock()
    sim = SimRobot(SimConfig(drop=1.0), REACH, clock)
    report = run(sim, make_bundle(sim.spec), duration_s=9, clock=clock)
    # The first tick sees what is there before anything moves; six later it is 240 ms old, seven later 280.
    assert report.fault == "stale: the newest observation is 280.0 ms old, limit 250.0 ms"
    assert report.ticks == 7


def test_jitter_makes_a_look_longer_by_at_most_that_much() -> None:
    clock = FakeClock()
    sim = SimRobot(SimConfig(jitter_s=0.01), REACH, clock)
    sim.connect()
    sim.home(3)
    took = []
    for _ in range(200):
        begin_ns = clock.now_ns()
        assert sim.observe().t_ns == begin_ns  # it is as old as the look took
        took.append((clock.now_ns() - begin_ns) / 1e9)
    assert 0 <= min(took) < 0.001
    assert 0.009 < max(took) <= 0.01


def test_a_disturbed_run_repeats(make_bundle: MakeBundle) -> None:
    one, other = (deployed(ALL_FOUR, make_bundle) for _ in range(2))
    assert np.array_equal(one.obs["observation"], other.obs["observation"])
    assert np.array_equal(one.action, other.action)
    assert (one.obs["observation"][1:] == one.obs["observation"][:-1]).all(1).any()  # some were lost


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("latency_s", 1.5, "latency_s=1.5 is outside 0 .. 1 [s]"),
        ("jitter_s", -0.1, "jitter_s=-0.1 is outside 0 .. 1 [s]"),
        ("drop", float("nan"), "drop=nan is outside 0 .. 1"),
        ("noise", {"rad": 0.1}, "noise: fetch_reach observes nothing in 'rad'; it observes: m, m/step"),
        ("noise", {"m": -0.1}, "noise: m=-0.1 is no standard deviation, which is 0 or more"),
        ("noise", {"m": float("inf")}, "noise: m=inf is no standard deviation, which is 0 or more"),
    ],
)
def test_bad_values_are_one_line(field: str, value: object, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        SimRobot(SimConfig(**{field: value}), REACH)  # type: ignore[arg-type]
    assert str(refused.value) == said


@pytest.mark.e2e
def test_all_four_are_deployed_and_recorded(
    make_bundle: MakeBundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    patient = Limits(max_observation_age_s=5, max_policy_age_s=30)  # a busy computer must not end it
    bundle = make_bundle(spec_of(make_env(REACH)), patient).path
    words = ["deploy", f"bundle={bundle}", "robot=sim", "priority=0", "duration_s=3"]
    troubles = [
        "robot.latency_s=0.05",
        "robot.jitter_s=0.005",
        "robot.noise={m: 0.01, m/step: 0.002}",
        "robot.drop=0.1",
        "robot.limits.max_observation_age_s=5",
        "robot.limits.max_policy_age_s=30",
    ]
    data = tmp_path / "data"
    assert main([*words, *troubles, f"record={data}"]) == 0
    assert "latency_s=0.05 is 1.25 control periods" in caplog.text
    capsys.readouterr()
    figures = json.loads((bundle / "deploy.json").read_text())
    asked = figures["config"]["robot"]
    assert (asked["latency_s"], asked["jitter_s"], asked["drop"]) == (0.05, 0.005, 0.1)
    assert asked["noise"] == {"m": 0.01, "m/step": 0.002}
    assert sum(record.length for record in Dataset.open(data).episodes) == figures["ticks"] > 0
    for bad in ("robot.drop=2", "robot.noise={kg: 1}", "robot.noise={m: much}"):
        assert main([*words, bad]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
