"""A learner under somebody's eyes: between two updates it hears what they order, and tells them what is so.

`board`, plain JSON, what dashboard.js draws:

    phase            playing, learning, measuring, paused, stopping
    is_paused, said  whether it is; a line of news
    env_steps, target, updates, episodes
    curve            [environment step, success, low, high], in order; at step 0 that of the offline policy
    recent           the last episodes, [{"seed", "number", "steps", "return", "success", "interventions",
                     "share", "values"}, ...]; share: of steps of who took over; values: of each step, of
                     the latest episodes of this process, else null
    replay, batch    steps of each part, and its share of a batch: {"offline", "online", "interventions"}
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch

from robot_orl.agents.base import Valued
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.interrupt import StopFlag
from robot_orl.training.online.desk import Desk
from robot_orl.training.online.stage import STAGE
from robot_orl.training.online.takeovers import Played, played
from robot_orl.training.runs.run import EVALUATED, Run, read_metrics
from robot_orl.training.state import TrainingState
from robot_orl.types import Array, Episode

TELL_S, BOARD_S = 0.1, 0.5  # between two values, and two boards while updates are made
PAUSE_S = 0.02  # between two looks for an order to go on
RECENT, WITH_VALUES = 30, 8  # episodes
MOST_POINTS = 500  # of the learning curve
MOST_VALUES = 2_000  # steps of an episode whose values are told
COMPILES = "The first updates wait for a compiler, a minute perhaps; orders are heard after that."


class Overseer:
    """desk: None: nobody looks, and all of this does nothing.

    run: its log has the learning curve.  target: environment steps.  stop: is set when somebody orders it,
    as a first Ctrl-C sets it.  compiles: the first update takes long.  earlier: episodes that were learned
    from before, all of them, in their order.
    """

    def __init__(
        self,
        desk: Desk | None,
        state: TrainingState,
        mixture: Mixture,
        run: Run,
        target: int,
        stop: StopFlag,
        compiles: bool = False,
        earlier: Sequence[Played] = (),
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._desk, self._state, self._mixture, self._run, self._stop = desk, state, mixture, run, stop
        self._now_s, self._sleep = now_s, sleep
        self.is_paused = self.wants_checkpoint = False
        self._phase, self._said, self._told_s = "playing", COMPILES if compiles else "", -np.inf
        self._target, self._curve = target, curve_of(run) if desk is not None else []
        self._recent = deque((row_of(n, one) for n, one in enumerate(earlier)), maxlen=RECENT)
        self._published_s, self._has_told_of_stop = -np.inf, False

    def rest(self, save: Callable[[], None]) -> None:
        """As `attend`, between two episodes, when everything can be saved: where that is wanted, it is."""
        self.attend("playing")
        while self.wants_checkpoint:
            save()
            self.attend("playing")

    def attend(self, phase: str, left: int = 0) -> None:
        """Between two updates, and while waiting: does not return while it is paused, unless a checkpoint
        or the end is wanted.

        phase: what is being done.  left: updates until a checkpoint can be made.
        """
        if self._desk is None:
            return
        self._hear(phase, left)
        self._tell(phase)
        while self.is_paused and not (self.wants_checkpoint or self._stop.requested):
            self._tell("paused")
            self._sleep(PAUSE_S)
            self._hear(phase, left)
            if self._stop.requested:
                self._tell(phase)

    def learned(self, episode: Episode) -> None:
        """That episode was played, and was learned from."""
        if self._desk is None:
            return
        if not (self.is_paused or self.wants_checkpoint or self._stop.requested):
            self._said = ""
        is_short = len(episode) <= MOST_VALUES
        seen = self._state.spec.flatten(episode.obs)[:-1]
        values = values_of(self._state, seen) if is_short else None
        self._recent.append(row_of(self._state.progress.episodes - 1, played(episode), values))
        if len(self._recent) > WITH_VALUES:
            self._recent[-1 - WITH_VALUES]["values"] = None
        self._publish()

    def measured(self) -> None:
        """The learning curve may have another point."""
        if self._desk is not None:
            self._curve = curve_of(self._run)
            self._publish()

    def saved(self) -> None:
        """A checkpoint was made."""
        if self.wants_checkpoint:
            self._said = f"Saved at step {self._state.progress.env_steps:,}."
        self.wants_checkpoint = False
        self._publish()

    def _hear(self, phase: str, left: int) -> None:
        assert self._desk is not None
        for order in self._desk.orders():
            match order:
                case "pause":
                    self.is_paused = True
                    self._said = "Nothing is learned, and no other episode begins, until you resume."
                case "resume":
                    self.is_paused, self._said = False, ""
                case "checkpoint":
                    self.wants_checkpoint = True
                    self._said = f"Saving, after {left} more updates." if left else "Saving."
                case "stop":
                    self._stop.requested = True
            self._told_s = -np.inf
        if self._stop.requested and not self._has_told_of_stop:  # by an order or a signal
            self._has_told_of_stop, self._said = True, stops(phase, left)

    def _tell(self, phase: str) -> None:
        """Where there is something new to tell, or often enough."""
        assert self._desk is not None
        phase = "stopping" if self._stop.requested else phase
        now_s = self._now_s()
        if phase == self._phase and now_s - self._told_s < TELL_S:
            return
        is_old = phase == "learning" and now_s - self._published_s >= BOARD_S
        if phase != self._phase or self._told_s == -np.inf or is_old:
            self._phase = phase
            self._publish()
        self._told_s = now_s
        seen = self._desk.seen()
        values = None if seen is None else values_of(self._state, seen[None])
        self._desk.publish_value(None if values is None else float(values[0]))

    def _publish(self) -> None:
        if self._desk is None:
            return
        progress = self._state.progress
        replay, batch = self._mixture.parts(self._state.agent.sampling.batch_size)
        board = {
            "phase": self._phase,
            "is_paused": self.is_paused,
            "said": self._said,
            "env_steps": progress.env_steps,
            "updates": progress.updates,
            "episodes": progress.episodes,
            "target": self._target,
            "curve": self._curve,
            "recent": list(self._recent),
            "replay": replay,
            "batch": batch,
        }
        self._desk.publish(board)
        self._published_s = self._now_s()


def stops(phase: str, left: int) -> str:
    """What a stop waits for. left: updates."""
    when = f"after {left:,} more updates" if left else "after this test" if phase == "measuring" else "now"
    return f"It stops {when}. What you do until then is kept; the same command goes on from there."


def row_of(number: int, one: Played, values: Array | None = None) -> dict[str, Any]:
    """One of `recent`."""
    return {
        "seed": one.seed,
        "number": number,
        "steps": one.steps,
        "return": round(one.reward, 3),
        "success": one.success,
        "interventions": one.times,
        "share": round(one.theirs / one.steps, 4),
        "values": None if values is None else values.round(2).tolist(),
    }


@torch.no_grad()
def values_of(state: TrainingState, obs: Array) -> Array | None:
    """Mean over the critics of Q(s, policy(s)): (B, D) -> (B,); None: the agent has none, or diverged."""
    if not hasattr(state.agent, "q_values"):
        return None
    seen = torch.from_numpy(np.ascontiguousarray(obs, np.float32))
    q = cast(Valued, state.agent).q_values(seen, state.agent.policy()(seen))  # (E, B)
    values: Array = q.mean(dim=0).numpy()
    return values if np.isfinite(values).all() else None


def curve_of(run: Run) -> list[list[float]]:
    """[environment step, success, low, high] of each point in the run's log, in their order; the first is
    what finetuning began with."""
    rows = [row for row in read_metrics(run.path) if EVALUATED in row]
    before = [row | {"env_steps": 0} for row in rows if row["stage"] == "offline"][-1:]
    online = [row for row in rows if row["stage"] == STAGE][-MOST_POINTS:]
    names = ("env_steps", EVALUATED, "eval/wilson_low", "eval/wilson_high")
    return [[row.get(name, row[EVALUATED]) for name in names] for row in before + online]
