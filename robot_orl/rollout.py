"""The only loop that steps a simulated task: collection, finetuning and evaluation go through it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journal
from robot_orl.data.store.layout import to_json
from robot_orl.errors import DataError
from robot_orl.tasks import task_env
from robot_orl.types import Episode, EpisodeMeta, Observation, Pace, Proposal

FAULT = "fault"  # end reason of an episode that could not go on
Begin = Callable[[EpisodeMeta], Journal | None]


@dataclass(frozen=True)
class End:
    """In the place of an action: the episode is over, truncated at the step before. reason: why."""

    reason: str


Choose = Callable[[Observation], Proposal | End]


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


class CutShort(DataError):
    """The episode could not go on; `episode` holds the steps before, the last of them truncated."""

    def __init__(self, said: str, episode: Episode) -> None:
        super().__init__(said)
        self.episode = episode


def rollout(
    env: gymnasium.Env[Any, Any],
    choose: Choose,
    *,
    seed: int,
    meta: EpisodeMeta | None = None,
    pace: Pace | None = None,
    keep_state: bool = True,
    keep_frames: bool = False,
    options: Mapping[str, Any] | None = None,
    steps: int | None = None,
    begin: Begin | None = None,
) -> Episode:
    """One episode from `reset(seed, options)` to its end.

    choose: observation -> what to execute, or an End, though not as the first.
    meta: label, operator and policy hash of the episode; seed, reset options, success and end reason are
    filled in here.  pace: None runs at full speed.
    keep_state: also record the simulator's state at every step, for exact replay.
    keep_frames: also record what the task's cameras see, which takes time at every step.
    steps: how many to play of something recorded, past the task's horizon too; None: until the task ends.
    begin: gives the journal of an episode of which it is told what is known.

    Raises: CutShort: a camera's frame is not as the spec says.
    """
    task = task_env(env)
    pace = pace or SimulatedTime(task.task_spec.control_hz)
    state = task.get_sim_state if keep_state else _nothing
    frames = task.frames if keep_frames and task.task_spec.cameras else _nothing
    buffer = EpisodeBuffer(task.task_spec, max(task.task_spec.horizon, steps or 0))
    obs, _ = env.reset(seed=seed, options=dict(options) if options else None)
    meta = replace(meta or EpisodeMeta(), seed=seed, reset_options=json.loads(to_json(options or {})))
    buffer.begin(obs, state(), frames(), begin(meta) if begin else None)
    success = success_any = terminated = truncated = False
    now_ns = pace.start()
    while not (terminated or truncated):
        proposal = choose(obs)
        if isinstance(proposal, End):
            return _cut(buffer, meta, success, success_any, proposal.reason)
        obs, reward, terminated, truncated, info = env.step(proposal.action)
        if steps is not None:
            truncated = len(buffer) + 1 >= steps
        step = proposal, obs, float(reward), terminated, truncated, now_ns, state()
        try:
            buffer.append(*step, images=frames(), success=bool(info["success"]))
        except DataError as error:
            raise CutShort(str(error), _cut(buffer, meta, success, success_any, FAULT)) from error
        success = bool(info["success"])
        success_any = success_any or success
        now_ns = pace.wait()
    ran_out = "horizon" if steps is None else "recording"  # the recording ends here
    reason = "terminated" if terminated else ran_out
    return buffer.finish(replace(meta, success=success, success_any=success_any, end_reason=reason))


def _cut(buffer: EpisodeBuffer, meta: EpisodeMeta, success: bool, success_any: bool, reason: str) -> Episode:
    """What there is of an episode that does not go on; it may have no step at all."""
    cut = replace(meta, success=success, success_any=success_any, end_reason=reason)
    episode = buffer.finish(cut)
    episode.truncated[-1:] = True
    return episode


def _nothing() -> None:
    return None
