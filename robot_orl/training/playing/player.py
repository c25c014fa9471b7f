"""An environment process: it plays the episodes that it is asked for, one after the other, until nobody asks.

It owns an environment and a copy of the policy, and waits for nothing inside an episode. What it is asked
and what it answers are small messages over a pipe:

    learner                              player
                                         Ready(sim_state_size)        once its environment is made
    (weights into the memory) Request →
                                         Played(length, meta, ...)    (the episode lies in the memory)
    (weights into the memory) Measure →
                                         Evaluation                   of the policy without noise
                                         Failed(line)                 and it ends

It ends with the pipe, at the end of an episode at the latest: a learner that was killed leaves no process.
"""

import mmap
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from robot_orl.agents.base import act
from robot_orl.errors import RobotOrlError
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.training.evaluate import figures_of
from robot_orl.training.playing.shared_memory import Room, Weights
from robot_orl.types import Actor, Episode, EpisodeMeta, Observation, Proposal, Spec


@dataclass(frozen=True)
class Request:
    """An episode to play. seed: of its start.  meta: what else is known about it.

    noise: standard deviation of what is added to the policy's actions, drawn from a generator of its own
    that begins at `noise_seed`.  keep_state: record the simulator's states, too.
    """

    seed: int
    meta: EpisodeMeta = field(default_factory=EpisodeMeta)
    noise: float = 0.0
    noise_seed: tuple[int, ...] = ()
    keep_state: bool = False


@dataclass(frozen=True)
class Measure:
    """An evaluation to make, of an episode for each seed."""

    seeds: Sequence[int]


@dataclass(frozen=True)
class Ready:
    sim_state_size: int


@dataclass(frozen=True)
class Played:
    length: int
    has_state: bool
    meta: EpisodeMeta


@dataclass(frozen=True)
class Failed:
    line: str


def play(env: gymnasium.Env[Any, Any], policy: nn.Module, spec: Spec, request: Request) -> Episode:
    """One episode with the policy and Gaussian noise."""
    rng = np.random.default_rng(request.noise_seed)

    def choose(obs: Observation) -> Proposal:
        proposed = act(policy, spec.flatten(obs))
        if request.noise == 0:
            return Proposal(proposed, Actor.POLICY, policy=proposed)
        noisy = proposed + request.noise * rng.standard_normal(spec.action_size)
        return Proposal(np.clip(noisy, -1, 1).astype(np.float32), Actor.POLICY, policy=proposed)

    return rollout(env, choose, seed=request.seed, meta=request.meta, keep_state=request.keep_state)


@dataclass(frozen=True)
class Setting:
    """What a player is made from. registration: how Gymnasium makes the task, for a process that has
    imported no tasks.  policy: the pickled module; its weights come with each request.
    """

    task: TaskConfig
    registration: Any
    spec: Spec
    policy: bytes


def serve(connection: Connection, descriptor: int, setting: Setting) -> None:
    """The main function of the process. descriptor: of the shared memory, see `shared_memory`."""
    try:
        _serve(connection, descriptor, setting)
    except (EOFError, ConnectionError):  # the learner has gone
        os._exit(0)
    except Exception as error:
        said = str(error) if isinstance(error, RobotOrlError) else f"{type(error).__name__}: {error}"
        _send_last(connection, Failed(" ".join(said.split())))
        os._exit(1)


def _serve(connection: Connection, descriptor: int, setting: Setting) -> None:
    torch.set_num_threads(1)  # one observation at a time is too little work for more
    gymnasium.registry.setdefault(setting.task.name, setting.registration)
    env = make_env(setting.task)
    env.reset(seed=0)
    size = len(task_env(env).get_sim_state())
    policy: nn.Module = pickle.loads(setting.policy)
    weights, room = Weights(policy), Room(setting.spec, size)
    os.ftruncate(descriptor, weights.size + room.size)
    memory = mmap.mmap(descriptor, weights.size + room.size)
    connection.send(Ready(size))
    while True:
        request: Request | Measure = connection.recv()
        weights.load(memory, policy)
        if isinstance(request, Measure):
            seeds = _while_asked(connection, request.seeds)
            connection.send(figures_of(play(env, policy, setting.spec, Request(seed)) for seed in seeds))
            continue
        episode = play(env, policy, setting.spec, request)
        room.write(memory, weights.size, episode)
        connection.send(Played(len(episode), episode.sim_state is not None, episode.meta))


def _while_asked(connection: Connection, seeds: Sequence[int]) -> Iterator[int]:
    """Raises: EOFError: the learner has gone; nothing else comes while it waits."""
    for seed in seeds:
        if connection.poll():
            raise EOFError
        yield seed


def _send_last(connection: Connection, message: Failed) -> None:
    with suppress(OSError):  # nobody is there to be told
        connection.send(message)
