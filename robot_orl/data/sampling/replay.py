"""Replay in RAM: episodes side by side, sampled as n-step batches with hindsight relabelling.

Layout, as in the store: the observations of an episode of T steps take T + 1 rows, so that no
observation is kept twice. Step i of episode e (both counted over the whole replay) has

    obs    | e0: s0 s1 s2 | e1: s0 s1 | ...      s = obs[i + e],  s' = obs[i + e + 1]
    action |    a0 a1     |    a0     | ...      i
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from robot_orl.errors import DataError
from robot_orl.types import Array, Batch, Episode, Spec

RewardFor = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Sampling:
    """How an agent wants its batches.

    n_step: rewards summed before bootstrapping [steps].  discount: gamma.
    hindsight_share: share of samples whose goal becomes a later achieved one (Andrychowicz et al.
    2017, strategy "future").  hindsight_min_move: a sample keeps its own goal where the achieved
    goal moves less than this until then [m]: relabelled, it would only say that doing nothing works.
    """

    batch_size: int
    n_step: int = 1
    discount: float = 0.99
    hindsight_share: float = 0.0
    hindsight_min_move: float = 0.01


class Replay:
    """All transitions in RAM. reward_for: the task's rewards for other goals; needed for hindsight."""

    def __init__(self, spec: Spec, reward_for: RewardFor | None = None) -> None:
        self.spec = spec
        self.reward_for = reward_for
        self.steps = 0
        self.episodes = 0
        self._obs = np.zeros((0, spec.observation_size), np.float32)
        self._action = np.zeros((0, spec.action_size), np.float32)
        self._reward = np.zeros(0, np.float32)
        self._terminated = np.zeros(0, np.float32)
        self._episode = np.zeros(0, np.int64)  # which episode a step belongs to
        self._end = np.zeros(0, np.int64)  # one past the last step of that episode

    def __len__(self) -> int:
        return self.steps

    def add(self, episode: Episode) -> None:
        """Append an episode. Unknown rewards (NaN, from a robot that cannot tell) are refused."""
        length = len(episode)
        if not np.isfinite(episode.reward).all():
            raise DataError(
                f"an episode by '{episode.meta.operator}' has unknown rewards: train without its dataset"
            )
        rows = slice(self.steps + self.episodes, self.steps + self.episodes + length + 1)
        steps = slice(self.steps, self.steps + length)
        self._reserve(steps.stop, rows.stop)
        self._obs[rows] = self.spec.flatten(episode.obs)
        self._action[steps] = episode.action
        self._reward[steps] = episode.reward
        self._terminated[steps] = episode.terminated
        self._episode[steps] = self.episodes
        self._end[steps] = steps.stop
        self.steps += length
        self.episodes += 1

    def extend(self, episodes: Iterable[Episode]) -> "Replay":
        for episode in episodes:
            self.add(episode)
        return self

    def observations(self) -> Array:
        """(N + E, D) float32: every observation once, for fitting a normaliser."""
        return self._obs[: self.steps + self.episodes]

    def sample(self, sampling: Sampling, rng: np.random.Generator) -> Batch:
        """A batch of uniformly drawn steps. Raises: DataError: the replay is empty."""
        if not self.steps:
            raise DataError("cannot sample from an empty replay")
        step = rng.integers(self.steps, size=sampling.batch_size)
        ahead = np.minimum(sampling.n_step, self._end[step] - step)  # (B,) fewer at an episode's end
        row = step + self._episode[step]
        obs, next_obs = self._obs[row], self._obs[row + ahead]
        path = np.arange(sampling.n_step)
        inside = path < ahead[:, None]  # (B, n)
        rewards = self._reward[np.minimum(step[:, None] + path, self.steps - 1)]  # (B, n)
        if sampling.hindsight_share > 0 and self.reward_for is not None:
            self._relabel(obs, next_obs, rewards, step, sampling, rng)
        reward = (rewards * inside * sampling.discount**path).sum(axis=1)
        terminated = self._terminated[step + ahead - 1]
        discount = sampling.discount**ahead * (1 - terminated)
        return Batch(
            obs, self._action[step], reward.astype(np.float32), discount.astype(np.float32), next_obs
        )

    def _relabel(
        self,
        obs: Array,
        next_obs: Array,
        rewards: Array,
        step: Array,
        sampling: Sampling,
        rng: np.random.Generator,
    ) -> None:
        """Replace goals and rewards in place by what was achieved later in the same episode."""
        assert self.reward_for is not None
        assert self.spec.achieved_goal is not None
        assert self.spec.desired_goal is not None
        achieved = self.spec.slice_of(self.spec.achieved_goal)
        desired = self.spec.slice_of(self.spec.desired_goal)
        row = step + self._episode[step]
        later = rng.integers(step, self._end[step]) + self._episode[step] + 1
        goal = self._obs[later, achieved]
        moved = np.linalg.norm(goal - self._obs[row, achieved], axis=1) >= sampling.hindsight_min_move
        chosen = np.flatnonzero((rng.random(len(step)) < sampling.hindsight_share) & moved)
        goal = goal[chosen]
        obs[chosen, desired] = goal
        next_obs[chosen, desired] = goal
        path = row[chosen, None] + 1 + np.arange(sampling.n_step)  # rows of s' along the n steps
        reached = self._obs[np.minimum(path, self.steps + self.episodes - 1)][..., achieved]
        rewards[chosen] = self.reward_for(reached, np.broadcast_to(goal[:, None], reached.shape))

    def _reserve(self, steps: int, rows: int) -> None:
        """Grow by doubling, so that adding an episode costs what its own rows cost."""

        def grown(array: Array, need: int) -> Array:
            if need <= len(array):
                return array
            larger = np.zeros((max(need, 2 * len(array)), *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
            return larger

        self._obs = grown(self._obs, rows)
        for name in ("_action", "_reward", "_terminated", "_episode", "_end"):
            setattr(self, name, grown(getattr(self, name), steps))
