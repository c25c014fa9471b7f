"""A learner that is watched: orders between two updates, and a board that says what is so."""

import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetuning_toys import Crash, tune
from training_toys import LONG, assert_same_runs, awac_config, random_episodes, reach, watched_replay

from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.data.sampling.replay import Replay
from robot_orl.deploy.sensors.channel import Channel
from robot_orl.interrupt import StopFlag
from robot_orl.tasks import spec_of
from robot_orl.training.checks.watch import Watch
from robot_orl.training.finetune import _learn
from robot_orl.training.online.desk import Desk, Seat
from robot_orl.training.online.exploration import Source
from robot_orl.training.online.overseer import PAUSE_S, Overseer, stops, values_of
from robot_orl.training.online.stage import Stage
from robot_orl.training.online.takeovers import Takeovers
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, new_state
from robot_orl.types import Actor, Episode


@cache
def played() -> Episode:
    return random_episodes(reach(), 1)[0]


class Watched:
    """A learner with a desk, and somebody at it. asleep: what happens in each look of a paused learner."""

    def __init__(self, path: Path) -> None:
        spec = spec_of(reach())
        normalizer = Normalizer.fit(features_of(spec.flatten(played().obs), spec))
        self.state: TrainingState = new_state(awac_config(), spec, normalizer, seed=0)
        self.desk, self.stop = Desk(spec.observation_size), StopFlag()
        self.mixture = Mixture(Replay(spec), Replay(spec), offline_share=0.5, intervention_share=0.5)
        self.mixture.offline.add(played())
        self.run = Run(path)
        self.asleep: Iterator[Callable[[], object]] = iter(())
        self.slept: list[float] = []
        memory, orders = map(os.dup, self.desk.descriptors)
        self.seat = Seat(memory, orders, spec.observation_size)
        self.learner = Overseer(
            self.desk,
            self.state,
            self.mixture,
            self.run,
            1_000,
            self.stop,
            now_s=lambda: 0.1 * len(self.slept),
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        next(self.asleep)()

    def board(self) -> dict[str, Any]:
        memory = mmap.mmap(self.seat.board, os.fstat(self.seat.board).st_size)
        value = Channel(memory, 0, self.seat.board_bytes).read()
        assert value is not None
        board: dict[str, Any] = json.loads(value.payload.tobytes())
        return board


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    yield found
    found.desk.close()


def test_a_paused_learner_waits_until_it_may_go_on(watched: Watched) -> None:
    seen = []

    def look() -> None:
        seen.append((watched.board()["phase"], watched.board()["is_paused"]))

    watched.asleep = iter([look, lambda: watched.seat.order("resume")])
    watched.seat.order("pause")
    watched.learner.attend("learning", left=3)
    assert seen == [("paused", True)]
    assert watched.slept == [PAUSE_S, PAUSE_S]
    watched.learner.attend("learning", left=2)
    assert watched.slept == [PAUSE_S, PAUSE_S], "it does not wait again"
    assert (watched.board()["phase"], watched.board()["is_paused"]) == ("learning", False)


def test_a_checkpoint_of_a_paused_learner_is_made_and_it_stays_paused(watched: Watched) -> None:
    saved = []

    def save() -> None:
        saved.append(len(watched.slept))
        watched.learner.saved()

    orders = ("checkpoint", "resume")
    watched.asleep = iter([partial(watched.seat.order, verb) for verb in orders])
    watched.seat.order("pause")
    watched.learner.rest(save)
    assert saved == [1], "once, after the first look"
    assert len(watched.slept) == 2, "it went on waiting"
    assert not watched.learner.wants_checkpoint


def test_a_checkpoint_amid_updates_waits_for_the_last_of_them_and_says_so(watched: Watched) -> None:
    watched.seat.order("checkpoint")
    watched.learner.attend("learning", left=7)
    assert watched.learner.wants_checkpoint
    assert "7 more updates" in watched.board()["said"]
    watched.learner.rest(watched.learner.saved)
    assert not watched.learner.wants_checkpoint
    assert watched.board()["said"] == "Saved at step 0."


def test_an_order_to_stop_ends_a_pause_and_is_shown(watched: Watched) -> None:
    watched.asleep = iter([lambda: watched.seat.order("stop")])
    watched.seat.order("pause")
    watched.learner.attend("playing")
    assert watched.stop.requested
    assert watched.board()["phase"] == "stopping", "before it is over"
    watched.learner.attend("learning")
    assert watched.board()["phase"] == "stopping"


def test_what_a_stop_waits_for_is_said_whoever_stops_it(watched: Watched) -> None:
    watched.stop.requested = True  # by a signal
    watched.learner.attend("learning", left=1200)
    assert "after 1,200 more updates" in watched.board()["said"]
    watched.learner.attend("learning", left=1100)
    assert "after 1,200 more updates" in watched.board()["said"], "as of the stop"
    assert "after this test" in stops("measuring", 0)
    assert "It stops now" in stops("playing", 0)


def test_what_was_learned_meanwhile_is_told_amid_the_updates_of_an_episode(watched: Watched) -> None:
    watched.learner.attend("learning", left=9)
    seen = []
    for updates in range(1, 9):  # a tenth of a second each
        watched.slept.append(0)
        watched.state.progress.updates = updates
        watched.learner.attend("learning", left=9 - updates)
        seen.append(watched.board()["updates"])
    assert seen == [0, 0, 0, 0, 5, 5, 5, 5]


def test_the_numbers_of_the_board_agree_amid_the_updates_of_an_episode(watched: Watched) -> None:
    """An episode whose steps are drawn from is counted."""
    state, mixture = watched.state, watched.mixture
    watch = Watch(watched.run, "online", state, [mixture.offline, mixture.online])
    recipe = replace(LONG, warmup_steps=0)
    _learn(Stage(state, "here"), mixture, recipe, played(), watch, watched.learner)
    board = watched.board()
    assert (board["phase"], board["updates"]) == ("learning", 0), "of the first one, nothing was told since"
    assert board["env_steps"] == board["replay"]["online"] == len(played())
    assert (state.progress.updates, state.progress.episodes) == (50, 1)


def test_episodes_of_an_earlier_process_are_among_the_last_ones(watched: Watched) -> None:
    actor = np.full(len(played()), Actor.POLICY, np.uint8)
    actor[:10] = Actor.INTERVENTION
    takeovers = Takeovers(4e7)
    list(takeovers.seeing([replace(played(), actor=actor)] * 35))
    desk, state, mixture = watched.desk, watched.state, watched.mixture
    learner = Overseer(desk, state, mixture, watched.run, 1_000, watched.stop, earlier=takeovers.played)
    learner.measured()
    recent = watched.board()["recent"]
    assert [one["number"] for one in recent] == list(range(5, 35))
    state.progress.episodes = 36
    learner.learned(replace(played(), actor=actor))
    recent = watched.board()["recent"]
    assert [one["number"] for one in recent] == list(range(6, 36))
    assert recent[0] == recent[-1] | {"number": 6, "values": None}
    assert (recent[0]["interventions"], recent[0]["share"], recent[0]["steps"]) == (1, 0.2, 50)


def test_ctrl_c_ends_a_pause(watched: Watched) -> None:
    watched.asleep = iter([lambda: setattr(watched.stop, "requested", True)])
    watched.seat.order("pause")
    watched.learner.attend("playing")
    assert len(watched.slept) == 1


def test_the_value_is_the_mean_critics_of_the_policys_action(watched: Watched) -> None:
    state = watched.state
    obs = state.spec.flatten(played().obs)[:3]
    values = values_of(state, obs)
    assert values is not None
    action = state.agent.policy()(torch.from_numpy(obs))
    q = state.agent.q_values(torch.from_numpy(obs), action)  # type: ignore[attr-defined]
    np.testing.assert_allclose(values, [float(sum(column) / 3) for column in q.T], rtol=1e-6)
    watched.seat.saw(obs[1])
    watched.learner.attend("playing")
    shown = watched.desk._value.read()
    assert shown is not None
    assert shown.payload.view(np.float64)[0] == pytest.approx(values[1])


def test_the_board_tells_who_did_what_in_the_last_episodes(watched: Watched) -> None:
    episode = played()
    actor = np.full(len(episode), Actor.POLICY, np.uint8)
    actor[[2, 3, 4, 10]] = Actor.INTERVENTION
    helped = replace(episode, actor=actor)
    for number in range(1, 41):
        watched.state.progress.episodes = number
        watched.mixture.online.add(helped)
        watched.learner.learned(helped)
    board = watched.board()
    assert [one["number"] for one in board["recent"]] == list(range(10, 40)), "as the dataset counts them"
    last = board["recent"][-1]
    assert (last["interventions"], last["share"], last["steps"]) == (2, 0.08, 50)
    assert last["return"] == pytest.approx(float(episode.reward.sum()))
    assert [len(one["values"] or ()) for one in board["recent"]] == [0] * 22 + [50] * 8
    before = values_of(watched.state, watched.state.spec.flatten(episode.obs)[:50])
    assert before is not None
    np.testing.assert_allclose(last["values"], before, atol=0.006)
    assert board["replay"] == {"offline": 50, "online": 40 * 46, "interventions": 40 * 4}
    assert board["batch"] == {"offline": 0.25, "online": 0.5, "interventions": 0.25}


def test_the_curve_is_that_of_the_log(watched: Watched) -> None:
    assert watched.learner._curve == []
    rows = [
        {"stage": "offline", "step": 4, "env_steps": 0, "eval/success": 0.0},
        {"stage": "offline", "step": 5, "env_steps": 0, "eval/success": 0.1},
        {"stage": "online", "step": 50, "env_steps": 50, "actor/loss": 1.0},
        {
            "stage": "online",
            "step": 100,
            "env_steps": 100,
            "eval/success": 0.5,
            "eval/wilson_low": 0.2,
            "eval/wilson_high": 0.8,
        },
    ]
    (watched.run.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    watched.learner.measured()
    assert watched.board()["curve"] == [[0, 0.1, 0.1, 0.1], [100, 0.5, 0.2, 0.8]]


def test_nobody_at_the_desk_costs_nothing(watched: Watched) -> None:
    alone = Overseer(None, watched.state, watched.mixture, watched.run, 1_000, watched.stop)
    watched.seat.order("pause")
    alone.attend("learning")
    alone.learned(played())
    alone.measured()
    alone.saved()
    assert not alone.is_paused


@pytest.mark.e2e
def test_a_run_goes_on_from_a_checkpoint_that_was_made_while_an_episode_was_played(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    offline_run: Path,
    env: Any,
    episodes: list[Episode],
    one: Run,
) -> None:
    """Bitwise as if there had been none."""
    waits = []

    def wait(source: Source, is_played: Callable[[float], bool]) -> None:
        waits.append(source)
        if len(waits) == 4:
            assert isinstance(source.meanwhile, partial)
            save = source.meanwhile.args[-1]
            save()
            raise Crash
        original(source, is_played)

    original, run = Source.wait, Run(shutil.copytree(offline_run, tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(Source, "wait", wait)
        with pytest.raises(Crash):
            tune(run, env, watched_replay(env, episodes), LONG)
    assert run.load("online")["progress"]["episodes"] == 3
    replay = watched_replay(env, episodes)
    tune(run, env, replay, LONG)
    assert_same_runs(run, one, "online", replay)
