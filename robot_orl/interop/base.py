"""What a format offers, and what all of them need.

    read(path, request) -> Source       import: opens the file; episodes come one at a time
    write(dataset, out, progress)       export: out must not exist; progress(1) after every episode
    left_out(dataset) -> str | None     optional: what of it an export would lose, said to the user

Nothing is guessed: what a format cannot say is stored as unknown (None; NaN for rewards and proposals; -1
for times; Actor.UNKNOWN), and what it needs to be told is asked for by name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import numpy as np

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, UsageError, printable, unknown
from robot_orl.interop import formats
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Signal, Spec

PAID = "as the task pays, from the success of each step; not the file's"
MAX_WIDTH = 2**18  # of a row of a file that nobody knows: each value becomes a signal with a name

Read = Callable[[Path, "Request"], "Source"]
Write = Callable[[Dataset, Path, Callable[[int], None]], None]


@dataclass(frozen=True)
class Request:
    """What the user says about the data.

    task: an id of this stack, whose spec the data must have; or None or another name: the spec is made from
    the file.  control_hz: needed where neither the task nor the file says it.  horizon: steps after which an
    episode was cut, where the file does not say.  scale_actions: of a format whose actions are in a robot's
    units, map each signal's least .. greatest value to [-1, 1].
    """

    task: str | None = None
    control_hz: float | None = None
    horizon: int | None = None
    scale_actions: bool = False


@dataclass(frozen=True)
class Source:
    """An opened file of another format.

    count: episodes in it, None where only reading them all would tell.  episodes: one at a time, so that
    a file larger than memory can be imported.  provenance: what the file says of itself, plain JSON.
    """

    spec: Spec
    count: int | None
    episodes: Iterator[Episode]
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def names(direction: str) -> list[str]:
    """The formats that can be read or written. direction: 'read' or 'write'."""
    found = sorted(module.name for module in iter_modules(formats.__path__))
    return [name for name in found if hasattr(_module(name), direction)]


def reader(name: str) -> Read:
    """Raises: UsageError: names the formats that can be imported."""
    return _offer(name, "read", "source")


def writer(name: str) -> Write:
    """Raises: UsageError: names the formats that can be exported."""
    return _offer(name, "write", "format")


def left_out(name: str, dataset: Dataset) -> str | None:
    """What of a dataset the format has no place for, where its module has a function that tells."""
    tell: Callable[[Dataset], str | None] | None = getattr(_module(name), "left_out", None)
    return None if tell is None else tell(dataset)


def _offer(name: str, direction: str, kind: str) -> Any:
    if name not in names(direction):
        raise unknown(kind, name, names(direction))
    return getattr(_module(name), direction)


def _module(name: str) -> ModuleType:
    return import_module(f"{formats.__name__}.{name}")


def library(name: str) -> ModuleType:
    """An optional library, imported when a format needs it. Raises: UsageError: how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(f"this format needs {package}: pip install 'robot-orl[interop]'") from error


def names_task(request: Request) -> bool:
    """Whether the requested task is one of this stack, whose ids have no version. These pay success - 1."""
    import gymnasium

    found = gymnasium.registry.get(request.task) if request.task else None
    return found is not None and found.version is None


def task_spec(request: Request) -> Spec | None:
    """The spec of the requested task where it is one of this stack.

    Raises: UsageError: the request names another control rate than the task's.
    """
    if request.task is None or not names_task(request):
        return None
    env = make_env(TaskConfig(request.task))
    try:
        spec = spec_of(env)
    finally:
        env.close()
    if request.control_hz not in (None, spec.control_hz):
        raise UsageError(
            f"task {spec.task} runs at {spec.control_hz:g} Hz, not at control_hz={request.control_hz:g}"
        )
    return spec


def made_spec(
    request: Request,
    observation: Mapping[str, int],
    action: int,
    horizon: int,
    control_hz: float | None = None,
    task: str | None = None,
) -> Spec:
    """A spec for data of a task that this stack does not know: signals are numbered, their units unknown.

    observation: width per key.  control_hz, task: as the file says, if it does; the request overrides.
    Raises: UsageError: nobody says at what rate the data was recorded.  DataError: wider than any robot's.
    """
    rate = control_hz if request.control_hz is None else request.control_hz
    if rate is None:
        raise UsageError("the file does not say its control rate: add control_hz=... [Hz]")
    for key, width in {**observation, "action": action}.items():
        if width > MAX_WIDTH:
            raise DataError(f"'{printable(key)}' has rows of {width} values; up to {MAX_WIDTH} are signals")

    def signals(prefix: str, count: int, low: float, high: float) -> tuple[Signal, ...]:
        return tuple(Signal(f"{prefix}_{i}", "?", low, high) for i in range(count))

    return Spec(
        task=request.task or printable(task or "") or "unknown",
        observation={key: signals(key, width, -np.inf, np.inf) for key, width in observation.items()},
        action=signals("action", action, -1.0, 1.0),
        control_hz=float(rate),
        horizon=horizon,
    )


def split_observation(flat: Array, spec: Spec, what: str) -> dict[str, Array]:
    """(T+1, D) -> per key, in the spec's order. Raises: DataError: another width than the task's."""
    if flat.ndim != 2 or flat.shape[1] != spec.observation_size:
        raise DataError(
            f"{what} has observations of shape {flat.shape[1:]}; task {spec.task} has {spec.observation_size}"
        )
    return {key: np.asarray(flat[:, spec.slice_of(key)], np.float32) for key in spec.observation}


def imported_episode(
    obs: Mapping[str, Array],
    action: Array,
    meta: EpisodeMeta,
    *,
    reward: Array | None = None,
    terminated: Array | None = None,
    truncated: Array | None = None,
    t_ns: Array | None = None,
    sim_state: Array | None = None,
    actor: int = Actor.UNKNOWN,
    images: Mapping[str, Array] | None = None,
) -> Episode:
    """An episode of T steps in which everything that is not given is unknown.

    obs: per key (T+1, n).  action: (T, A); those outside [-1, 1] are clipped, as the tasks of this stack do.
    Where neither end flag is given, the recording just ends: its last step counts as truncated.
    """
    steps = len(action)

    def flags(given: Array | None) -> Array:
        return np.zeros(steps, bool) if given is None else np.array(given, bool).reshape(steps)

    ends, cuts = flags(terminated), flags(truncated)
    if steps and not ends[-1]:
        cuts[-1] = True
    action = np.clip(np.asarray(action, np.float32), -1.0, 1.0)
    unknown_action = np.full_like(action, np.nan)
    return Episode(
        obs={key: np.asarray(rows, np.float32) for key, rows in obs.items()},
        action=action,
        action_policy=unknown_action,
        action_operator=unknown_action,
        reward=np.full(steps, np.nan, np.float32) if reward is None else np.asarray(reward, np.float32),
        terminated=ends,
        truncated=cuts,
        t_ns=np.full(steps, -1, np.int64) if t_ns is None else np.asarray(t_ns, np.int64),
        actor=np.full(steps, actor, np.uint8),
        sim_state=sim_state,
        meta=meta,
        images=dict(images or {}),
    )
