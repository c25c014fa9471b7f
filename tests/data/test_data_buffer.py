"""An episode collected step by step in RAM is the episode that was lived."""

import numpy as np
import pytest
from made_episodes import SIM_STATE, assert_same_bits, made_episode, made_spec

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.types import Actor, Episode, EpisodeMeta, Proposal

SPEC = made_spec()


def obs(value: float) -> dict[str, np.ndarray]:
    return {"observation": np.full(5, value, "f4"), "achieved_goal": np.full(3, -value, "f4")}


def collect(buffer: EpisodeBuffer, episode: Episode) -> Episode:
    """Feed an episode through the buffer, its arrays reused from step to step as some tasks do."""
    shown = {key: rows[0].copy() for key, rows in episode.obs.items()}
    state = None if episode.sim_state is None else episode.sim_state[0].copy()
    buffer.begin(shown, state)
    for i in range(len(episode)):
        proposal = Proposal(
            action=np.zeros(2, "f4"),
            actor=Actor(int(episode.actor[i])),
            operator=episode.action_operator[i],
        )
        for key, rows in episode.obs.items():
            shown[key][:] = rows[i + 1]
        if state is not None:
            state[:] = episode.sim_state[i + 1]
        buffer.append(
            proposal,
            shown,
            float(episode.reward[i]),
            bool(episode.terminated[i]),
            bool(episode.truncated[i]),
            int(episode.t_ns[i]),
            sim_state=state,
            executed=episode.action[i],
        )
    return buffer.finish(episode.meta)


def lived(seed: int, length: int, sim_state: bool = True) -> Episode:
    episode = made_episode(seed, length, sim_state)
    return Episode(**{**vars(episode), "actor": (np.arange(length) % 4).astype("u1")})


@pytest.mark.parametrize("sim_state", [True, False])
def test_what_goes_in_comes_out_bit_for_bit_also_beyond_the_capacity(sim_state: bool) -> None:
    buffer = EpisodeBuffer(SPEC, capacity=3)
    for seed, length in enumerate([1, 3, 4, 25, 2]):
        episode = lived(seed, length, sim_state)
        assert_same_bits(collect(buffer, episode), episode)
        assert len(buffer) == 0


def test_an_episode_keeps_its_values_when_the_buffer_goes_on() -> None:
    buffer = EpisodeBuffer(SPEC, capacity=8)
    first = collect(buffer, lived(0, 5))
    collect(buffer, lived(1, 8))
    assert_same_bits(first, lived(0, 5))


def test_who_proposed_nothing_is_stored_as_nan_and_the_executed_action_beside_it() -> None:
    buffer = EpisodeBuffer(SPEC)
    buffer.begin(obs(0))
    policy, operator = np.array([0.1, 0.2], "f4"), np.array([0.5, -0.5], "f4")
    buffer.append(Proposal(policy, Actor.POLICY, policy=policy), obs(1), -1.0, False, False, 0)
    mixed = Proposal(operator, Actor.INTERVENTION, policy=policy, operator=operator)
    buffer.append(mixed, obs(2), None, False, True, 40, executed=np.array([0.4, -0.5], "f4"))
    assert len(buffer) == 2
    episode = buffer.finish(EpisodeMeta())
    np.testing.assert_array_equal(episode.action, np.array([[0.1, 0.2], [0.4, -0.5]], "f4"))
    np.testing.assert_array_equal(episode.action_policy, np.array([policy, policy]))
    np.testing.assert_array_equal(episode.action_operator, np.array([[np.nan, np.nan], [0.5, -0.5]], "f4"))
    np.testing.assert_array_equal(episode.reward, np.array([-1, np.nan], "f4"))
    assert episode.actor.tolist() == [2, 3]
    assert episode.truncated.tolist() == [False, True]
    assert episode.obs["observation"][:, 0].tolist() == [0, 1, 2]
    assert episode.sim_state is None


def test_begin_drops_an_unfinished_episode() -> None:
    buffer = EpisodeBuffer(SPEC)
    buffer.begin(obs(0), np.zeros(SIM_STATE))
    buffer.append(Proposal(np.zeros(2, "f4"), Actor.SCRIPT), obs(1), 0.0, False, False, 0)
    buffer.begin(obs(5))
    assert len(buffer) == 0
    buffer.append(Proposal(np.zeros(2, "f4"), Actor.SCRIPT), obs(6), 0.0, False, False, 0)
    episode = buffer.finish(EpisodeMeta())
    assert episode.obs["observation"][:, 0].tolist() == [5, 6]
    assert episode.sim_state is None
