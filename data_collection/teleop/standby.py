"""A person beside a policy: hands that most of the time are off, and take over without a jump.

    hands --Jog--> steering --action--> SharedControl, which asks at every step and says what was executed
      |--Order--> `hear`
      '<-Status-- who acts, the rate, the task as it is seen

Hands that are laid on go on from what was executed last; how the robot goes back to the policy once they let
go is `SharedControl`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import gymnasium
import numpy as np

from data_collection.teleop.hands import Hands, Interactive, Onlooker, Order, Overseeing, Remote, Status, Verb
from data_collection.teleop.pacing import Pacing
from data_collection.teleop.places import places_of
from data_collection.teleop.steering import steering_of
from data_collection.teleop.takeover import Takeover
from data_collection.teleop.watched import Watched
from robot_orl.deploy.timing import Clock, RealClock
from robot_orl.intervention import Intervener, Seat
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Array, Episode, Observation, Pace

TRAINING = {
    Verb.PAUSE: "pause",
    Verb.RESUME: "resume",
    Verb.CHECKPOINT: "checkpoint",
    Verb.QUIT: "stop",
}  # what can be ordered of a learner, as it names it
POLICY, PERSON, WAITING = "policy", "person", "waiting"  # states: who acts; nobody, between episodes


class Standby:
    """An `Intervener` that is a person. clock: the real one by default.

    steps: an episode does not end under somebody's hands before it has so many, `operator.seconds`.
    hear: who is told of orders, one by one.  allowed: the orders that make sense now.  said: a line that
    hands show.  deployment: what they show of one.  All of these may be set at any time.
    """

    actor = Actor.INTERVENTION
    policy_hash: str | None = None

    def __init__(
        self, env: gymnasium.Env[Any, Any], operator: Interactive, clock: Clock | None = None
    ) -> None:
        """Raises: UsageError: this person cannot act in this task, or needs the terminal."""
        self.name, self._spec = operator.name, spec_of(env)
        self._takeover = Takeover(steering_of(env, operator.cfg))
        self._hands: Hands = operator.make_hands(env, alone=True)
        self._onlooker = self._hands if isinstance(self._hands, Onlooker) else None
        self._remote = self._hands if isinstance(self._hands, Remote) else None
        self.env = self._watched = Watched(env, self._onlooker)
        self._pacing = Pacing(self._spec.control_hz, clock or RealClock())
        self.pace: Pace | None = self._pacing
        seconds = operator.cfg.seconds
        asked = 0 if seconds is None else round(seconds * self._spec.control_hz)
        self.steps: int | None = max(self._spec.horizon, asked)
        self.hear: Callable[[Order], None] = _nobody
        self.allowed: Sequence[Verb] = ()
        self.said = ""
        self.deployment: Mapping[str, Any] = {}
        self._seat: Seat | None = None
        self._obs: Observation = {}
        self._step = self._episodes = self._good = 0

    def sit(self, seat: Seat) -> None:
        """Before `open`: at a learner's desk, where orders go and hands may see how learning goes."""
        self._seat, self.allowed, self.hear = seat, tuple(TRAINING), self._order
        if isinstance(self._hands, Overseeing):
            self._hands.oversee(seat.board, seat.board_bytes)

    def open(self) -> None:
        """Raises: UsageError, RunError: hands cannot be had."""
        if self._onlooker is not None:
            task: Any = self.env.unwrapped
            self.env.reset(seed=0)
            self._onlooker.watch(task.model, task.data)
        self._hands.open()

    def begin(self, rng: np.random.Generator) -> None:
        self._step = 0
        self._takeover.begin(rng)

    def action(self, obs: Observation) -> Array | None:
        self._step += 1
        self._obs = obs
        self.listen()
        if self._seat is not None:
            self._seat.saw(self._spec.flatten(obs))
        self._takeover.jog = jog = self._hands.jog()
        self._show(POLICY if jog is None else PERSON)
        return self._takeover.action(obs)

    def executed(self, action: Array) -> None:
        self._takeover.executed(action)

    def ended(self, episode: Episode) -> None:
        self._episodes += 1
        self._good += bool(episode.meta.success)
        if self._seat is not None and isinstance(self._hands, Overseeing):
            self._hands.keep(episode.meta.seed or 0, self.env, episode)

    def idle(self) -> None:
        self.listen()
        self._show(WAITING)

    def close(self) -> None:
        self._hands.close()

    def present(self) -> bool:
        """Whether there is somebody; it returns at once."""
        return self._hands.present()

    def heard(self) -> bool:
        """Whether somebody is heard of at this moment; present they may be a while longer."""
        return self.present() if self._remote is None else self._remote.heard()

    def cut_off(self) -> bool:
        """Whether hands were on until nobody was heard of any more."""
        return self._remote is not None and self._remote.cut_off()

    def listen(self) -> None:
        """Whoever hears orders is told of those that have come. Hands are left as they are."""
        for order in self._hands.orders():
            self.hear(order)

    def _show(self, state: str) -> None:
        status = Status(
            state=state,
            step=self._step,
            horizon=self._spec.horizon,
            success=self._watched.success,
            good=self._good,
            episodes=self._episodes,
            rate_hz=self._pacing.rate_hz,
            lag_ms=self._pacing.lag_ms,
            said=self.said,
            places=places_of(self._spec, self._obs),
            deployment=self.deployment,
        )
        self._hands.show(status, self.allowed)

    def _order(self, order: Order) -> None:
        if self._seat is not None and order.verb in TRAINING:
            self._seat.order(TRAINING[order.verb])


class PersonStandsBy:
    """What makes an operator that is a person (`hands.Interactive`) able to take over from a policy."""

    needs_person = True

    def stand_by(self, env: gymnasium.Env[Any, Any]) -> Intervener:
        """Raises: UsageError: this person cannot act in this task, or needs the terminal."""
        return Standby(env, cast(Interactive, self))


def _nobody(order: Order) -> None:
    """Hears nothing."""
