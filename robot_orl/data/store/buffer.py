"""Collects one episode in RAM: cheap enough for the inside of a control loop."""

from collections.abc import Mapping

import numpy as np

from robot_orl.errors import DataError
from robot_orl.types import Array, Episode, EpisodeMeta, Observation, Proposal, Spec


class EpisodeBuffer:
    """Preallocated arrays for one episode; `append` costs some microseconds and allocates nothing.

    capacity: steps that fit before the arrays must double; the task's horizon by default.
    """

    def __init__(self, spec: Spec, capacity: int | None = None) -> None:
        self.spec = spec
        self._capacity = max(1, capacity or spec.horizon)
        self._length = 0
        self._sim_state: Array | None = None
        self._images: dict[str, Array] = {}
        width = spec.action_size
        self._obs = {k: self._rows(1, (len(v),), "f4") for k, v in spec.observation.items()}
        self._action = self._rows(0, (width,), "f4")
        self._policy = self._rows(0, (width,), "f4")
        self._operator = self._rows(0, (width,), "f4")
        self._reward = self._rows(0, (), "f4")
        self._terminated = self._rows(0, (), "?")
        self._truncated = self._rows(0, (), "?")
        self._t_ns = self._rows(0, (), "i8")
        self._actor = self._rows(0, (), "u1")

    def _rows(self, extra: int, row: tuple[int, ...], dtype: str) -> Array:
        return np.zeros((self._capacity + extra, *row), dtype)

    def __len__(self) -> int:
        return self._length

    def begin(
        self,
        obs: Observation,
        sim_state: Array | None = None,
        images: Mapping[str, Array] | None = None,
    ) -> None:
        """Start an episode at `obs`; whatever was collected before is dropped.

        sim_state: (S,) float64.  images: a frame per camera of the spec, (H, W, 3) uint8. What is not
        given here is not kept for this episode. Raises: DataError: a frame that is not as the spec says.
        """
        self._length = 0
        if not images:
            self._images = {}
        else:
            self._check_frames(images)
            for name, size in self.spec.cameras.items():
                if name not in self._images:
                    self._images[name] = self._rows(1, (size.height, size.width, 3), "u1")
                self._images[name][0] = images[name]
        for key, rows in self._obs.items():
            rows[0] = obs[key]
        if sim_state is None:
            self._sim_state = None
            return
        if self._sim_state is None or self._sim_state.shape[1:] != sim_state.shape:
            self._sim_state = self._rows(1, sim_state.shape, "f8")
        self._sim_state[0] = sim_state

    def append(
        self,
        proposal: Proposal,
        next_obs: Observation,
        reward: float | None,
        terminated: bool,
        truncated: bool,
        t_ns: int,
        sim_state: Array | None = None,
        executed: Array | None = None,
        images: Mapping[str, Array] | None = None,
    ) -> None:
        """Add one step.

        reward: None: not known, kept as NaN.  t_ns: when the action was sent [ns from the episode's
        start].  sim_state: (S,) after the step.  executed: (A,) what was really sent, where that is
        not the proposed action.  images: a frame per camera after the step, where the episode began with
        them. Raises: DataError: one is missing or not as the spec says; the steps before are kept.
        """
        frames = images or {}
        if self._images:
            self._check_frames(frames)
        i = self._length
        if i == self._capacity:
            self._grow()
        self._action[i] = proposal.action if executed is None else executed
        self._policy[i] = np.nan if proposal.policy is None else proposal.policy
        self._operator[i] = np.nan if proposal.operator is None else proposal.operator
        self._reward[i] = np.nan if reward is None else reward
        self._terminated[i] = terminated
        self._truncated[i] = truncated
        self._t_ns[i] = t_ns
        self._actor[i] = proposal.actor
        for key, rows in self._obs.items():
            rows[i + 1] = next_obs[key]
        if self._sim_state is not None:
            self._sim_state[i + 1] = np.nan if sim_state is None else sim_state
        for name, rows in self._images.items():
            rows[i + 1] = frames[name]
        self._length = i + 1

    def finish(self, meta: EpisodeMeta) -> Episode:
        """The collected steps as an Episode of its own (copies); the buffer is empty afterwards."""
        steps = self._length
        self._length = 0
        return Episode(
            obs={key: rows[: steps + 1].copy() for key, rows in self._obs.items()},
            action=self._action[:steps].copy(),
            action_policy=self._policy[:steps].copy(),
            action_operator=self._operator[:steps].copy(),
            reward=self._reward[:steps].copy(),
            terminated=self._terminated[:steps].copy(),
            truncated=self._truncated[:steps].copy(),
            t_ns=self._t_ns[:steps].copy(),
            actor=self._actor[:steps].copy(),
            sim_state=None if self._sim_state is None else self._sim_state[: steps + 1].copy(),
            meta=meta,
            images={name: rows[: steps + 1].copy() for name, rows in self._images.items()},
        )

    def _check_frames(self, images: Mapping[str, Array]) -> None:
        for name, size in self.spec.cameras.items():
            if name not in images:
                raise DataError(f"camera '{name}' gave no frame at step {self._length}")
            frame, wanted = np.asarray(images[name]), (size.height, size.width, 3)
            if frame.shape != wanted or frame.dtype != np.uint8:
                raise DataError(
                    f"camera '{name}' gave a frame of {frame.shape} {frame.dtype} at step {self._length}; "
                    f"expected {wanted} uint8"
                )

    def _grow(self) -> None:
        """Double the capacity, for episodes longer than expected."""
        more = self._capacity
        self._capacity += more

        def longer(rows: Array) -> Array:
            return np.concatenate([rows, np.zeros((more, *rows.shape[1:]), rows.dtype)])

        self._obs = {key: longer(rows) for key, rows in self._obs.items()}
        self._images = {name: longer(rows) for name, rows in self._images.items()}
        if self._sim_state is not None:
            self._sim_state = longer(self._sim_state)
        for name in ("action", "policy", "operator", "reward", "terminated", "truncated", "t_ns", "actor"):
            setattr(self, f"_{name}", longer(getattr(self, f"_{name}")))
