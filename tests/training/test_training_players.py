"""Players: episodes are the same wherever they are played, and no process outlives its learner."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from children import child
from learning_toys import goal_spec, identity, point_spec, points
from training_toys import reach

from robot_orl.agents.base import Policy, act
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.errors import RunError, UsageError
from robot_orl.tasks import TaskConfig, spec_of
from robot_orl.training.evaluate import evaluate
from robot_orl.training.playing.player import Request, play
from robot_orl.training.playing.players import Players, warm_up
from robot_orl.training.playing.shared_memory import LINE, Layout, Room, Weights
from robot_orl.types import EpisodeMeta, Spec

TASK = TaskConfig("fetch_reach")
META = EpisodeMeta(operator="policy", policy_hash="abc")

HOLD = """
import sys, time
sys.path[:0] = sys.argv[1:]
import envs
from test_training_players import TASK, policy_for
from training_toys import reach
from robot_orl.tasks import spec_of
from robot_orl.training.playing.players import Players, Request
spec = spec_of(reach())
policy = policy_for(spec)
with Players(TASK, spec, policy, 2) as players:
    players.measure(0, range(10_000), players.weights(policy))
    players.start(1, Request(0), players.weights(policy))
    print(*(player._process.pid for player in players._players), flush=True)
    time.sleep(60)
"""


def policy_for(spec: Spec, seed: int = 0) -> Policy:
    torch.manual_seed(seed)
    size = spec.observation_size + 3
    normalizer = Normalizer(np.zeros(size, np.float32), np.ones(size, np.float32))
    return Policy(spec, normalizer, (16, 16), -1.0, -1.0)


# the shared memory


def test_arrays_lie_one_behind_the_other_each_on_a_line_of_its_own() -> None:
    layout = Layout({"a": ("float32", (3,)), "b": ("uint8", (65,)), "c": ("float64", ())})
    assert layout.size == LINE + 2 * LINE + LINE
    memory = np.zeros(layout.size, np.uint8)
    views = layout.views(memory)
    views["a"][:], views["b"][:], views["c"][...] = 1, 2, 3
    assert memory[:12].view(np.float32).tolist() == [1, 1, 1]
    assert memory[64:129].tolist() == [2] * 65
    assert memory[192:200].view(np.float64).tolist() == [3]
    assert memory.sum() == memory[:12].sum() + 130 + memory[192:200].sum()  # nothing between them


def test_weights_come_through_the_memory_bitwise_and_are_named_by_their_content() -> None:
    spec = goal_spec()
    first, second = (Policy(spec, identity(spec, extra=2), (8,), -1.0, -1.0) for _ in range(2))
    weights = Weights(first)
    memory = weights.of(first)
    assert weights.name(memory) != weights.name(weights.of(second))
    weights.load(memory, second)
    for name, value in first.state_dict().items():
        assert second.state_dict()[name].equal(value)
    assert weights.name(weights.of(second)) == weights.name(memory)
    next(iter(first.actor.parameters())).data.add_(1.0)
    assert weights.name(memory) == weights.name(weights.of(second))  # a copy, not a view


def test_an_episode_comes_through_the_memory_whole() -> None:
    spec = replace(point_spec(), horizon=3)
    room = Room(spec, sim_state_size=2)
    memory = np.full(room.size + LINE, 7, np.uint8)
    episode = points([0.1, 0.2, 0.3], [-1, 0])
    room.write(memory, LINE, episode)
    found = room.read(memory, LINE, 2, False, episode.meta)
    room.write(memory, LINE, points([5, 6, 7, 8], [0, 0, 0]))  # the next one changes nothing of it
    for name in ("action", "action_policy", "reward", "terminated", "truncated", "t_ns", "actor"):
        assert getattr(found, name).tobytes() == getattr(episode, name).tobytes(), name
    assert found.obs["position"].tobytes() == episode.obs["position"].tobytes()
    assert found.sim_state is None
    assert memory[:LINE].tolist() == [7] * LINE
    with pytest.raises(RunError, match=r"^an episode of 4 steps is longer than the horizon of point, 3$"):
        room.write(memory, LINE, points([0, 1, 2, 3, 4], [0, 0, 0, 0]))


# processes


@pytest.mark.e2e
def test_what_players_play_is_bitwise_what_is_played_here(env: gymnasium.Env[Any, Any]) -> None:
    spec = spec_of(env)
    policy, other = policy_for(spec), policy_for(spec, seed=8)  # whose returns differ
    noisy = [Request(seed, META, 0.3, (0, 1, seed), keep_state=True) for seed in range(3)]
    with Players(TASK, spec, policy, 2) as players:
        weights = players.weights(policy)
        for request, episode in zip(noisy, players.play_all(noisy, weights), strict=True):
            expected = play(env, policy, spec, request)
            assert episode.meta == expected.meta
            assert episode.meta.policy_hash == "abc"
            assert episode.sim_state is not None
            assert episode.sim_state.tobytes() == expected.sim_state.tobytes()  # type: ignore[union-attr]
            assert episode.action.tobytes() == expected.action.tobytes()
            assert episode.action_policy.tobytes() != episode.action.tobytes()
        players.measure(1, [5, 6], players.weights(other))
        assert players.played() == [1]
        found = players.measured(1)
        assert found == evaluate(env, lambda obs: act(other, spec.flatten(obs)), [5, 6])
        assert found != evaluate(env, lambda obs: act(policy, spec.flatten(obs)), [5, 6])
        assert players.played(timeout_s=0) == []


@pytest.mark.e2e
def test_a_player_that_fails_says_why_in_one_line(env: gymnasium.Env[Any, Any]) -> None:
    spec = spec_of(env)
    policy = policy_for(spec)
    with Players(TASK, spec, policy, 1) as players:
        policy.actor.net[0].weight.data.fill_(np.nan)
        players.start(0, Request(0), players.weights(policy))
        with pytest.raises(RunError, match=r"^environment process 0 failed: \w+: action is not finite: \["):
            players.take(0)
    with pytest.raises(UsageError, match=r"^no task 'fetch_rech'; did you mean 'fetch_reach'\? "):
        Players(TaskConfig("fetch_rech"), spec, policy, 1)


@pytest.mark.e2e
def test_a_player_that_cannot_be_started_leaves_no_descriptor_behind(env: gymnasium.Env[Any, Any]) -> None:
    spec = spec_of(env)
    policy = policy_for(spec)
    gymnasium.register("of_this_process_only", entry_point=lambda: reach())  # cannot be sent to another
    try:
        warm_up(TASK)
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises((AttributeError, pickle.PicklingError)):
            Players(TaskConfig("of_this_process_only"), spec, policy, 1).__enter__()
        gc.collect()
        assert set(os.listdir("/proc/self/fd")) <= before
    finally:
        del gymnasium.registry["of_this_process_only"]


@pytest.mark.e2e
def test_no_player_outlives_a_killed_learner() -> None:
    """Neither one in the middle of a long evaluation nor one that waits."""
    command = [sys.executable, "-c", HOLD, *map(str, Path(__file__).parents[:2])]
    with child(command, stdout=subprocess.PIPE, text=True) as learner:
        assert learner.stdout is not None
        processes = [int(word) for word in learner.stdout.readline().split()]
        assert len(processes) == 2
        learner.kill()
    deadline = time.monotonic() + 30
    while any(is_alive(process) for process in processes):
        assert time.monotonic() < deadline, "a player is left behind"
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """A zombie, which waits only to be counted, has ended."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.e2e
def test_players_leave_ctrl_c_to_the_learner() -> None:
    """A terminal sends it to all of them at once."""
    env = reach()
    spec = spec_of(env)
    policy = policy_for(spec)
    with Players(TASK, spec, policy, 1) as players:
        players.start(0, Request(0), players.weights(policy))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(players._players[0]._process.pid or 0, number)
        assert len(players.take(0)) == spec.horizon
