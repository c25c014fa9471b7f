"""Who took over while a run was finetuned, counted by hand; how a player plays with somebody beside it."""

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest
from learning_toys import points
from test_training_players import policy_for
from training_toys import reach

from robot_orl.agents.base import act
from robot_orl.commands.collect import run as collect
from robot_orl.commands.finetune import require_possible
from robot_orl.compose import build
from robot_orl.errors import UsageError
from robot_orl.intervention import Intervener
from robot_orl.rollout import SimulatedTime
from robot_orl.tasks import TaskConfig, spec_of
from robot_orl.training.online.takeovers import Takeovers, late_ms
from robot_orl.training.playing.player import Played, Ready, Request, Setting, Stop, _play_on, play
from robot_orl.training.playing.shared_memory import Room, Weights
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Observation, Pace

MS = 1_000_000
P, I = int(Actor.POLICY), int(Actor.INTERVENTION)  # noqa: E741


def episode(actors: Sequence[int], success: bool = False, t_ms: Sequence[float] | None = None) -> Episode:
    """Of a task at 10 Hz."""
    made = points(list(range(len(actors) + 1)), [-1.0] * len(actors))
    times = np.arange(len(actors)) * 100 if t_ms is None else np.array(t_ms)
    meta = EpisodeMeta(success=success)
    return replace(made, actor=np.array(actors, np.uint8), t_ns=(times * MS).astype(np.int64), meta=meta)


def test_interventions_are_counted_by_taking_over_and_by_steps() -> None:
    takeovers = Takeovers(100 * MS)
    takeovers.saw(episode([P, I, I, P, P, I, P, P], success=True))
    assert takeovers.lately() == {"interventions/per_episode": 2.0, "interventions/step_share": 0.375}
    takeovers.saw(episode([P] * 8))
    assert takeovers.lately() == {"interventions/per_episode": 0.0, "interventions/step_share": 0.0}
    found = takeovers.figures()
    assert found["interventions"] == 2
    assert found["per_episode"] == 1.0
    assert found["episodes_with"] == 1
    assert found["step_share"] == round(3 / 16, 4)
    assert found["success"] == 0.5
    assert [(part["env_steps"], part["per_episode"]) for part in found["over_time"]] == [(8, 2.0), (16, 0.0)]
    assert "lateness_ms" not in found  # simulated time


def test_interventions_over_time_are_those_of_parts_of_the_run() -> None:
    """Of 50 episodes of 2 steps, 17 parts of 3, the last of 2; somebody takes over in the first 6."""
    takeovers = Takeovers(100 * MS)
    seen = list(takeovers.seeing(episode([I if n < 6 else P, P]) for n in range(50)))
    assert len(seen) == 50
    parts = takeovers.figures()["over_time"]
    assert [part["episodes"] for part in parts] == [3] * 16 + [2]
    assert [part["per_episode"] for part in parts] == [1.0, 1.0] + [0.0] * 15
    assert parts[-1]["env_steps"] == 100


def test_what_the_log_has_been_told_is_told_once_whenever_a_run_goes_on() -> None:
    """Saved after episode 2 at step 8; the last line that the log kept is of step 4."""
    takeovers = Takeovers(100 * MS)
    list(takeovers.seeing([episode([I] * 4), episode([P, I, P, I])]))
    takeovers.told(4)
    takeovers.saw(episode([P] * 4))
    assert takeovers.lately() == {"interventions/per_episode": 1.0, "interventions/step_share": 0.25}
    takeovers.told(0)
    assert takeovers.lately() == {"interventions/per_episode": 1.0, "interventions/step_share": 0.5}
    takeovers.told(12)
    assert takeovers.lately()["interventions/per_episode"] == 0.0


def test_a_step_is_late_behind_the_tick_that_it_was_for() -> None:
    """At 10 Hz: 3 ms late, on time, a tick and 20 ms late: the tick at 400 ms was missed."""
    t_ns = (np.array([0.0, 103.0, 200.0, 420.0, 500.0]) * MS).astype(np.int64)
    assert late_ms(t_ns, 100 * MS).tolist() == [3.0, 0.0, 120.0, 0.0]


def test_lateness_is_told_of_what_was_played_in_real_time() -> None:
    takeovers = Takeovers(100 * MS)
    takeovers.saw(episode([P, P, P, P, P], t_ms=[0, 103, 200, 420, 500]))
    assert takeovers.figures()["lateness_ms"] == {"p50": 1.5, "p99": 116.49, "max": 120.0, "ticks": 4}


def test_who_is_asked_for_must_be_able_to_take_over_here() -> None:
    two = build("finetune", ["run=x", "operator=browser", "environments=2"])
    reason = "^operator=browser is one person, who watches one environment: leave out environments=2$"
    with pytest.raises(UsageError, match=reason):
        require_possible(two, reach())
    with pytest.raises(UsageError, match=r"^operator=policy cannot take over.*: browser, expert, gamepad"):
        require_possible(build("finetune", ["run=x", "operator=policy", "path=y"]), reach())
    require_possible(build("finetune", ["run=x", "operator=expert", "environments=2"]), reach())
    require_possible(build("finetune", ["run=x", "environments=2"]), reach())
    with pytest.raises(UsageError, match=r"^operator=expert takes over from a policy, and alone does"):
        collect(build("collect", ["task=fetch_reach", "operator=expert", "out=nowhere"]))


# playing


class Beside:
    """Somebody who takes over in steps `first` .. `last`, and sees the learner go when nothing is played."""

    name, actor, policy_hash = "beside", Actor.INTERVENTION, None

    def __init__(
        self,
        env: Any,
        first: int,
        last: int,
        steps: int | None = None,
        at: Mapping[int, Callable[[], Any]] | None = None,
    ) -> None:
        """at: what else happens in these steps."""
        self._at = at or {}
        self.env, self.steps, self._span = env, steps, range(first, last + 1)
        self.pace: Pace | None = SimulatedTime(25.0)
        self.played: list[Episode] = []
        self._step = 0

    def open(self) -> None: ...

    def begin(self, rng: np.random.Generator) -> None:
        self._step = 0

    def action(self, obs: Observation) -> Array | None:
        self._step += 1
        self._at.get(self._step - 1, lambda: None)()
        return np.ones(4, np.float32) if self._step - 1 in self._span else None

    def executed(self, action: Array) -> None: ...

    def ended(self, episode: Episode) -> None:
        self.played.append(episode)

    def idle(self) -> None:
        raise EOFError

    def close(self) -> None: ...


def played(first: int, last: int, steps: int | None = None) -> Episode:
    env = reach()
    beside: Intervener = Beside(env, first, last, steps)
    request = Request(3, EpisodeMeta(operator="policy"), 0.1, (0, 1, 3), keep_state=True)
    episode = play(env, policy_for(spec_of(env)), spec_of(env), request, beside)
    assert beside.played == [episode]  # type: ignore[attr-defined]
    return episode


def test_what_the_policy_wanted_is_kept_while_somebody_else_acts() -> None:
    episode, spec = played(10, 19), spec_of(reach())
    assert episode.actor.tolist() == [P] * 10 + [I] * 10 + [P] * 30
    assert (episode.action[10:20] == 1).all()
    assert (episode.meta.operator, played(60, 70).meta.operator) == ("policy+beside", "policy")
    np.testing.assert_array_equal(episode.action_operator[10:20], episode.action[10:20])
    assert np.isnan(episode.action_operator[:10]).all()
    seen = {key: rows[12] for key, rows in episode.obs.items()}
    np.testing.assert_array_equal(episode.action_policy[12], act(policy_for(spec), spec.flatten(seen)))


def test_the_noise_of_a_policy_is_the_same_whether_somebody_stands_by_or_not() -> None:
    env = reach()
    request = Request(3, noise=0.1, noise_seed=(0, 1, 3), keep_state=True)
    alone = play(env, policy_for(spec_of(env)), spec_of(env), request)
    np.testing.assert_array_equal(played(60, 70).action, alone.action)


@pytest.mark.parametrize(
    ("first", "last", "steps", "length"),
    [
        (30, 34, 100, 50),  # let go in time
        (40, 59, 100, 60 + 13),  # 13 steps of 40 ms without hands, the first in which they were off for 0.5 s
        (40, 44, 100, 45 + 13),  # just before the horizon, to change keys perhaps
        (40, 500, 100, 100),  # never let go
        (40, 90, 100, 100),  # let go shortly before the end
        (40, 59, None, 50),
    ],
)
def test_an_episode_does_not_end_under_somebody_s_hands(
    first: int, last: int, steps: int | None, length: int
) -> None:
    episode = played(first, last, steps)
    assert len(episode) == length
    assert episode.meta.end_reason == "horizon"
    assert episode.truncated.tolist() == [False] * (length - 1) + [True]
    room = Room(spec_of(reach()), episode.sim_state.shape[1], steps)  # type: ignore[union-attr]
    memory = bytearray(room.size)
    room.write(memory, 0, episode)
    np.testing.assert_array_equal(room.read(memory, 0, length, True, episode.meta).action, episode.action)


def answers(first: int, stop: Callable[[Any], Any], at: int) -> tuple[list[Any], int]:
    """What a player answers, somebody takes over from step `first`, and how many steps it played.

    stop: what the learner's end does in step `at` of the episode.
    """
    env = reach()
    spec = spec_of(env)
    learner, player = Pipe()
    beside = Beside(env, first, 999, at={at: lambda: stop(learner)})
    memory = os.memfd_create("test")
    policy = policy_for(spec)
    setting = Setting(TaskConfig("fetch_reach"), None, spec, pickle.dumps(policy))
    try:
        os.write(memory, Weights(policy).of(policy).tobytes())
        learner.send(Request(3))
        with pytest.raises((EOFError, ConnectionError)):
            _play_on(player, memory, setting, env, beside)
        found = []
        while not learner.closed and learner.poll():
            found.append(learner.recv())
    finally:
        os.close(memory)
    return found, beside._step


def test_a_stop_keeps_what_somebody_did_until_then_and_nothing_of_the_policy_alone() -> None:
    (ready, kept), steps = answers(5, lambda learner: learner.send(Stop()), at=8)
    assert isinstance(ready, Ready)
    assert ready.is_paced
    assert isinstance(kept, Played)
    assert (kept.length, kept.meta.end_reason, steps) == (9, "interrupt", 9)
    (_, kept), steps = answers(9, lambda learner: learner.send(Stop()), at=8)
    assert (kept, steps) == (None, 9)


def test_a_stop_at_the_last_step_changes_nothing_and_is_not_answered() -> None:
    (_, kept), steps = answers(5, lambda learner: learner.send(Stop()), at=49)
    assert (kept.length, kept.meta.end_reason, steps) == (50, "horizon", 50)


def test_nobody_goes_on_for_a_learner_that_is_gone() -> None:
    _, steps = answers(5, lambda learner: learner.close(), at=8)
    assert steps == 9
