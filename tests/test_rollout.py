"""The one loop that steps a task: what it records is what happened."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  registers the tasks
from robot_orl.rollout import CutShort, End, rollout
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Actor, Camera, EpisodeMeta, Observation, Proposal

Env = gymnasium.Env[Any, Any]


@pytest.fixture(scope="module")
def env() -> Env:
    return make_env(TaskConfig("fetch_reach"))


def wave(obs: Observation) -> Proposal:
    """Depends on the observation alone."""
    action = np.sin(40 * obs["observation"][:4]).astype(np.float32)
    return Proposal(action, Actor.POLICY, policy=action / 2)


def test_an_episode_is_what_the_task_did(env: Env) -> None:
    episode = rollout(env, wave, seed=11)
    obs, _ = env.reset(seed=11)
    for step in range(50):
        for key, value in obs.items():
            assert episode.obs[key][step].tobytes() == value.tobytes()
        action = wave(obs).action
        np.testing.assert_array_equal(episode.action[step], action)
        np.testing.assert_array_equal(episode.action_policy[step], action / 2)
        obs, reward, terminated, truncated, info = env.step(action)
        assert (episode.reward[step], episode.terminated[step], episode.truncated[step]) == (
            reward,
            terminated,
            truncated,
        )
    np.testing.assert_array_equal(episode.obs["observation"][50], obs["observation"])
    assert truncated
    assert len(episode) == 50
    assert np.isnan(episode.action_operator).all()
    assert (episode.actor == Actor.POLICY).all()
    assert (episode.meta.seed, episode.meta.end_reason) == (11, "horizon")
    assert episode.meta.success == info["success"]
    assert episode.meta.success_any == bool((episode.reward == 0).any())


def test_the_same_seed_gives_the_same_episode_whatever_came_before(env: Env) -> None:
    first = rollout(env, wave, seed=3)
    rollout(env, wave, seed=4)
    again = rollout(env, wave, seed=3)
    assert again.action.tobytes() == first.action.tobytes()
    assert again.sim_state is not None
    assert first.sim_state is not None
    assert again.sim_state.tobytes() == first.sim_state.tobytes()


def test_a_recorded_simulator_state_leads_to_the_next_observation(env: Env) -> None:
    episode = rollout(env, wave, seed=5)
    assert episode.sim_state is not None
    assert len(episode.sim_state) == 51
    task = task_env(env)
    env.reset(seed=99)
    task.set_sim_state(episode.sim_state[20])
    obs, *_ = env.step(episode.action[20])
    assert obs["observation"].tobytes() == episode.obs["observation"][21].tobytes()


def test_success_at_any_step_is_not_success_at_the_last(env: Env) -> None:
    steps = iter(range(50))

    def there_and_away(obs: Observation) -> Proposal:
        offset = 10 * (obs["desired_goal"] - obs["achieved_goal"])
        move = np.clip(offset, -1, 1) if next(steps) < 25 else -np.sign(offset)
        return Proposal(np.append(move, 0).astype(np.float32), Actor.SCRIPT)

    episode = rollout(env, there_and_away, seed=1)
    assert (episode.reward[20], episode.reward[49]) == (0, -1)
    assert episode.meta.success_any
    assert not episode.meta.success


def test_keeping_no_states_changes_nothing_else(env: Env) -> None:
    with_states, without = rollout(env, wave, seed=6), rollout(env, wave, seed=6, keep_state=False)
    assert without.sim_state is None
    assert without.action.tobytes() == with_states.action.tobytes()


def test_what_is_known_about_the_operator_is_kept(env: Env) -> None:
    meta = EpisodeMeta(operator="wave", quality=0.25, policy_hash="abc", seed=-1, end_reason="?")
    episode = rollout(env, wave, seed=7, meta=meta)
    assert (episode.meta.operator, episode.meta.quality, episode.meta.policy_hash) == ("wave", 0.25, "abc")
    assert (episode.meta.seed, episode.meta.end_reason) == (7, "horizon")


def test_simulated_time_passes_by_one_control_period_a_step(env: Env) -> None:
    episode = rollout(env, wave, seed=8)
    assert task_env(env).task_spec.control_hz == 25
    np.testing.assert_array_equal(episode.t_ns, np.arange(50) * 40_000_000)


def test_real_time_is_what_the_pace_says(env: Env) -> None:
    class Late:
        """Starts at 5 ns and is 3 ns later at each tick."""

        def start(self) -> int:
            self.now_ns = 5
            return self.now_ns

        def wait(self) -> int:
            self.now_ns += 3
            return self.now_ns

    episode = rollout(env, wave, seed=9, pace=Late())
    np.testing.assert_array_equal(episode.t_ns, 5 + 3 * np.arange(50))


@pytest.mark.parametrize("steps", [3, 53])
def test_what_was_recorded_elsewhere_is_played_to_its_own_end(env: Env, steps: int) -> None:
    episode = rollout(env, wave, seed=10, steps=steps)
    assert task_env(env).task_spec.horizon == 50
    assert len(episode) == steps
    assert np.flatnonzero(episode.truncated).tolist() == [steps - 1]
    assert episode.meta.end_reason == "recording"


def test_reset_options_are_kept_as_plain_json() -> None:
    env = make_env(TaskConfig("adroit_door"))
    sim: Any = env.unwrapped
    start = sim._sim.get_env_state()
    episode = rollout(env, still, seed=2, options={"initial_state_dict": start}, keep_state=False)
    kept = episode.meta.reset_options
    assert kept == {"initial_state_dict": {name: value.tolist() for name, value in start.items()}}
    again, _ = env.reset(seed=2, options=dict(kept))
    assert again["observation"].tobytes() == episode.obs["observation"][0].tobytes()
    assert rollout(env, still, seed=2, keep_state=False).meta.reset_options == {}


def still(obs: Observation) -> Proposal:
    return Proposal(np.zeros(28, np.float32), Actor.SCRIPT)


def test_a_frame_of_another_shape_ends_the_episode_with_what_there_is(
    env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    task: Any = env.unwrapped
    shown = iter([*[np.full((4, 6, 3), i, np.uint8) for i in range(10)], np.zeros((4, 5, 3), np.uint8)])
    monkeypatch.setattr(task, "task_spec", replace(task.task_spec, cameras={"wrist": Camera(4, 6)}))
    monkeypatch.setattr(task, "frames", lambda: {"wrist": next(shown)})
    with pytest.raises(CutShort) as caught:
        rollout(env, wave, seed=10, keep_frames=True)
    assert str(caught.value) == (
        "camera 'wrist' gave a frame of (4, 5, 3) uint8 at step 9; expected (4, 6, 3) uint8"
    )
    episode = caught.value.episode
    assert (len(episode), episode.meta.end_reason, episode.meta.seed) == (9, "fault", 10)
    assert (episode.truncated.tolist(), episode.terminated.any()) == ([False] * 8 + [True], False)
    assert [int(frame[0, 0, 0]) for frame in episode.images["wrist"]] == list(range(10))


def test_an_episode_ended_from_outside_is_truncated_where_it_was_and_says_why(env: Env) -> None:
    calls = 0

    def choose(obs: Observation) -> Proposal | End:
        nonlocal calls
        calls += 1
        return End("bored") if calls == 8 else wave(obs)

    episode = rollout(env, choose, seed=11)
    whole = rollout(env, wave, seed=11)
    assert (len(episode), episode.meta.end_reason) == (7, "bored")
    np.testing.assert_array_equal(episode.action, whole.action[:7])
    np.testing.assert_array_equal(episode.obs["observation"], whole.obs["observation"][:8])
    np.testing.assert_array_equal(episode.truncated, [False] * 6 + [True])
    assert not episode.terminated.any()
    assert episode.meta.success == bool(episode.reward[-1] == 0)


def test_an_episode_that_ends_before_its_first_step_has_none(env: Env) -> None:
    assert len(rollout(env, lambda obs: End("bored"), seed=11)) == 0
