"""`operator=expert`: a task's script takes over from a policy where it gets no farther, and lets go again.

A scripted 'person' for finetuning and deployment, who looks at one number: how far it still is, from the tool
to the object and from there to the goal [m]. It takes over once

    the policy gets no nearer        for patience_s, by progress_m
    something was lost               it is lost_m farther than it has been
    time runs out                    the rest would have to be done faster than hurry_m_s

and lets go when it has brought the task help_m farther than it had been before, or all the way to the goal.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np

from data_collection.scripts import SCRIPTS
from data_collection.teleop.places import Places, places_of
from robot_orl.errors import UsageError
from robot_orl.intervention import RAMP_S, Intervener
from robot_orl.registry import register
from robot_orl.schema import Schema, setting
from robot_orl.tasks import task_env
from robot_orl.types import Actor, Array, Episode, Observation, Pace, Spec


@dataclass
class ExpertConfig(Schema):
    """When a script takes over from a policy, by distance, and when it lets go."""

    name: str = "expert"
    patience_s: float = setting(0.5, "so long the policy may get no nearer", unit="s", low=0.0, high=60.0)
    progress_m: float = setting(0.01, "nearer by less than this is no nearer", unit="m", low=0.0, high=1.0)
    lost_m: float = setting(
        0.05, "farther than before by more than this is a loss", unit="m", low=0.0, high=1.0
    )
    hurry_m_s: float = setting(
        0.4, "the speed at which the rest can still be done in time", unit="m/s", low=0.01, high=10.0
    )
    help_m: float = setting(
        0.08, "nearer than it had been by so much, it lets go", unit="m", low=0.0, high=10.0
    )


@register("operator", "expert", ExpertConfig)
class ExpertOperator:
    """The task's script, beside a policy."""

    needs_person = False

    def __init__(self, cfg: ExpertConfig, spec: Spec) -> None:
        """Raises: UsageError: there is no script for the task; the line names those that have one."""
        if spec.task not in SCRIPTS:
            known = ", ".join(sorted(SCRIPTS))
            raise UsageError(f"operator=expert has no script for task '{spec.task}'; it has: {known}")
        self.cfg, self.spec = cfg, spec

    def stand_by(self, env: gymnasium.Env[Any, Any]) -> Intervener:
        return Expert(env, self.cfg, self.spec)


class Expert:
    """An `Intervener`. What it does follows from what it sees, and from nothing else."""

    name = "expert"
    actor = Actor.INTERVENTION
    policy_hash: str | None = None

    def __init__(self, env: gymnasium.Env[Any, Any], cfg: ExpertConfig, spec: Spec) -> None:
        self.env = env
        self.pace: Pace | None = None
        self.steps: int | None = None
        self._task, self._cfg, self._spec = task_env(env), cfg, spec
        self._view, self._make_script = SCRIPTS[spec.task]
        self._most = 2.0 / (RAMP_S * spec.control_hz)  # that an action changes in a step, on taking over
        self.begin(np.random.default_rng(0))

    def open(self) -> None: ...

    def begin(self, rng: np.random.Generator) -> None:
        self._script = self._make_script()
        self._judge = Judge(self._cfg, self._spec)
        self._executed: Array | None = None
        self._is_on = self._has_met = False

    def action(self, obs: Observation) -> Array | None:
        """The script follows what happens while the policy acts, so that it can go on from anywhere."""
        wanted = np.clip(self._script.action(self._view.of(obs)), -1.0, 1.0)
        was_on = self._is_on
        self._is_on = self._judge.helps(remaining_m(places_of(self._spec, obs)), self._is_done(obs))
        if not self._is_on:
            return None
        if not was_on:
            self._has_met = self._executed is None
        return self._towards(wanted).astype(np.float32)

    def executed(self, action: Array) -> None:
        self._executed = action

    def ended(self, episode: Episode) -> None: ...

    def idle(self) -> None: ...

    def close(self) -> None: ...

    def _is_done(self, obs: Observation) -> bool:
        achieved, desired = self._spec.achieved_goal, self._spec.desired_goal
        assert achieved is not None
        assert desired is not None
        return bool(self._task.reward_for(obs[achieved], obs[desired]) == 0)

    def _towards(self, wanted: Array) -> Array:
        """From what was executed last to what the script wants, without a jump; from then on that."""
        if self._has_met or self._executed is None:
            return wanted
        action = self._executed + np.clip(wanted - self._executed, -self._most, self._most)
        self._has_met = bool(np.allclose(action, wanted))
        return action


class Judge:
    """Whether help is needed, from how far it still is, step by step."""

    def __init__(self, cfg: ExpertConfig, spec: Spec) -> None:
        self._cfg, self._horizon, self._hz = cfg, spec.horizon, spec.control_hz
        self._step = self._nearer_at = 0
        self._best_m = np.inf
        self._until_m: float | None = None  # it lets go there; None: it has not taken over

    def helps(self, left_m: float, is_done: bool) -> bool:
        """left_m: the way that is left.  is_done: the task is a success as it is."""
        self._step += 1
        if is_done:
            self._until_m = None
        elif self._until_m is not None and left_m <= self._until_m:
            self._until_m = None
            self._nearer(left_m)
        if is_done or left_m < self._best_m - self._cfg.progress_m:
            self._nearer(left_m)
        if not is_done and self._until_m is None:
            self._until_m = self._takes_over_until(left_m)
        return self._until_m is not None

    def _nearer(self, left_m: float) -> None:
        self._best_m, self._nearer_at = left_m, self._step

    def _takes_over_until(self, left_m: float) -> float | None:
        """How far it may be when the policy has to go on; None: it does well."""
        cfg = self._cfg
        left_s = (self._horizon - self._step) / self._hz
        if left_m > cfg.hurry_m_s * left_s:
            return -np.inf  # all the way to the goal
        stands = self._step - self._nearer_at >= cfg.patience_s * self._hz
        if stands or left_m > self._best_m + cfg.lost_m:
            return self._best_m - cfg.help_m
        return None


def remaining_m(places: Places) -> float:
    """From the tool to the object, if there is one, and on to the goal."""
    way = [places[name] for name in ("tool", "object", "goal") if name in places]
    return float(sum(np.linalg.norm(np.subtract(there, here)) for here, there in pairwise(way)))
