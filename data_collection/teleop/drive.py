"""The loop of a recording session: a person's hands act in a task, in real time, episode by episode.

    hands --Jog--> steering --action--> rollout --step--> journal, and the world that hands may draw
      |                                                        |
      |--Order--> session --Do--> begin, end, save, discard, undo, next, quit --> Shelf: the dataset
      '<-Status------'

A saved episode is committed by the writer's own thread. One that is not saved yet is in its journal: after a
kill it comes back, with end reason 'crash', when something is collected there again.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import gymnasium
import numpy as np

from data_collection.record import OPERATOR_STREAM
from data_collection.teleop.doubts import STILL_S, doubts, unmoved
from data_collection.teleop.hands import Hands, Interactive, Onlooker, Order, Reviewer, Status
from data_collection.teleop.pacing import RATE_TICKS, Pacing
from data_collection.teleop.places import places_of
from data_collection.teleop.session import Do, RecordingSession, State
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.shelf import Shelf
from data_collection.teleop.steering import Steering, steering_of
from data_collection.teleop.takeover import HasPolicy, PolicyAndHands
from data_collection.teleop.watched import Watched
from data_collection.viewer.takes import plain_take
from robot_orl.data.trimming import trimmed
from robot_orl.deploy.timing import Clock, RealClock
from robot_orl.interrupt import StopFlag
from robot_orl.rollout import CutShort, End, rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Episode, EpisodeMeta, Observation, Proposal

YOU_ACT, POLICY_ACTS = "you act; let go, and the policy goes on", "the policy acts; take over when you like"
SLOW = 0.9  # share of the task's control rate, below which the person is told


class Drive:
    """One recording session; `run` returns when it is over.

    seeds: start seeds that are not recorded yet, in their order.  clock: the real one by default.
    mixed: a policy acts where hands are off; None: nobody does.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        hands: Hands,
        steering: Steering,
        session: RecordingSession,
        shelf: Shelf,
        seeds: Iterable[int],
        cfg: PersonConfig,
        stop: StopFlag,
        clock: Clock | None = None,
        mixed: PolicyAndHands | None = None,
    ) -> None:
        spec = spec_of(env)
        self._env = Watched(env, hands if isinstance(hands, Onlooker) else None)
        self._hands, self._steering, self._session, self._mixed = hands, steering, session, mixed
        self._shelf, self._cfg, self._stop = shelf, cfg, stop
        self._coming, self._seeds = deque[int](), iter(seeds)
        self._orders: deque[Order] = deque()
        self._pace = Pacing(spec.control_hz, clock or RealClock())
        self._spec, self._hz = spec, spec.control_hz
        self._horizon = spec.horizon if cfg.seconds is None else max(1, round(cfg.seconds * spec.control_hz))
        self._episode: Episode | None = None
        self._steps = self._still = 0
        self._was_present, self._is_chosen = True, False

    def run(self) -> None:
        """Raises: whatever saving an episode raises; what was recorded is in its journal then."""
        self._do([Do.NEXT])
        self._pace.start()
        while self._session.state != State.OVER:
            doing = self._listen() or self._session.wait(1.0 / self._hz)
            self._do(doing)
            self._show()
            self._pace.wait()

    def _do(self, doing: Sequence[Do]) -> None:
        waiting = deque(doing)
        while waiting:
            match waiting.popleft():
                case Do.BEGIN:
                    waiting.extend(self._record())
                case Do.SAVE:
                    self._save()
                case Do.DISCARD:
                    self._shelf.drop()
                    self._show_start()
                case Do.NEXT:
                    self._seed = self._next_seed()
                    self._is_chosen = False
                    self._show_start()
                case Do.SEED:
                    if not self._is_chosen:  # its turn comes afterwards
                        self._coming.appendleft(self._seed)
                    self._seed, self._is_chosen = self._session.seed, True
                    self._show_start()
                case Do.UNDO:
                    self._coming.extend(seed for seed in [self._shelf.undo()] if seed is not None)
                    self._session.undone()
                case Do.END | Do.QUIT:  # the rollout, or `run`, ends by itself
                    pass
        if doing:
            self._pace.start()  # none of this was control

    def _next_seed(self) -> int:
        """One of which nothing is kept: who chose a start may have recorded it before its turn."""
        while self._coming:
            if not self._shelf.holds(seed := self._coming.popleft()):
                return seed
        return next(seed for seed in self._seeds if not self._shelf.holds(seed))

    def _show_start(self) -> None:
        self._steps = 0
        self._env.reset(seed=self._seed)

    def _listen(self) -> list[Do]:
        """What the person, nobody, or Ctrl-C asks for, one at a time: the next may build on what it does."""
        session = self._session
        self._orders.extend(self._hands.orders())
        is_present = self._hands.present()  # as of these: a lost terminal sends a signal, too
        if self._was_present and not is_present:
            doing = session.gone()
        elif self._stop.requested:
            doing = session.interrupt()
        else:
            doing = []
            while self._orders and not doing:
                doing = session.take(self._orders.popleft())
        self._was_present = is_present
        return doing

    def _record(self) -> list[Do]:
        """An episode, from its first step to its end; returns what is to be done with it."""
        session, cfg = self._session, self._cfg
        doing: list[Do] = []
        self._steps = self._still = 0
        self._steering.begin()
        if self._mixed is not None:
            self._mixed.begin(np.random.default_rng([self._seed, OPERATOR_STREAM]))

        def choose(obs: Observation) -> Proposal | End:
            if self._steps:  # an episode has a step at least
                doing[:] = self._listen() or (session.reached() if self._env.success else [])
                if Do.END in doing:
                    return End(session.reason)
            self._show()
            self._steps += 1
            jog = self._hands.jog()
            if self._mixed is not None:
                return self._mixed.proposal(jog, obs)
            self._still = 0 if jog is not None else self._still + 1
            action = self._steering.action(jog, obs)
            return Proposal(action, Actor.HUMAN, operator=None if jog is None else action)

        meta = EpisodeMeta(operator=self._shelf.operator, instruction=session.instruction or None)
        if self._mixed is not None:
            meta = replace(meta, policy_hash=self._mixed.policy_hash)
        try:
            self._episode = rollout(
                self._env,
                choose,
                seed=self._seed,
                meta=meta,
                pace=self._pace,
                keep_frames=True,
                steps=None if cfg.seconds is None else self._horizon,
                begin=self._shelf.begin,
            )
        except CutShort as cut:
            if len(cut.episode):
                self._shelf.keep(cut.episode)
            raise
        if self._episode.meta.end_reason == "recording":  # our horizon, not the task's
            self._episode = replace(self._episode, meta=replace(self._episode.meta, end_reason="horizon"))
        self._unmoved = unmoved(self._episode)
        session.ended(self._episode.meta.end_reason, len(self._episode))
        if session.state == State.REVIEWING and isinstance(self._hands, Reviewer):
            self._hands.review(plain_take(self._spec, self._episode))
        return [do for do in doing if do != Do.END]

    def _save(self) -> None:
        """What a person says about an episode counts more than what the task says."""
        episode, label = self._episode, self._session.label
        assert episode is not None
        if label.trim is not None:
            episode = trimmed(episode, *label.trim, np.array(self._env.succeeded))
        meta = episode.meta
        success = bool(meta.success) if label.success is None else label.success
        meta = replace(
            meta,
            success=success,
            success_any=bool(meta.success_any) or success,
            quality=label.stored_quality,
            notes=label.note,
        )
        self._shelf.keep(replace(episode, meta=meta), self._seed)
        self._session.saved(success)

    def _show(self) -> None:
        session = self._session
        self._hands.show(
            Status(
                state=session.state.value,
                step=self._steps,
                horizon=self._horizon,
                success=self._success,
                good=session.good,
                episodes=session.episodes,
                target=session.target,
                rate_hz=self._pace.rate_hz,
                lag_ms=self._pace.lag_ms,
                instruction=session.instruction,
                said=self._said(),
                warning=self._warning(),
                label=session.label.to_dict(),
                seed=self._seed,
                places=places_of(self._spec, self._env.obs),
            ),
            session.allowed(),
        )

    def _said(self) -> str:
        session = self._session
        if session.state == State.COUNTDOWN:
            return f"in {ceil(session.left_s)} s"
        if session.state == State.RECORDING and self._mixed is not None:
            return YOU_ACT if self._mixed.is_taken else POLICY_ACTS
        return session.said

    @property
    def _success(self) -> bool:
        """As the task sees it now or, once something is trimmed, at the end of what is left."""
        trim = self._session.label.trim
        return self._env.success if trim is None else self._env.succeeded[trim[1] - 1]

    def _warning(self) -> str:
        """Why what is recorded now would mislead a learner, or may be lost."""
        session = self._session
        if session.state == State.RECORDING:
            if self._still >= STILL_S * self._hz:
                return (
                    f"nobody has acted for {int(self._still / self._hz)} s: standing still is being recorded"
                )
            if self._steps > RATE_TICKS and self._pace.rate_hz < SLOW * self._hz:
                return f"{self._pace.rate_hz:.1f} Hz instead of {self._hz:g}: steps are late"
        if failed := self._shelf.journals.told():
            return failed
        if session.state == State.REVIEWING:
            return doubts(session.label, self._success, self._unmoved, self._spec.horizon, self._hz)
        return ""


def hold_session(
    env: gymnasium.Env[Any, Any],
    operator: Interactive,
    shelf: Shelf,
    session: RecordingSession,
    seeds: Iterable[int],
    stop: StopFlag,
) -> None:
    """A person records episodes until they quit. Raises: UsageError: not in this task, or not here."""
    steering = steering_of(env, operator.cfg)
    mixed = None
    if isinstance(operator, HasPolicy):
        mixed = PolicyAndHands(operator, steering, spec_of(env).control_hz)
    hands = operator.make_hands(env)
    if isinstance(hands, Onlooker):
        task: Any = env.unwrapped
        env.reset(seed=0)
        hands.watch(task.model, task.data)
    try:
        hands.open()
        Drive(env, hands, steering, session, shelf, seeds, operator.cfg, stop, mixed=mixed).run()
    finally:
        hands.close()
