"""Points of the learning curve, measured by a process of its own while the learner goes on.

A point is taken at the first episode's end past every so many environment steps. What it says is acted upon
(kept as the best, a reason to stop) at the next one, whenever it came: so runs do not depend on how fast
anything is. Shown and logged it is as soon as it is there.
"""

from copy import deepcopy
from types import TracebackType
from typing import Any

from robot_orl.seeds import VALIDATION_SEEDS
from robot_orl.tasks import TaskConfig
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.playing.players import Players
from robot_orl.training.pretrain import log_evaluation
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, unpack
from robot_orl.types import Metrics


class Curve:
    """A context manager. episodes: for each point, on the first validation seeds.

    pending: of a checkpoint, the point of which nothing was made yet: its step, the seconds until then, the
    packed state and what was found of it; None: there is none.
    """

    def __init__(
        self,
        run: Run,
        stage: str,
        task: TaskConfig,
        episodes: int,
        pending: dict[str, Any] | None,
        last_step: int,
    ) -> None:
        self.pending, self.last_step = pending, last_step
        self._run, self._stage, self._task = run, stage, task
        self._seeds = VALIDATION_SEEDS[:episodes]
        self._logged = run.last_evaluation(stage)  # perhaps by a killed process, after its checkpoint
        self._players: Players | None = None
        self._found: Evaluation | None = None

    def __enter__(self) -> "Curve":
        if self.pending is not None:
            state = unpack(self.pending["state"])
            try:
                self._measure(state)
            except BaseException as error:  # nobody else ends the process
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._players is not None:
            self._players.__exit__(kind, error, trace)

    def begin(self, state: TrainingState, fingerprint: str, wall_s: float, found: Metrics) -> None:
        """Measure this state; the point before must have been settled. found: what `diagnose` says of it."""
        assert self.pending is None
        packed = deepcopy(state.pack(self._stage, fingerprint))  # the next update writes into the original
        now = state.progress.env_steps
        self.pending = {"step": now, "wall_s": wall_s, "state": packed, "found": found}
        self.last_step = state.progress.env_steps
        self._measure(state)

    def look(self) -> Evaluation | None:
        """The point that has just become known, logged; None: nothing new. Does not wait."""
        if self._players is None or self._found is not None or not self._players.played(timeout_s=0):
            return None
        return self._receive()

    def is_known(self, timeout_s: float) -> bool:
        """Whether `settle` would return at once; waits for that at most so long."""
        if self.pending is None or self._found is not None or self._players is None:
            return True
        return self._players.is_played(0, timeout_s)

    def settle(self) -> Evaluation | None:
        """What the pending point says, waiting for it; its state is kept if it is the best so far."""
        if self.pending is None:
            return None
        found = self._found or self._receive()
        step, state = self.pending["step"], self.pending["state"]
        self._run.save_best(self._stage, state, found, step)
        self.pending, self._found = None, None
        return found

    def _measure(self, state: TrainingState) -> None:
        policy = state.agent.policy()
        if self._players is None:
            self._players = Players(self._task, state.spec, policy, 1, "evaluation process").__enter__()
        self._players.measure(0, self._seeds, self._players.weights(policy))

    def _receive(self) -> Evaluation:
        assert self._players is not None
        assert self.pending is not None
        self._found = self._players.measured(0)
        step = self.pending["step"]
        if step > self._logged:
            wall_s, found = self.pending["wall_s"], self.pending.get("found")
            log_evaluation(self._run, self._stage, step, step, wall_s, self._found, found)
            self._logged = step
        return self._found
