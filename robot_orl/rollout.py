"""The only loop that steps a simulated task: collection, finetuning and evaluation go through it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import gymnasium

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.tasks import task_env
from robot_orl.types import Array, Episode, EpisodeMeta, Observation, Proposal

Choose = Callable[[Observation], Proposal]


class Pace(Protocol):
    """Real time for a rollout: `wait` returns at the next tick and says when that was [ns]."""

    def start(self) -> int: ...

    def wait(self) -> int: ...


class SimulatedTime:
    """Time as the simulator counts it: every step takes exactly one control period."""

    def __init__(self, control_hz: float) -> None:
        self._period_ns = round(1e9 / control_hz)
        self._now_ns = 0

    def start(self) -> int:
        self._now_ns = 0
        return 0

    def wait(self) -> int:
        self._now_ns += self._period_ns
        return self._now_ns


def rollout(
    env: gymnasium.Env[Any, Any],
    choose: Choose,
    *,
    seed: int,
    meta: EpisodeMeta | None = None,
    pace: Pace | None = None,
    keep_state: bool = True,
) -> Episode:
    """One episode from `reset(seed)` to its end.

    choose: observation -> what to execute.  meta: label, operator and policy hash of the episode;
    seed, success and end reason are filled in here.  pace: None runs at full speed.
    keep_state: also record the simulator's state at every step, for exact replay.
    """
    task = task_env(env)
    pace = pace or SimulatedTime(task.task_spec.control_hz)
    state = task.get_sim_state if keep_state else _no_state
    buffer = EpisodeBuffer(task.task_spec, task.task_spec.horizon)
    obs, _ = env.reset(seed=seed)
    buffer.begin(obs, state())
    success = success_any = terminated = truncated = False
    now_ns = pace.start()
    while not (terminated or truncated):
        proposal = choose(obs)
        obs, reward, terminated, truncated, info = env.step(proposal.action)
        success = bool(info["success"])
        success_any = success_any or success
        buffer.append(proposal, obs, float(reward), terminated, truncated, now_ns, state())
        now_ns = pace.wait()
    closed = replace(
        meta or EpisodeMeta(),
        seed=seed,
        success=success,
        success_any=success_any,
        end_reason="terminated" if terminated else "horizon",
    )
    return buffer.finish(closed)


def _no_state() -> Array | None:
    return None
