"""Replay in RAM: episodes side by side, sampled as n-step batches with hindsight relabelling.

Layout, as in the store: the observations of an episode of T steps take T + 1 rows, so that no
observation is kept twice. Step i of episode e (both counted over the whole replay) has

    obs    | e0: s0 s1 s2 | e1: s0 s1 | ...      s = obs[i + e],  s' = obs[i + e + 1]
    action |    a0 a1     |    a0     | ...      i

A batch of 256 is 20 to 40 us of work, most of it waiting for memory: so what a step needs beside its rows of
these arrays (`targets`) lies in one place, and what was achieved is kept apart for hindsight.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from robot_orl.data.sampling.better import Better, best_steps
from robot_orl.data.sampling.returns import Returns, anew, drawn_lengths
from robot_orl.data.sampling.targets import Targets, grown
from robot_orl.data.sampling.tolerance import Paid, RewardFor, reward_within
from robot_orl.errors import DataError
from robot_orl.mirror import Mirror
from robot_orl.types import Actor, Array, Batch, Episode, Spec


@dataclass(frozen=True)
class Sampling:
    """How an agent wants its batches.

    n_step: rewards summed before bootstrapping [steps].  discount: gamma.
    hindsight_share: share of samples whose goal becomes a later achieved one (Andrychowicz et al.
    2017, strategy "future").  hindsight_min_move: a sample keeps its own goal where the achieved
    goal moves less than this until then [m]: relabelled, it would only say that doing nothing works.
    hindsight_past: share of those whose goal is one achieved at any time of the episode, before the sample
    as well: future ones alone never show what it costs to leave a goal.
    better_share: share of samples from episodes that are better than the mean one (cf. Hong et al. 2023).
    mirror_share: share of samples that are shown in the mirror, in tasks that have one.
    goal_tolerance: share of the task's tolerance within which a goal counts as reached; see `tolerance`.
    trace: batches have Monte Carlo returns, too, see `returns`: to the end of the episode (1), or the lambda
    below 1 of a TD(lambda) return; None: they have none.
    best_share: share of the episodes, the best ones, that samples come from.
    """

    batch_size: int
    n_step: int = 1
    discount: float = 0.99
    hindsight_share: float = 0.0
    hindsight_min_move: float = 0.01
    hindsight_past: float = 0.0
    better_share: float = 0.0
    mirror_share: float = 0.0
    goal_tolerance: float = 1.0
    trace: float | None = None
    best_share: float = 1.0

    @property
    def tolerance(self) -> float:
        """Where no goal is relabelled, the rewards are the data's own, whatever they pay for."""
        return self.goal_tolerance if self.hindsight_share > 0 else 1.0


@dataclass(frozen=True)
class Trajectory:
    """A whole episode of T steps, as views of a replay.

    obs: (T+1, D) float32, flat.  action: (T, A).  reward: (T,).  actor: (T,) uint8, see types.Actor.
    terminated: whether it ended for good; otherwise it was only cut off.
    """

    obs: Array
    action: Array
    reward: Array
    actor: Array
    terminated: bool


class Replay:
    """All transitions in RAM.

    reward_for: the task's rewards for other goals; needed for hindsight.  mirror: the task's mirror image,
    which is paid alike; None: it has none.
    """

    def __init__(self, spec: Spec, reward_for: RewardFor | None = None, mirror: Mirror | None = None) -> None:
        self.spec = spec
        self.reward_for = reward_for
        self.mirror = mirror
        self.steps = 0
        self.episodes = 0
        self._obs = np.zeros((0, spec.observation_size), np.float32)
        self._achieved: Array | None = None  # (N + E, G): that part of `_obs`
        if spec.achieved_goal and spec.desired_goal:
            self._achieved_columns = spec.slice_of(spec.achieved_goal)
            self._desired_columns = spec.slice_of(spec.desired_goal)
            self._achieved = self._obs[:, self._achieved_columns].copy()
        self._action = np.zeros((0, spec.action_size), np.float32)
        self._reward = np.zeros(0, np.float32)
        self._terminated = np.zeros(0, np.float32)
        self._actor = np.zeros(0, np.uint8)
        self._row = np.zeros(0, np.int64)  # where in `_obs` the s of a step lies
        self._first_row = np.zeros(0, np.int64)  # where the first s of its episode lies
        self._last_row = np.zeros(0, np.int64)  # and where the last s' of its episode
        self._targets: dict[tuple[int, float, float], Targets] = {}
        self._paid: dict[float, Paid] = {}
        self._returns: dict[tuple[float, float], Returns] = {}
        self._better = Better()
        self._best: dict[float, tuple[int, Array]] = {}  # with the number of steps, as `_steps_by`
        self._steps_by: dict[
            Actor, tuple[int, Array]
        ] = {}  # with the number of steps at which they were found

    def __len__(self) -> int:
        return self.steps

    def add(self, episode: Episode) -> None:
        """Append an episode that has a step. Unknown rewards (NaN: the robot cannot tell) are refused."""
        length = len(episode)
        if not length:
            return
        if not np.isfinite(episode.reward).all():
            raise DataError(
                f"an episode by '{episode.meta.operator}' has unknown rewards: train without its dataset"
            )
        first, steps = self.steps + self.episodes, slice(self.steps, self.steps + length)
        self.reserve(length, 1)
        obs = self.spec.flatten(episode.obs)
        self._obs[first : first + length + 1] = obs
        if self._achieved is not None:
            self._achieved[first : first + length + 1] = obs[:, self._achieved_columns]
        self._action[steps] = episode.action
        self._reward[steps] = episode.reward
        self._terminated[steps] = episode.terminated
        self._actor[steps] = episode.actor
        self._row[steps] = np.arange(first, first + length)
        self._first_row[steps] = first
        self._last_row[steps] = first + length
        self.steps += length
        self.episodes += 1

    def extend(self, episodes: Iterable[Episode]) -> "Replay":
        for episode in episodes:
            self.add(episode)
        return self

    def reserve(self, steps: int, episodes: int) -> None:
        """Make room for so many more; who knows the number saves the copies of growing."""
        total = self.steps + steps
        rows = total + self.episodes + episodes
        self._obs = grown(self._obs, rows)
        if self._achieved is not None:
            self._achieved = grown(self._achieved, rows)
        for name in ("_action", "_reward", "_terminated", "_actor", "_row", "_first_row", "_last_row"):
            setattr(self, name, grown(getattr(self, name), total))

    def observations(self) -> Array:
        """(N + E, D) float32: every observation once, for fitting a normaliser."""
        return self._obs[: self.steps + self.episodes]

    def actions(self) -> Array:
        """(N, A) float32"""
        return self._action[: self.steps]

    def rewards(self) -> Array:
        """(N,) float32, as they were recorded."""
        return self._reward[: self.steps]

    def paid(self, tolerance: float) -> Array:
        """(N,) float32: what is paid for each step's own goal within that share of the task's tolerance."""
        if tolerance == 1 or self.reward_for is None or self._achieved is None:
            return self.rewards()
        if tolerance not in self._paid:
            self._paid[tolerance] = Paid(self.reward_for, tolerance)
        desired = self._obs[:, self._desired_columns]
        return self._paid[tolerance].of(self._achieved, desired, self._row[: self.steps])

    def trajectories(self, numbers: Iterable[int], tolerance: float = 1.0) -> Iterator[Trajectory]:
        """Whole episodes by number, 0 ... episodes - 1 in the order of adding. tolerance: see `paid`."""
        row, last_row, reward = self._row[: self.steps], self._last_row[: self.steps], self.paid(tolerance)
        starts = np.flatnonzero(np.diff(last_row, prepend=-1))  # (E,) first step of each
        ends = np.append(starts[1:], self.steps)
        for number in numbers:
            steps = slice(starts[number], ends[number])
            obs = self._obs[row[steps.start] : last_row[steps.start] + 1]
            terminated = bool(self._terminated[steps.stop - 1])
            yield Trajectory(obs, self._action[steps], reward[steps], self._actor[steps], terminated)

    def sample(self, sampling: Sampling, rng: np.random.Generator) -> Batch:
        """A batch of steps, drawn uniformly but for the two shares. Raises: DataError: there are none."""
        if not self.steps:
            raise DataError("cannot sample from an empty replay")
        if sampling.best_share < 1:
            best = self._best_steps(sampling.best_share)
            step = best[rng.integers(len(best), size=sampling.batch_size)]
        else:
            step = rng.integers(self.steps, size=sampling.batch_size)
        if sampling.better_share > 0:
            better = self._better.of(self.rewards(), self._last_row[: self.steps])
            count = round(sampling.better_share * len(step)) if len(better) else 0
            step[:count] = better[rng.integers(max(len(better), 1), size=count)]
        return self.gather(step, sampling, rng)

    def steps_by(self, actor: Actor) -> Array:
        """(N,) int64: its steps, in the order of adding; found anew only after more were added."""
        if self._steps_by.get(actor, (-1, None))[0] != self.steps:
            self._steps_by[actor] = self.steps, np.flatnonzero(self._actor[: self.steps] == actor)
        return self._steps_by[actor][1]

    def _best_steps(self, share: float) -> Array:
        if self._best.get(share, (-1, None))[0] != self.steps:
            self._best[share] = self.steps, best_steps(self.rewards(), self._last_row[: self.steps], share)
        return self._best[share][1]

    def gather(self, step: Array, sampling: Sampling, rng: np.random.Generator) -> Batch:
        """The batch of these steps, (B,) int64 in the order of adding; its arrays are the caller's own."""
        target = self._target_table(sampling).take(step)  # (B,)
        obs, next_obs = self._obs.take(target["row"], axis=0), self._obs.take(target["next_row"], axis=0)
        batch = Batch(
            obs, self._action.take(step, axis=0), target["reward"].copy(), target["discount"].copy(), next_obs
        )
        relabelled = np.zeros(0, np.int64)
        if sampling.hindsight_share > 0 and self.reward_for is not None:
            row, earliest = target["row"], target["row"] + 1  # of the goals
            if sampling.hindsight_past > 0:
                from_past = rng.random(len(step)) < sampling.hindsight_past
                earliest = np.where(from_past, self._first_row.take(step), earliest)
            relabelled = self._relabel(batch, row, earliest, target["last_row"], sampling, rng)
        if sampling.trace is not None:
            batch = self._with_returns(batch, step, relabelled, sampling, sampling.trace, rng)
        if sampling.mirror_share > 0 and self.mirror is not None:
            chosen = np.flatnonzero(rng.random(len(step)) < sampling.mirror_share)
            batch.obs[chosen] = self.mirror.observation(batch.obs[chosen])
            batch.next_obs[chosen] = self.mirror.observation(batch.next_obs[chosen])
            batch.action[chosen] = self.mirror.action(batch.action[chosen])
            if batch.last_obs is not None:
                batch.last_obs[chosen] = self.mirror.observation(batch.last_obs[chosen])
        return batch

    def like(self) -> "Replay":
        """An empty one of the same task."""
        return Replay(self.spec, self.reward_for, self.mirror)

    def _target_table(self, sampling: Sampling) -> Array:
        key = (sampling.n_step, sampling.discount, sampling.tolerance)
        if key not in self._targets:
            self._targets[key] = Targets(sampling.n_step, sampling.discount)
        columns = (self._row, self._last_row, self.paid(sampling.tolerance), self._terminated)
        return self._targets[key].of(*(column[: self.steps] for column in columns))

    def _relabel(
        self,
        batch: Batch,
        row: Array,
        earliest: Array,
        last_row: Array,
        sampling: Sampling,
        rng: np.random.Generator,
    ) -> Array:
        """Replace goals and rewards in place by what was achieved in the rows earliest .. last_row.

        Returns which were replaced, (C,) int64.
        """
        assert self.reward_for is not None
        assert self._achieved is not None
        goal = self._achieved.take(rng.integers(earliest, last_row + 1), axis=0)  # (B, G)
        move = goal - self._achieved.take(row, axis=0)
        moved = np.sqrt(np.einsum("bg,bg->b", move, move)) >= sampling.hindsight_min_move
        chosen = np.flatnonzero((rng.random(len(row)) < sampling.hindsight_share) & moved)  # (C,)
        goal, last = goal[chosen], last_row[chosen, None]
        batch.obs[chosen, self._desired_columns] = goal
        batch.next_obs[chosen, self._desired_columns] = goal
        step = np.arange(sampling.n_step)
        path = row[chosen, None] + 1 + step  # (C, n) rows of s' along the n steps
        reached = self._achieved.take(np.minimum(path, last), axis=0)
        wanted = np.broadcast_to(goal[:, None], reached.shape)
        rewards = reward_within(self.reward_for, reached, wanted, sampling.tolerance)
        batch.reward[chosen] = (rewards * (path <= last) * sampling.discount**step).sum(axis=1)
        return chosen

    def _with_returns(
        self,
        batch: Batch,
        step: Array,
        relabelled: Array,
        sampling: Sampling,
        trace: float,
        rng: np.random.Generator,
    ) -> Batch:
        """The batch with the returns of its steps; those of relabelled goals are paid anew."""
        row, discount = self._row[step], sampling.discount
        ahead = self._last_row[step] - row  # (B,)
        length = drawn_lengths(ahead, trace, rng)
        known = self._return_table(sampling)
        rest = known[np.minimum(step + length, self.steps - 1)] * (length < ahead)
        returns = (known[step] - discount**length * rest).astype(np.float32)
        tail = (discount**length * (1 - self._terminated[step + length - 1])).astype(np.float32)
        last_obs = self._obs.take(row + length, axis=0)
        if len(relabelled):
            goal = batch.obs[relabelled, self._desired_columns]
            first = row[relabelled] + 1  # where s' of its first step lies

            def pay(whose: Array, k: Array) -> Array:
                assert self.reward_for is not None
                assert self._achieved is not None
                reached = self._achieved[first[whose] + k]
                return reward_within(self.reward_for, reached, goal[whose], sampling.tolerance)

            returns[relabelled] = anew(length[relabelled], pay, discount)
            last_obs[relabelled, self._desired_columns] = goal
        return replace(batch, returns=returns, tail=tail, last_obs=last_obs)

    def _return_table(self, sampling: Sampling) -> Array:
        key = (sampling.discount, sampling.tolerance)
        if key not in self._returns:
            self._returns[key] = Returns(sampling.discount)
        columns = (self._row, self._last_row, self.paid(sampling.tolerance))
        return self._returns[key].of(*(column[: self.steps] for column in columns))
