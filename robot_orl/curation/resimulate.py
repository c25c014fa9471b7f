"""Re-simulates recorded episodes: from the stored start, with the stored actions, compared bit for bit.

Step i is what action i led to: the simulator's state, the observation and the reward after it. What is
unknown in the recording (rewards that are NaN, states that were not kept) is not compared.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from robot_orl.data.store.provenance import package_versions
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import Segment
from robot_orl.errors import DataError
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env
from robot_orl.types import Array, Episode, Observation, Spec

FRAME = {"width": 480, "height": 360}  # pixels, of drawn steps; the segment's own env_kwargs win
START = -1  # the step of a deviation that is there before the first action
SIMULATORS = ("mujoco", "gymnasium-robotics", "gymnasium", "numpy", "robot-orl")
REWARD, STATE = "reward", "simulator state"


@dataclass(frozen=True)
class Difference:
    """One number that came out otherwise. signal: such as 'observation.grip_pos_x'; unit: of it."""

    signal: str
    unit: str
    recorded: float
    replayed: float

    @property
    def size(self) -> float:
        """Absolute; infinite where one of the two is not finite."""
        size = abs(self.replayed - self.recorded)
        return size if np.isfinite(size) else float("inf")

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.signal}: recorded {self.recorded:.9g}{unit}, replayed {self.replayed:.9g}{unit}"


@dataclass(frozen=True)
class Replayed:
    """How an episode's re-simulation went.

    start: 'stored state' or 'reset with seed 5'.  deviating: steps whose result differs in any bit.
    first: the first of them, or START, or None.  differences: all that differ there, signals before the
    simulator's state, largest first.
    packages: those whose version differs from the recorded one, as (recorded, here).
    """

    episode: str
    steps: int
    start: str
    deviating: int
    first: int | None
    differences: tuple[Difference, ...]
    packages: dict[str, tuple[str, str]]

    @property
    def is_equal(self) -> bool:
        return self.first is None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; null where a number is not finite."""
        plain = asdict(self) | {"equal": self.is_equal}
        for difference in plain["differences"]:
            for name in ("recorded", "replayed"):
                difference[name] = difference[name] if np.isfinite(difference[name]) else None
        return plain


class Resimulator:
    """Replays episodes of a dataset, each in the task as its segment was recorded; one task is kept."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._segments = {segment.path.name: segment for segment in dataset.segments}
        self._made: tuple[dict[str, Any], gymnasium.Env[Any, Any]] | None = None

    def replay(
        self, record: EpisodeRecord, after_step: Callable[[gymnasium.Env[Any, Any]], None] = lambda env: None
    ) -> Replayed:
        """Re-simulate one episode.

        after_step: called at the start and after every step, T + 1 times: to draw, to count, to stop.
        Raises: DataError: the episode cannot be begun again, or the task has changed.
        """
        segment = self._segments[record.segment]
        episode = self._dataset.load(replace(record, reward=None), images=False)  # as the task paid it
        env = self._env(segment)
        start, obs = _begin(env, record, episode)
        watch = _Watch(self._dataset.spec, episode)
        watch.compare(START, obs, None, env)
        after_step(env)
        for step, action in enumerate(episode.action):
            obs, reward, *_ = env.step(action)
            watch.compare(step, obs, float(reward), env)
            after_step(env)
        return Replayed(
            record.id,
            len(episode),
            start,
            watch.deviating,
            watch.first,
            watch.differences,
            other_versions(segment),
        )

    def _env(self, segment: Segment) -> gymnasium.Env[Any, Any]:
        kwargs = {k: v for k, v in segment.attributes["env_kwargs"].items() if k != "cameras"}
        if self._made is None or self._made[0] != kwargs:
            self.close()
            env = make_env(TaskConfig(self._dataset.spec.task, FRAME | kwargs), render=True)
            self._made = kwargs, env
            if lacking := spec_of(env).lacks(self._dataset.spec.without_cameras()):
                raise DataError(
                    f"task '{self._dataset.spec.task}' is another one now: {', '.join(lacking)} differ"
                )
        return self._made[1]

    def close(self) -> None:
        if self._made is not None:
            self._made[1].close()
            self._made = None

    def __enter__(self) -> "Resimulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def other_versions(segment: Segment) -> dict[str, tuple[str, str]]:
    """Packages that decide a simulation and have another version here: (recorded, here)."""
    recorded, here = segment.attributes["packages"], package_versions()
    pairs = {name: (recorded.get(name, "unknown"), here.get(name, "none")) for name in SIMULATORS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _begin(env: gymnasium.Env[Any, Any], record: EpisodeRecord, episode: Episode) -> tuple[str, Observation]:
    """The stored state, else the reset that the seed gives. Raises: DataError: neither is known."""
    if episode.sim_state is not None:
        return "stored state", task_env(env).set_sim_state(episode.sim_state[0])
    seed, options = record.meta.seed, dict(record.meta.reset_options)
    if seed is None:
        raise DataError(f"episode {record.id} has neither a simulator state nor a seed to begin from")
    try:
        obs, _ = env.reset(seed=seed, options=options or None)
    except ValueError as error:  # no task takes such a seed
        raise DataError(
            f"episode {record.id} cannot be begun by a reset with seed {seed}: {error}"
        ) from error
    return f"reset with seed {seed}" + (" and its options" if options else ""), obs


class _Watch:
    """Compares what is re-simulated with what was recorded, and remembers where it first differs."""

    def __init__(self, spec: Spec, episode: Episode) -> None:
        self.deviating = 0
        self.first: int | None = None
        self.differences: tuple[Difference, ...] = ()
        self._spec, self._episode = spec, episode

    def compare(
        self, step: int, obs: Observation, reward: float | None, env: gymnasium.Env[Any, Any]
    ) -> None:
        """obs, reward: of the re-simulation after `step`; reward None: at the start, none is paid."""
        found = [
            Difference(f"{key}.{signals[i].name}", signals[i].unit, recorded, replayed)
            for key, signals in self._spec.observation.items()
            for i, recorded, replayed in _differing(self._episode.obs[key][step + 1], obs[key])
        ]
        if reward is not None and not np.isnan(self._episode.reward[step]):
            pairs = _differing(self._episode.reward[step : step + 1], np.array([reward], np.float32))
            found += [Difference(REWARD, "1", recorded, replayed) for _, recorded, replayed in pairs]
        states = self._episode.sim_state
        if states is not None and not np.isnan(states[step + 1]).all():
            pairs = _differing(states[step + 1], task_env(env).get_sim_state())
            found += [Difference(f"{STATE}[{i}]", "1", *pair) for i, *pair in pairs]
        if not found:
            return
        self.deviating += step != START
        if self.first is None:
            self.first = step
            self.differences = tuple(sorted(found, key=lambda d: (d.signal.startswith(STATE), -d.size)))


def _differing(recorded: Array, replayed: Array) -> list[tuple[int, float, float]]:
    """Index and values of the elements, (n,) each, that differ in any bit."""
    bits = np.dtype(f"u{recorded.dtype.itemsize}")
    replayed = np.ascontiguousarray(replayed, recorded.dtype)
    where = np.flatnonzero(np.ascontiguousarray(recorded).view(bits) != replayed.view(bits))
    return [(int(i), float(recorded[i]), float(replayed[i])) for i in where]
