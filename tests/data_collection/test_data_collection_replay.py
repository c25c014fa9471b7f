"""Laws of `operator=replay`: demonstrations acted out again, each a little otherwise."""

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs
from data_collection.operators.replay import ReplayConfig, ReplayOperator, between
from data_collection.record import record_episode
from robot_orl.cli import main
from robot_orl.curation.resimulate import Resimulator
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, RobotOrlError, UsageError
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Episode, EpisodeMeta, Observation, Proposal

TASK = "fetch_push"
STILL = {"speed_low": 1.0, "speed_high": 1.0, "noise": 0.0, "shift": 0.0}
COUNT, STEPS = 3, 5


def demonstration(env: gymnasium.Env, seed: int, steps: int | None = STEPS) -> Episode:
    """Constant motion, of another direction for every seed."""
    action = np.random.default_rng(seed).uniform(-1.0, 1.0, 4).astype(np.float32)

    def choose(_: Observation) -> Proposal:
        return Proposal(action, Actor.HUMAN, operator=action)

    return rollout(
        env, choose, seed=seed, steps=steps, meta=EpisodeMeta(operator="human", notes=f"no {seed}")
    )


@pytest.fixture(scope="module")
def env() -> gymnasium.Env:
    return envs.make(TASK)


@pytest.fixture(scope="module")
def source(env: gymnasium.Env, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short demonstrations, begun from seeds 0, 1 and 2."""
    folder = tmp_path_factory.mktemp("replay") / "human"
    with SegmentWriter(folder, spec_of(env), "test") as writer:
        for seed in range(COUNT):
            writer.append(demonstration(env, seed))
    return folder


def operator_of(env: gymnasium.Env, source: Path | str, **config: object) -> ReplayOperator:
    return ReplayOperator(ReplayConfig(source=str(source), **config), spec_of(env))


def test_between_two_actions_it_is_linear_and_past_the_last_it_stays() -> None:
    actions = np.array([[0.0, 1.0], [0.4, 0.0], [1.0, -1.0]], np.float32)
    for at, expected in [(0.0, [0.0, 1.0]), (0.25, [0.1, 0.75]), (1.5, [0.7, -0.5]), (2.0, [1.0, -1.0])]:
        np.testing.assert_allclose(between(actions, at), expected, atol=1e-7)
    np.testing.assert_array_equal(between(actions, 2.7), actions[2])
    np.testing.assert_array_equal(between(actions, 300.0), actions[2])


def test_twice_as_fast_plays_every_second_action(env: gymnasium.Env, tmp_path: Path) -> None:
    episode = demonstration(env, 0, steps=7)
    ramp = np.linspace(-0.6, 0.6, 7, dtype=np.float32)[:, None].repeat(4, axis=1)
    with SegmentWriter(tmp_path / "ramp", spec_of(env), "test") as writer:
        writer.append(replace(episode, action=ramp))
    operator = operator_of(env, tmp_path / "ramp", **STILL | {"speed_low": 2.0, "speed_high": 2.0})
    operator.begin(np.random.default_rng(0))
    played = [operator.action({}) for _ in range(5)]
    np.testing.assert_allclose(played, ramp[[0, 2, 4, 6, 6]], atol=1e-7)


def test_variation_stays_in_its_bounds_and_reaches_for_them(env: gymnasium.Env, source: Path) -> None:
    operator = operator_of(env, source, speed_low=1.2, speed_high=1.6, noise=0.3, shift=0.02)
    speeds, noises, shifts, names = [], [], [], set()
    for seed in range(400):
        operator.begin(np.random.default_rng(seed))
        speeds.append(operator.variation.speed)
        noises.append(operator.variation.noise)
        shifts.append(operator.variation.shift["object_pos"])
        names.add(operator.demonstration.name)
    for drawn, low, high in [(speeds, 1.2, 1.6), (noises, 0.0, 0.3), (shifts, -0.02, 0.02)]:
        reach = 0.05 * (high - low)  # of 400 draws, one in 10^9 sets leaves such an end empty
        assert low <= np.min(drawn) < low + reach
        assert high - reach < np.max(drawn) <= high
    assert len(names) == COUNT


def test_noise_has_its_deviation_and_correlation(env: gymnasium.Env, source: Path) -> None:
    operator = operator_of(env, source, noise=0.2, correlation=0.7)
    operator.begin(np.random.default_rng(3))
    disturbances = np.array([(operator.action({}), operator.disturbance)[1] for _ in range(4000)])
    assert disturbances.std() == pytest.approx(operator.variation.noise, rel=0.05)
    neighbours = np.corrcoef(disturbances[:-1].ravel(), disturbances[1:].ravel())[0, 1]
    assert neighbours == pytest.approx(0.7, abs=0.03)


def test_the_shift_on_record_is_that_of_the_start(env: gymnasium.Env, source: Path) -> None:
    operator = operator_of(env, source, **STILL | {"shift": 0.02})
    operator.begin(np.random.default_rng(1))
    shifted = operator.reset_options["initial_state_dict"]
    found = {record.uid: record.meta.seed for record in Dataset.open(source).episodes}
    env.reset(seed=found[operator.demonstration.name])
    own = env.unwrapped.start_state()
    difference = np.array(shifted["object_pos"]) - own["object_pos"]
    assert np.abs(difference).min() > 1e-4
    np.testing.assert_allclose(difference, operator.variation.shift["object_pos"], atol=1e-12)
    assert shifted["goal"] == own["goal"]


def test_only_what_the_query_says_is_replayed(env: gymnasium.Env, source: Path) -> None:
    operator = operator_of(env, source, where="notes == 'no 1'")
    assert [one.seed for one in operator.demonstrations] == [1]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "operator=replay needs operator.source="),
        ({"source": "/nowhere/at/all"}, "no dataset at /nowhere/at/all"),
        ({"where": "length > 50"}, "0 of 3 episodes of .* match operator.where=length > 50"),
        ({"where": "lenth > 5"}, "did you mean 'length'"),
        ({"speed_low": 2.0}, "speed_low=2.0 is above speed_high=1.4"),
        ({"noise": -1.0}, "noise=-1.0 is outside"),
    ],
)
def test_a_bad_setting_is_one_line(env: gymnasium.Env, source: Path, config: dict, said: str) -> None:
    words = config if not config else {"source": str(source)} | config
    with pytest.raises(RobotOrlError, match=said) as caught:
        ReplayOperator(ReplayConfig(**words), spec_of(env))
    assert "\n" not in str(caught.value)


def test_demonstrations_of_another_task_are_refused(source: Path) -> None:
    with pytest.raises(DataError, match="is of task 'fetch_push', not 'fetch_reach'"):
        operator_of(envs.make("fetch_reach"), source)


def test_demonstrations_without_a_start_are_refused_and_named(env: gymnasium.Env, tmp_path: Path) -> None:
    known = demonstration(env, 0)
    unknown = replace(known, sim_state=None, meta=replace(known.meta, seed=None))
    with SegmentWriter(tmp_path, spec_of(env), "test") as writer:
        writer.append(known)
    with SegmentWriter(tmp_path, spec_of(env), "test") as writer:
        record = writer.append(unknown)
    with pytest.raises(DataError, match=f"episode {record.id} of .* neither a simulator state nor a seed"):
        operator_of(env, tmp_path)
    assert len(operator_of(env, tmp_path, where="seed is known").demonstrations) == 1


def test_replays_are_no_demonstrations(env: gymnasium.Env, tmp_path: Path) -> None:
    episode = demonstration(env, 0)
    replayed = replace(episode, meta=replace(episode.meta, operator="replay"))
    with SegmentWriter(tmp_path, spec_of(env), "test") as writer:
        writer.append(replayed)
        with pytest.raises(UsageError, match="is being written by"):
            operator_of(env, tmp_path)
    with pytest.raises(UsageError, match="replays are not replayed again"):
        operator_of(env, tmp_path)


@pytest.mark.e2e
@pytest.mark.parametrize("has_state", [True, False])
@pytest.mark.parametrize("task", envs.names())
def test_without_variation_a_demonstration_happens_again_bit_for_bit(
    task: str, has_state: bool, tmp_path: Path
) -> None:
    """From the simulator's state, and from the seed alone; the replay's own reset seed is another."""
    env = envs.make(task)
    size = spec_of(env).action_size
    rng = np.random.default_rng(0)

    def choose(_: Observation) -> Proposal:
        action = rng.uniform(-1.0, 1.0, size).astype(np.float32)
        return Proposal(action, Actor.HUMAN, operator=action)

    recorded = rollout(env, choose, seed=7, keep_state=has_state)
    with SegmentWriter(tmp_path, spec_of(env), "test") as writer:
        writer.append(recorded)
    again = record_episode(env, operator_of(env, tmp_path, **STILL), seed=1234)
    np.testing.assert_array_equal(again.action, recorded.action)
    for key, values in recorded.obs.items():
        np.testing.assert_array_equal(again.obs[key], values)
    np.testing.assert_array_equal(again.reward, recorded.reward)


@pytest.mark.e2e
def test_collecting_goes_on_as_if_it_had_not_stopped_and_every_episode_replays(
    source: Path, tmp_path: Path
) -> None:
    words = ["collect", f"task={TASK}", "operator=replay", f"operator.source={source}"]
    assert main([*words, f"out={tmp_path / 'whole'}", "episodes=5"]) == 0
    for count in (2, 5):
        assert main([*words, f"out={tmp_path / 'parts'}", f"episodes={count}"]) == 0
    whole, parts = (Dataset.open(tmp_path / name) for name in ("whole", "parts"))
    assert whole.fingerprint() == parts.fingerprint()
    assert len({record.meta.notes for record in whole.episodes}) == 5
    names = {f"human#{record.uid}" for record in Dataset.open(source).episodes}
    assert {record.meta.origin for record in whole.episodes} <= names
    with Resimulator(whole) as resimulator:
        assert all(resimulator.replay(record).is_equal for record in whole.episodes)
    assert main([*words, f"out={tmp_path / 'whole'}", "episodes=6", "operator.noise=0.2"]) == 2
    assert main(["collect", f"task={TASK}", "operator=replay", f"out={tmp_path / 'none'}"]) == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.e2e
def test_replays_may_be_added_to_the_demonstrations_themselves(
    env: gymnasium.Env, source: Path, tmp_path: Path
) -> None:
    with SegmentWriter(tmp_path / "both", spec_of(env), "test") as writer:
        for seed in range(COUNT):
            writer.append(demonstration(env, seed))
    into = str(tmp_path / "both")
    words = ["collect", f"task={TASK}", "operator=replay", f"operator.source={into}", f"out={into}"]
    for count in (1, 3):
        assert main([*words, f"episodes={count}"]) == 0
    assert len(operator_of(env, into).demonstrations) == COUNT
    assert len(Dataset.open(into).episodes) == COUNT + 3
