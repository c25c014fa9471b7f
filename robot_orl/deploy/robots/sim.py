"""`robot=sim`: any task as a robot, behind the protocol that hardware uses, and with its troubles."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import gymnasium
import numpy as np

from robot_orl.deploy.robots.disturbances import Delay, Disturbances, whole_periods
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock
from robot_orl.errors import RunError
from robot_orl.schema import Schema, setting
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Array, Observation, Outcome, RobotObservation

log = logging.getLogger(__name__)


@dataclass
class SimConfig(Schema):
    """A simulated task in real time. Delay, noise and losses repeat with the episode's seed."""

    name: str = setting("sim", "name of this robot in the report")
    limits: Limits = setting(factory=Limits, help="what its motion keeps to; a bundle may tighten it")
    freeze_after_s: float | None = setting(
        None, "drill: observations stop being renewed after this time", unit="s", low=0
    )
    latency_s: float = setting(
        0.0, "an action takes effect so much later, in whole control periods", unit="s", low=0, high=1
    )
    jitter_s: float = setting(
        0.0, "observing takes longer by a uniform time up to this", unit="s", low=0, high=1
    )
    noise: dict[str, float] = setting(
        factory=dict,
        help="standard deviation of what is measured, by unit: {m: 0.002, rad/s: 0.05}; goals have none",
    )
    drop: float = setting(
        0.0, "share of observations that are lost: the last one stays, with its time", low=0, high=1
    )


class SimRobot:
    """A task run as a robot: one step of the task per `send`.

    Physics steps inside `send`, so a command takes as long as the simulation of one control period; when
    that is longer than the period, slots are missed and the simulation runs slower than real time.
    An observation carries the time at which its step was finished. Before the first command of an episode
    the world stands still, and each look at it is a new observation.

    With `latency_s` of n control periods, rounded, the k-th `send` of an episode steps the task with what the
    (k - n)-th sent, and the first n with 0, the middle of every signal. `outcome` is of the task as it is,
    whatever was observed; noise and losses are drawn once per step.

    env: the task; whoever watches it may wrap it before `connect`.
    """

    def __init__(self, cfg: SimConfig, task: TaskConfig, clock: Clock | None = None) -> None:
        """Raises: UsageError: no such task, or noise in a unit that it does not observe. Whoever calls has
        imported what registers the task."""
        self.cfg = cfg
        self.name = cfg.name
        self.limits = cfg.limits
        self.should_stop: Callable[[], bool] = lambda: False  # it stands still between two commands
        self._clock = clock or RealClock()
        self.env: gymnasium.Env = make_env(task)
        self._task = task_env(self.env)
        self.spec = self._task.task_spec
        self._disturbances = Disturbances(self.spec, cfg.noise, cfg.drop, cfg.jitter_s)
        periods, self._said = whole_periods(cfg.latency_s, self.spec.control_hz)
        self._delay: Delay[Array] = Delay(periods)
        self._connected_ns: int | None = None
        self._holding = True  # nothing moves before `home` and after `stop`
        self._latest: RobotObservation | None = None
        self._outcome = Outcome()
        self._has_moved = False

    def connect(self) -> None:
        if self._said is not None:
            log.warning("%s: %s", self.name, self._said)
        self._connected_ns = self._clock.now_ns()

    def home(self, seed: int) -> None:
        """Reset the task to the start that `seed` gives."""
        if self._connected_ns is None:
            raise RunError(f"{self.name}: connect before home")
        obs, _ = self.env.reset(seed=seed)
        self._disturbances.begin(seed)
        self._delay.begin()
        self._renew(self._disturbances.noisy(obs))
        self._outcome = Outcome(sim_state=self._task.get_sim_state())
        self._has_moved = False
        self._holding = False

    def observe(self) -> RobotObservation:
        if self._latest is None:
            raise RunError(f"{self.name}: home before observe")
        if not self._has_moved:
            self._renew(self._latest.obs)
        if extra_ns := self._disturbances.extra_ns():
            self._clock.sleep_until(self._clock.now_ns() + extra_ns)
        return self._latest

    def send(self, action: Array) -> Array:
        """Step the task; returns the action in the robot's own range, (A,) float32, maybe on its way yet."""
        self._check_ready()
        executed = np.clip(np.asarray(action, np.float32), -1, 1)
        arrived = self._delay(executed)
        self._step(np.zeros_like(executed) if arrived is None else arrived)
        return executed

    def outcome(self) -> Outcome:
        return self._outcome

    def stop(self) -> None:
        """Hold: the simulation stands still until the next `home`."""
        self._holding = True

    def park(self) -> None:
        """Nothing can fall in a simulation that stands still."""
        self.stop()

    def close(self) -> None:
        self.stop()
        self.env.close()

    def _check_ready(self) -> None:
        if self._holding:
            raise RunError(f"{self.name}: is stopped; home it first")

    def _step(self, action: Array) -> None:
        """One control period of the task, and what is seen of it."""
        self._has_moved = True
        obs, reward, terminated, truncated, info = self.env.step(action)
        seen = self._disturbances.noisy(obs)
        if not self._disturbances.is_lost():
            self._renew(seen)
        self._outcome = Outcome(
            reward=float(reward),
            success=bool(info["success"]),
            terminated=terminated,
            truncated=truncated,
            sim_state=self._task.get_sim_state(),
        )

    def _renew(self, obs: Observation) -> None:
        now_ns = self._clock.now_ns()
        if self._latest is None or not self._is_frozen(now_ns):
            self._latest = RobotObservation(obs, now_ns)

    def _is_frozen(self, now_ns: int) -> bool:
        after_s = self.cfg.freeze_after_s
        return (
            after_s is not None
            and self._connected_ns is not None
            and now_ns - self._connected_ns >= after_s * NS_PER_S
        )
