"""The nouns of the stack and the protocols at its seams. Imports nothing of the project but errors.

A `Spec` says what a task or a robot shows and takes; an `Episode` is what was recorded; a `Batch` is
what a learner sees. Arrays are NumPy everywhere outside `nn/` and `agents/`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robot_orl.errors import DataError

Array = NDArray[Any]
Observation = Mapping[str, Array]
Metrics = dict[str, Any]


class Actor(IntEnum):
    """Who chose the executed action of a step; UNKNOWN in imported data that does not tell."""

    SCRIPT = 0
    HUMAN = 1
    POLICY = 2
    INTERVENTION = 3
    UNKNOWN = 255


class Safety(IntFlag):
    """What the supervisor did in a step, as a bit mask. A bit never changes its meaning; new ones are added.

    The first eight changed the output; the others stopped the robot, and mark the last step before.
    """

    CLIPPED = 1 << 0
    RATE_LIMITED = 1 << 1
    POSITION = 1 << 2
    SPEED = 1 << 3
    ACCELERATION = 1 << 4
    JERK = 1 << 5
    WORKSPACE = 1 << 6
    START_RAMP = 1 << 7
    NON_FINITE = 1 << 8
    BAD_OBSERVATION = 1 << 9
    STALE = 1 << 10
    STALE_POLICY = 1 << 11
    OUT_OF_BOUNDS = 1 << 12
    TRACKING = 1 << 13
    OVERLOAD = 1 << 14


@dataclass(frozen=True)
class Signal:
    """One scalar that a robot shows or takes: its name, unit ('m', 'rad', '1' ...) and range."""

    name: str
    unit: str = "1"
    low: float = -float("inf")
    high: float = float("inf")


@dataclass(frozen=True)
class Camera:
    """Size of a camera's frames [pixels], each (height, width, 3) uint8, red first."""

    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Spec:
    """What a task or robot shows and takes; a policy made for one Spec runs only on an equal one.

    observation: signals per key, in the order in which `flatten` concatenates them.
    action: the A signals of an action, each in [-1, 1].
    control_hz: ticks per second [Hz].  horizon: steps until truncation.
    achieved_goal, desired_goal: observation keys of a goal task, else None.
    cameras: frames that are recorded beside the observation, per camera.
    """

    task: str
    observation: Mapping[str, tuple[Signal, ...]]
    action: tuple[Signal, ...]
    control_hz: float
    horizon: int
    achieved_goal: str | None = None
    desired_goal: str | None = None
    cameras: Mapping[str, Camera] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """The order of observations counts: it is the order of columns in `flatten`."""
        return isinstance(other, Spec) and json.dumps(self.to_dict()) == json.dumps(other.to_dict())

    __hash__ = None  # type: ignore[assignment]

    def lacks(self, wanted: "Spec") -> list[str]:
        """What of `wanted` this does not offer, by name; empty: its episodes can be read as `wanted`'s.

        Task, action and rate must be equal; observations and cameras may be more than wanted. The horizon
        may differ: it is where a task ends its episodes, which each of them tells for itself.
        """
        found, other = self.to_dict(), wanted.to_dict()
        equal = ("task", "action", "control_hz", "achieved_goal", "desired_goal")
        missing = [name for name in equal if found[name] != other[name]]
        for group in ("observation", "cameras"):
            offered = found.get(group, {})
            missing += [f"{group} '{k}'" for k, v in other.get(group, {}).items() if offered.get(k) != v]
        return missing

    def without_cameras(self) -> "Spec":
        """What of it a policy of low-dimensional observations sees."""
        return replace(self, cameras={})

    @property
    def observation_size(self) -> int:
        return sum(len(signals) for signals in self.observation.values())

    @property
    def action_size(self) -> int:
        return len(self.action)

    def slice_of(self, key: str) -> slice:
        """Columns of observation `key` in the flat observation."""
        start = 0
        for name, signals in self.observation.items():
            if name == key:
                return slice(start, start + len(signals))
            start += len(signals)
        raise DataError(f"no observation '{key}'; {self.task} has: {', '.join(self.observation)}")

    def flatten(self, obs: Observation) -> Array:
        """Concatenate a dict observation, (..., n) per key, into (..., D) float32."""
        parts = [np.asarray(obs[key], np.float32) for key in self.observation]
        return np.concatenate(parts, axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; infinite bounds become null. Equal specs give equal text: 1 is written as 1.0.

        `cameras` is left out where there are none: runs and bundles made before there were any stay equal.
        """
        raw = asdict(self)
        if not self.cameras:
            del raw["cameras"]
        raw["control_hz"] = float(self.control_hz)
        for signal in [*raw["action"], *(s for key in raw["observation"].values() for s in key)]:
            for bound in ("low", "high"):
                signal[bound] = float(signal[bound]) if np.isfinite(signal[bound]) else None
        return raw

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Spec":
        """Inverse of `to_dict`. Raises: DataError: fields are missing or malformed."""

        def signal(item: Mapping[str, Any]) -> Signal:
            low = -np.inf if item["low"] is None else float(item["low"])
            high = np.inf if item["high"] is None else float(item["high"])
            return Signal(item["name"], item["unit"], float(low), float(high))

        try:
            return cls(
                task=raw["task"],
                observation={k: tuple(map(signal, v)) for k, v in raw["observation"].items()},
                action=tuple(map(signal, raw["action"])),
                control_hz=float(raw["control_hz"]),
                horizon=int(raw["horizon"]),
                achieved_goal=raw["achieved_goal"],
                desired_goal=raw["desired_goal"],
                cameras={
                    k: Camera(int(v["height"]), int(v["width"])) for k, v in raw.get("cameras", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"malformed spec: {error!r}") from error


@dataclass(frozen=True)
class EpisodeMeta:
    """What is known about an episode as a whole; None: unknown.

    success: at the last step; success_any: at any step.  quality: label in [0, 1].
    end_reason: horizon, terminated, interrupt, fault, crash, unknown ...
    operator: who drove; of a policy from which somebody took over, such as 'policy+browser'.
    reset_options: what the task was reset with beside the seed, plain JSON.
    notes: a person's remark.  instruction: the task in words, as given to whoever acted.
    origin: where an imported episode comes from, such as 'door-v0_demos.pickle#3', or what a trimmed one is a
    part of, such as 'seed 7, steps 5 to 90 of 120'.
    """

    seed: int | None = None
    reset_options: Mapping[str, Any] = field(default_factory=dict)
    success: bool | None = None
    success_any: bool | None = None
    end_reason: str = "horizon"
    quality: float | None = None
    operator: str = "unknown"
    policy_hash: str | None = None
    notes: str = ""
    instruction: str | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Episode:
    """One recorded episode of T steps. Step i has s = obs[i] and s' = obs[i + 1].

    obs: per key (T+1, ...) float32.  sim_state: (T+1, S) float64, or None.
    action: what was executed, (T, A) float32; action_policy, action_operator: what was proposed, NaN
    where nobody did.  reward: (T,) float32, NaN where unknown.  terminated, truncated: (T,) bool.
    t_ns: when the action was sent [ns, monotonic from the episode's start], (T,) int64; -1 where unknown.
    actor: (T,) uint8, see Actor.
    safety: (T,) uint16, see Safety; None where no supervisor watched.
    images: per camera (T+1, H, W, 3) uint8; empty where they were not recorded or not asked for.
    """

    obs: Mapping[str, Array]
    action: Array
    action_policy: Array
    action_operator: Array
    reward: Array
    terminated: Array
    truncated: Array
    t_ns: Array
    actor: Array
    sim_state: Array | None
    meta: EpisodeMeta
    images: Mapping[str, Array] = field(default_factory=dict)
    safety: Array | None = None

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Batch:
    """What a learner sees: flat observations and n-step targets' ingredients.

    obs, next_obs: (B, D) float32; next_obs lies n steps ahead (fewer at an episode's end).
    action: (B, A).  reward: (B,) sum of gamma^k r_k over those steps.
    discount: (B,) gamma^n * (1 - terminated): derived, so a truncated episode still bootstraps.
    returns, tail, last_obs: where `Sampling.trace` asks for them; see `data.sampling.returns`. (B,) sum of
    gamma^k r_k to the end of the episode, (B,) gamma^T * (1 - terminated), (B, D) what was observed there.
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    returns: Array | None = None
    tail: Array | None = None
    last_obs: Array | None = None

    def arrays(self) -> dict[str, Array]:
        """Those that there are, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Proposal:
    """An action (A,) in [-1, 1] to execute, and who chose it. policy, operator: what each proposed."""

    action: Array
    actor: Actor
    policy: Array | None = None
    operator: Array | None = None


class TaskEnv(Protocol):
    """What every task offers beyond Gymnasium's API; reached as `env.unwrapped`."""

    task_spec: Spec

    def get_sim_state(self) -> Array:
        """(S,) float64: everything that the next step depends on, the goal and step count included."""

    def set_sim_state(self, state: Array) -> dict[str, Array]:
        """Restore `get_sim_state` bitwise and return the observation there."""

    def frames(self) -> dict[str, Array]:
        """What each camera of the spec sees now, (H, W, 3) uint8; drawing changes nothing."""

    def reward_for(self, achieved: Array, desired: Array) -> Array:
        """Goal tasks only: (..., G), (..., G) -> (...) float32 in {-1, 0}; as `step` would pay."""


class Pace(Protocol):
    """Real time for a rollout: `wait` returns at the next tick and says when that was [ns]."""

    def start(self) -> int: ...

    def wait(self) -> int: ...


class Operator(Protocol):
    """Someone or something that proposes actions: a script, a person, a policy."""

    name: str
    actor: Actor
    policy_hash: str | None

    def begin(self, rng: np.random.Generator) -> float | None:
        """Start an episode; returns its quality label in [0, 1], or None if not known."""

    def action(self, obs: Observation) -> Array | None:
        """(A,) float32 in [-1, 1], or None: hands off."""


@dataclass(frozen=True)
class RobotObservation:
    """An observation and when it was taken [ns, CLOCK_MONOTONIC]."""

    obs: Observation
    t_ns: int


@dataclass(frozen=True, eq=False)
class Telemetry:
    """What J joints report, (J,) each, all of one moment; None: the robot cannot tell.

    positions: measured [rad].  velocities: measured [rad/s].  targets: where they were last sent [rad].
    currents [A].  temperatures [degrees C].  tool_position: (3,) m in the frame of the base.
    """

    positions: Array | None = None
    velocities: Array | None = None
    targets: Array | None = None
    currents: Array | None = None
    temperatures: Array | None = None
    tool_position: Array | None = None


class Robot(Protocol):
    """A robot behind one interface, simulated or real. `name` and `spec` are readable while disconnected."""

    name: str
    spec: Spec

    def connect(self) -> None:
        """Open the connection. Raises: RunError: it cannot be had."""

    def home(self, seed: int) -> None:
        """Bring the robot to a start pose and begin an episode; may take seconds."""

    def observe(self) -> RobotObservation:
        """The latest observation; never blocks for longer than a tick."""

    def send(self, action: Array) -> Array:
        """Command an action (A,) in [-1, 1]; returns what was really executed."""

    def outcome(self) -> "Outcome":
        """How the last `send` went, as far as the robot or its task can tell."""

    def stop(self) -> None:
        """Bring the robot to a safe stop and hold. Must work from any state, more than once."""

    def close(self) -> None:
        """Release everything. Must work from any state."""


@dataclass(frozen=True)
class Outcome:
    """reward in {-1, 0}, success and end flags of the last step; None: the robot cannot tell.

    sim_state: (S,) float64 where a simulator is behind the robot.
    """

    reward: float | None = None
    success: bool | None = None
    terminated: bool = False
    truncated: bool = False
    sim_state: Array | None = None
