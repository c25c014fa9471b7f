"""Do observations lag actions? Which action decides how an observation changes next.

Neighbouring actions resemble each other, so plain correlation peaks late or nowhere. Here the change of every
observation is first explained by where it was and how it changed before; what the action of k steps ago
explains of the rest (its partial R^2, by least squares) is large for one k only: 0 where step i's action acts
from observation i to observation i + 1, k where observations arrive k steps late.
"""

import numpy as np

from robot_orl.types import Array

LAGS = 6  # 0 .. 5 steps
SLOW = 2  # steps: one is what many robots' own inertia or interface takes
MAX_ROWS = 20_000  # per segment, which settle it
RESPONDS = 0.2  # partial R^2 from which an observation counts as moved by actions
CLEARLY = 1.3  # so much better than a prompt response must the late one explain
RIDGE = 1e-6


class LagTest:
    """Collects a segment's episodes as sums of products, so that their number does not matter."""

    def __init__(self, observation_size: int, action_size: int) -> None:
        self._observations, self._actions = observation_size, action_size
        size = 1 + 3 * observation_size + LAGS * action_size
        self._products = np.zeros((size, size))
        self.rows = 0

    def add(self, obs: Array, action: Array) -> None:
        """obs: (T+1, D), action: (T, A) of one episode; left out where they are not finite."""
        if self.rows >= MAX_ROWS or len(action) <= LAGS:
            return
        if not (np.isfinite(obs).all() and np.isfinite(action).all()):
            return
        obs, action = obs.astype(np.float64), action.astype(np.float64)
        change = np.diff(obs, axis=0)
        steps = np.arange(LAGS, len(action))
        history = [action[steps - lag] for lag in range(LAGS)]
        row = np.concatenate(
            [np.ones((len(steps), 1)), obs[steps], change[steps - 1], *history, change[steps]], axis=1
        )
        self._products += row.T @ row
        self.rows += len(steps)

    def explained(self) -> Array | None:
        """(LAGS, moving D) partial R^2 of each lag's action, per observation; None: too few rows."""
        known = 1 + 2 * self._observations  # columns: 1, where it is, how it changed before
        late = known + LAGS * self._actions  # ... the actions; then the change to explain
        if self.rows < max(200, 5 * (known + self._actions)):
            return None
        scale = np.sqrt(np.diag(self._products) / self.rows)
        scale[scale < 1e-12] = 1.0
        products = self._products / np.outer(scale, scale) / self.rows

        def unexplained(columns: list[int]) -> Array:
            left = products[np.ix_(columns, columns)] + RIDGE * np.eye(len(columns))
            right = products[columns, late:]
            total: Array = np.diag(products)[late:]
            return total - np.einsum("ij,ij->j", right, np.linalg.solve(left, right))

        base = list(range(known))
        before = unexplained(base)
        rest = np.array(
            [
                unexplained(base + list(range(first, first + self._actions)))
                for first in range(known, late, self._actions)
            ]
        )
        moves = before > RIDGE
        return 1.0 - rest[:, moves] / before[moves] if moves.any() else None

    def lag(self) -> int | None:
        """By how many steps observations lag; None: by fewer than 2, or the data do not tell."""
        explained = self.explained()
        if explained is None:
            return None
        responds = explained.max(axis=0) >= RESPONDS
        score = explained[:, responds].sum(axis=1)
        best = int(np.argmax(score))
        is_clear = responds.any() and score[best] > CLEARLY * score[:SLOW].max()
        return best if best >= SLOW and is_clear else None
