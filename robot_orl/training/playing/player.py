"""An environment process: it plays the episodes that it is asked for, one after the other, until nobody asks.

It owns an environment and a copy of the policy, and waits for nothing inside an episode. What it is asked
and what it answers are small messages over a pipe:

    learner                              player
                                         Ready(sim_state_size)        once its environment is made
    (weights into the memory) Request →
                                         Played(length, meta, ...)    (the episode lies in the memory)
    (weights into the memory) Measure →
                                         Evaluation                   of the policy without noise
    (amid an episode) Stop →
                                         Played, or None              what there is, if somebody acted in it
                                         Failed(line)                 and it ends

It ends with the pipe, at the end of an episode at the latest: a learner that was killed leaves no process.

Somebody may stand by (`robot_orl.intervention`) and take over while the policy acts: then it plays at their
pace, in real time for a person, and looks at the pipe at every step, so that nobody goes on for a learner
that is gone. What the learner does meanwhile cannot make a step late.
"""

import mmap
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from robot_orl.agents.base import act
from robot_orl.errors import RobotOrlError
from robot_orl.intervention import Intervener, SharedControl, helped, interventions, standing_by
from robot_orl.rollout import End, rollout
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.training.evaluate import figures_of
from robot_orl.training.online.desk import Seat, Seated
from robot_orl.training.playing.shared_memory import Room, Weights
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Observation, Proposal, Spec

IDLE_S = 0.05  # between two looks of somebody who stands by at what is shown to them
INTERRUPT = "interrupt"  # end reason of an episode that was stopped
HANDS = 1  # of an episode's streams of random numbers, see `Request.noise_seed`


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
class Stop:
    """End the episode under way; one that has ended by itself stays as it is."""


@dataclass(frozen=True)
class Ready:
    """steps: the most that an episode has.  is_paced: somebody stands by, a person, who needs real time."""

    sim_state_size: int
    steps: int
    is_paced: bool = False


@dataclass(frozen=True)
class Played:
    length: int
    has_state: bool
    meta: EpisodeMeta


@dataclass(frozen=True)
class Failed:
    line: str


def play(
    env: gymnasium.Env[Any, Any],
    policy: nn.Module,
    spec: Spec,
    request: Request,
    beside: Intervener | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> Episode:
    """One episode with the policy and Gaussian noise. beside: who may take over, already open.

    is_over: asked at every step but the first of an episode with somebody beside; True: it ends there.
    """
    rng = np.random.default_rng(request.noise_seed)

    def explored(proposed: Array) -> Array:
        if request.noise == 0:
            return proposed
        noisy = proposed + request.noise * rng.standard_normal(spec.action_size)
        return np.clip(noisy, -1, 1).astype(np.float32)

    def choose(obs: Observation) -> Proposal:
        proposed = act(policy, spec.flatten(obs))
        return Proposal(explored(proposed), Actor.POLICY, policy=proposed)

    if beside is None:
        return rollout(env, choose, seed=request.seed, meta=request.meta, keep_state=request.keep_state)
    shared = SharedControl(beside, spec.control_hz)
    shared.begin(np.random.default_rng([*request.noise_seed, HANDS]))
    taken: list[Proposal] = []

    def share(obs: Observation) -> Proposal | End:
        if taken and is_over():
            return End(INTERRUPT)
        if len(taken) >= spec.horizon and not shared.is_held:
            return End("horizon")
        proposed = act(policy, spec.flatten(obs))
        taken.append(shared.proposal(obs, proposed, explored(proposed)))
        return taken[-1]

    episode = rollout(
        env,
        share,
        seed=request.seed,
        meta=request.meta,
        pace=beside.pace,
        keep_state=request.keep_state,
        steps=beside.steps,
    )
    if episode.meta.end_reason == "recording":  # of `steps`, not of something recorded
        episode = replace(episode, meta=replace(episode.meta, end_reason="horizon"))
    if interventions(episode.actor):
        episode = replace(episode, meta=helped(episode.meta, beside.name))
    beside.ended(episode)
    return episode


@dataclass(frozen=True)
class Setting:
    """What a player is made from. registration: how Gymnasium makes the task, for a process that has
    imported no tasks.  policy: the pickled module; its weights come with each request.  operator: settings
    of who may take over, as of `operator=...`; None: nobody.
    """

    task: TaskConfig
    registration: Any
    spec: Spec
    policy: bytes
    operator: Any = None


def serve(
    connection: Connection, descriptor: int, setting: Setting, seat: tuple[int, int] | None = None
) -> None:
    """The main function of the process.

    descriptor: of the shared memory, see `shared_memory`.  seat: those of the learner's desk, see `desk`.
    """
    try:
        _serve(connection, descriptor, setting, seat)
    except (EOFError, ConnectionError):  # the learner has gone
        os._exit(0)
    except Exception as error:
        said = str(error) if isinstance(error, RobotOrlError) else f"{type(error).__name__}: {error}"
        _send_last(connection, Failed(" ".join(said.split())))
        os._exit(1)


def _serve(connection: Connection, descriptor: int, setting: Setting, seat: tuple[int, int] | None) -> None:
    torch.set_num_threads(1)  # one observation at a time is too little work for more
    gymnasium.registry.setdefault(setting.task.name, setting.registration)
    env = make_env(setting.task)
    if setting.operator is None:
        return _play_on(connection, descriptor, setting, env, None)
    beside = standing_by(setting.operator, setting.spec).stand_by(env)
    if seat is not None and isinstance(beside, Seated):
        beside.sit(Seat(*seat, setting.spec.observation_size))
    try:
        beside.open()
        _play_on(connection, descriptor, setting, beside.env, beside)
    finally:
        beside.close()


def _play_on(
    connection: Connection,
    descriptor: int,
    setting: Setting,
    env: gymnasium.Env[Any, Any],
    beside: Intervener | None,
) -> None:
    """Raises: EOFError: nobody asks any more."""
    env.reset(seed=0)
    spec, size = setting.spec, len(task_env(env).get_sim_state())
    steps = max(spec.horizon, (beside.steps if beside else None) or 0)
    policy: nn.Module = pickle.loads(setting.policy)
    weights, room = Weights(policy), Room(spec, size, steps)
    os.ftruncate(descriptor, weights.size + room.size)
    memory = mmap.mmap(descriptor, weights.size + room.size)
    connection.send(Ready(size, steps, beside is not None and beside.pace is not None))
    while True:
        while beside is not None and not connection.poll(IDLE_S):
            beside.idle()
        request: Request | Measure | Stop = connection.recv()
        if isinstance(request, Stop):  # the episode had ended already
            continue
        weights.load(memory, policy)
        if isinstance(request, Measure):
            seeds = _while_asked(connection, request.seeds)
            connection.send(figures_of(play(env, policy, spec, Request(seed)) for seed in seeds))
            continue
        episode = play(env, policy, spec, request, beside, partial(_is_stopped, connection))
        if episode.meta.end_reason == INTERRUPT and not (episode.actor == Actor.INTERVENTION).any():
            connection.send(None)
            continue
        room.write(memory, weights.size, episode)
        connection.send(Played(len(episode), episode.sim_state is not None, episode.meta))


def _is_stopped(connection: Connection) -> bool:
    """Raises: EOFError, ConnectionError: the learner has gone."""
    return connection.poll() and isinstance(connection.recv(), Stop)


def _while_asked(connection: Connection, seeds: Sequence[int]) -> Iterator[int]:
    """Raises: EOFError: the learner has gone; nothing else comes while it waits."""
    for seed in seeds:
        if connection.poll():
            raise EOFError
        yield seed


def _send_last(connection: Connection, message: Failed) -> None:
    with suppress(OSError):  # nobody is there to be told
        connection.send(message)
