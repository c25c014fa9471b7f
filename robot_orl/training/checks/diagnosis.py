"""Is what the critics say true, and what do they say of whom? Asked at evaluation points only.

Q(s, a) of stored steps is compared with the discounted return that followed them. The return of a
terminated episode is its own; one that was cut off goes on with Q(s_T, policy(s_T)) of the critics
themselves, whose weight gamma^(T - t) is told as `tail`. Q speaks of the policy, the return of who acted: Q
is to lie above the returns of worse actors, and on the policy's own steps the difference is bias.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from robot_orl.agents.base import Valued
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Trajectory
from robot_orl.training.runs.run import Run, write_whole
from robot_orl.training.state import TrainingState
from robot_orl.types import Actor, Array, Metrics

FILE = "diagnosis.json"
STEPS = 2_000  # that are looked at, of each replay
PAIRS = 300  # of them that are kept for the picture, of each actor


def diagnose(run: Run, stage: str, state: TrainingState, data: Replay | Mixture) -> Metrics:
    """Figures for the line of an evaluation, by name; none for an agent without critics.

    data: what it learns from; of the online part the latest episodes are looked at. The pairs of Q and
    return are kept in the run's diagnosis.json, the latest of each stage; no random state changes.
    """
    if not hasattr(state.agent, "q_values"):
        return {}
    found: Metrics = {}
    tolerance = state.agent.sampling.tolerance  # returns as the critics learn them
    if isinstance(data, Mixture):
        size = state.agent.sampling.batch_size
        found["diagnosis/online_share"] = 1 - data.offline_count(size) / size
        parts = [*_chosen(data.offline, False, tolerance), *_chosen(data.online, True, tolerance)]
    else:
        parts = _chosen(data, False, tolerance)
    judged = judge(state, parts)
    found |= judged.metrics()
    entry = {
        "updates": state.progress.updates,
        "env_steps": state.progress.env_steps,
        "discount": state.agent.sampling.discount,
        "metrics": found,
        "pairs": judged.pairs(PAIRS),
    }
    write_whole(run.path / FILE, json.dumps(read_diagnosis(run) | {stage: entry}) + "\n")
    return found


def read_diagnosis(run: Run) -> dict[str, Any]:
    """By stage; empty where there is none, or none that can be read: it can be made again."""
    try:
        found = json.loads((run.path / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Judged:
    """What the critics say of B steps, and what followed.

    q: (E, B) of the action that was taken.  policy_q: (E, B) of the policy's.  returns: (B,) discounted.
    tail: (B,) weight of the critics' own estimate in the return.  actor: (B,) uint8.
    """

    q: Array
    policy_q: Array
    returns: Array
    tail: Array
    actor: Array

    def metrics(self) -> Metrics:
        """bias: mean of Q - return.  disagreement: mean deviation over the critics.  Means over critics.

        By actor: bias, and the advantage Q(s, a) - Q(s, policy(s)) of what they did.
        """
        q = self.q.mean(axis=0)
        advantage = q - self.policy_q.mean(axis=0)
        found: Metrics = {
            "diagnosis/q": q.mean(),
            "diagnosis/return": self.returns.mean(),
            "diagnosis/bias": (q - self.returns).mean(),
            "diagnosis/tail": self.tail.mean(),
        }
        if (rank := rank_correlation(q, self.returns)) is not None:
            found["diagnosis/rank_correlation"] = rank
        if len(self.q) > 1:
            found["diagnosis/disagreement"] = self.q.std(axis=0).mean()
        for actor, mine in self._by_actor():
            found[f"diagnosis/bias_{actor}"] = (q - self.returns)[mine].mean()
            found[f"diagnosis/advantage_{actor}"] = advantage[mine].mean()
        return {name: float(value) for name, value in found.items()}

    def pairs(self, most: int) -> dict[str, list[list[float]]]:
        """By actor at most so many [return, Q], the same steps whenever it is asked."""
        q, rng = self.q.mean(axis=0), np.random.default_rng(0)
        found = {}
        for actor, mine in self._by_actor():
            drawn = np.sort(rng.permutation(np.flatnonzero(mine))[:most])
            found[actor] = [[round(float(self.returns[i]), 4), round(float(q[i]), 4)] for i in drawn]
        return found

    def _by_actor(self) -> Iterator[tuple[str, Array]]:
        """Names of those who acted, and which steps (B,) are theirs."""
        for value in np.unique(self.actor):
            name = Actor(value).name if value in iter(Actor) else Actor.UNKNOWN.name
            yield name.lower(), self.actor == value


@torch.no_grad()
def judge(state: TrainingState, parts: Sequence[Trajectory]) -> Judged:
    """The steps of these episodes, in their order; there is at least one."""
    agent, policy = cast(Valued, state.agent), state.agent.policy()
    obs = torch.from_numpy(np.concatenate([part.obs for part in parts]))  # (B + parts, D)
    taken = torch.from_numpy(np.concatenate([part.action for part in parts]))
    lengths = np.array([len(part.action) for part in parts])
    last = np.cumsum(lengths + 1) - 1  # rows of the last s'
    steps = np.setdiff1d(np.arange(len(obs)), last)
    policy_q = agent.q_values(obs, policy(obs)).numpy()  # (E, B + parts)
    q = agent.q_values(obs[torch.from_numpy(steps)], taken).numpy()
    gamma = state.agent.sampling.discount
    value = policy_q.mean(axis=0)
    returns = [
        discounted(part.reward, 0.0 if part.terminated else float(value[row]), gamma)
        for part, row in zip(parts, last, strict=True)
    ]
    tails = [discounted(np.zeros(len(part.reward)), 0.0 if part.terminated else 1.0, gamma) for part in parts]
    actor = np.concatenate([part.actor for part in parts])
    return Judged(q, policy_q[:, steps], np.concatenate(returns), np.concatenate(tails), actor)


def discounted(reward: Array, tail: float, gamma: float) -> Array:
    """(T,): sum of gamma^k r_(t+k), with `tail` behind the last reward."""
    found = np.empty(len(reward))
    for step in range(len(reward) - 1, -1, -1):
        tail = float(reward[step]) + gamma * tail
        found[step] = tail
    return found


def rank_correlation(x: Array, y: Array) -> float | None:
    """Spearman's; equal values share their rank. None: one of them does not vary."""
    left, right = _ranks(x), _ranks(y)
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: Array) -> Array:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _chosen(replay: Replay, latest: bool, tolerance: float) -> list[Trajectory]:
    """Whole episodes of about STEPS steps: the latest, or the same random ones whenever it is asked."""
    numbers = np.arange(replay.episodes)[::-1]
    if not latest:
        numbers = np.random.default_rng(0).permutation(replay.episodes)
    found, steps = [], 0
    for part in replay.trajectories(numbers, tolerance):
        found.append(part)
        steps += len(part.action)
        if steps >= STEPS:
            break
    return found
