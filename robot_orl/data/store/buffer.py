"""Collects one episode in RAM, and in its journal: cheap enough for the inside of a control loop."""

from collections.abc import Mapping

import numpy as np

from robot_orl.data.store.journal import UNKNOWN_SUCCESS, Journal, row_dtype, row_fields, to_episode
from robot_orl.data.store.layout import IMAGES, SAFETY
from robot_orl.errors import DataError
from robot_orl.types import Array, Episode, EpisodeMeta, Observation, Proposal, Spec


class EpisodeBuffer:
    """Preallocated rows for one episode, as `journal` draws them; `append` costs some microseconds.

    capacity: steps that fit before the rows must double; the task's horizon by default.
    has_safety: what a supervisor did is kept, too.
    """

    def __init__(self, spec: Spec, capacity: int | None = None, has_safety: bool = False) -> None:
        self.spec = spec
        self._has_safety = has_safety
        self._capacity = max(1, capacity or spec.horizon)
        self._length = 0
        self._journal: Journal | None = None
        self._shape: tuple[int | None, bool] | None = None
        self._allocate(None, False)

    def _allocate(self, sim_state_size: int | None, images: bool) -> None:
        """Rows that hold this; kept from episode to episode."""
        if self._shape == (sim_state_size, images):
            return
        self._shape = sim_state_size, images
        self._fields = row_fields(self.spec, sim_state_size, images, self._has_safety)
        self._use(np.zeros(self._capacity + 1, row_dtype(self._fields)))

    def _use(self, rows: Array) -> None:
        """Views of the columns, so that a step costs one assignment for each."""
        rows["number"] = np.arange(len(rows))
        self._rows = rows
        self._bytes, self._row_bytes = rows.view(np.uint8).data, rows.itemsize
        self._obs = {key: rows[f"obs/{key}"] for key in self.spec.observation}
        self._images = {k: rows[IMAGES + k] for k in self.spec.cameras if IMAGES + k in self._fields}
        self._sim_state = rows["sim/state"] if "sim/state" in self._fields else None
        self._action = rows["steps/action"]
        self._policy = rows["steps/action_policy"]
        self._operator = rows["steps/action_operator"]
        self._proposed = (self._policy, self._operator)  # NaN where nobody proposes
        self._reward = rows["steps/reward"]
        self._terminated = rows["steps/terminated"]
        self._truncated = rows["steps/truncated"]
        self._t_ns = rows["steps/t_ns"]
        self._actor = rows["steps/actor"]
        self._safety = rows[SAFETY] if self._has_safety else None
        self._success = rows["success"]

    def __len__(self) -> int:
        return self._length

    def begin(
        self,
        obs: Observation,
        sim_state: Array | None = None,
        images: Mapping[str, Array] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Start an episode at `obs`; whatever was collected before is dropped.

        sim_state: (S,) float64.  images: a frame per camera of the spec, (H, W, 3) uint8. What is not
        given here is not kept for this episode.  journal: gets every step, too.
        Raises: DataError: a frame that is not as the spec says.
        """
        self._length = 0
        self._journal = journal
        if images:
            self._check_frames(images)
        self._allocate(None if sim_state is None else len(sim_state), bool(images))
        for proposed in self._proposed:
            proposed.fill(np.nan)
        for key, rows in self._obs.items():
            rows[0] = obs[key]
        for camera, rows in self._images.items():
            rows[0] = (images or {})[camera]
        if self._sim_state is not None:
            self._sim_state[0] = sim_state
        if journal is not None:
            journal.begin(self._fields, self._bytes[: self._row_bytes])

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
        success: bool | None = None,
        safety: int = 0,
    ) -> None:
        """Add one step; once this returns, the journal has it.

        reward: None: not known, kept as NaN.  t_ns: when the action was sent [ns from the episode's
        start].  sim_state: (S,) after the step.  executed: (A,) what was really sent, where that is
        not the proposed action.  images: a frame per camera after the step, where the episode began with
        them.  success: after the step, for the journal; None: not known.  safety: bits of `Safety`.
        Raises: DataError: a frame is missing or not as the spec says; the steps before are kept.
        """
        frames = images or {}
        if self._images:
            self._check_frames(frames)
        i = self._length + 1
        if i > self._capacity:
            self._grow()
        self._action[i] = proposal.action if executed is None else executed
        if proposal.policy is not None:
            self._policy[i] = proposal.policy
        if proposal.operator is not None:
            self._operator[i] = proposal.operator
        self._reward[i] = np.nan if reward is None else reward
        self._terminated[i] = terminated
        self._truncated[i] = truncated
        self._t_ns[i] = t_ns
        self._actor[i] = proposal.actor
        if self._safety is not None:
            self._safety[i] = safety
        self._success[i] = UNKNOWN_SUCCESS if success is None else success
        for key, rows in self._obs.items():
            rows[i] = next_obs[key]
        if self._sim_state is not None:
            self._sim_state[i] = np.nan if sim_state is None else sim_state
        for camera, rows in self._images.items():
            rows[i] = frames[camera]
        self._length = i
        if self._journal is not None:
            size = self._row_bytes
            self._journal.append(self._bytes[i * size : (i + 1) * size])

    def mark(self, safety: int) -> None:
        """Add bits of `Safety` to the last step, if there is one; its journal keeps what it had."""
        if self._safety is not None and self._length:
            self._safety[self._length] |= safety

    def finish(self, meta: EpisodeMeta) -> Episode:
        """The collected steps as an Episode of its own (copies); the buffer is empty afterwards.

        The journal stays: whoever commits the episode removes it.
        """
        steps = self._length
        self._length = 0
        self._journal = None
        return to_episode(self._rows[: steps + 1], self._fields, meta)

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
        self._use(np.concatenate([self._rows, np.zeros(self._capacity, self._rows.dtype)]))
        for proposed in self._proposed:
            proposed[self._capacity + 1 :] = np.nan
        self._capacity *= 2
