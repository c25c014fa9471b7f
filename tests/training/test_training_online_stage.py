"""When finetuning stops, what of it is kept, and what must not change until it is finished."""

from dataclasses import replace
from typing import Any

import gymnasium
import pytest
from finetuning_toys import Crash, on_call, tune
from training_toys import LONG, WatchedReplay, assert_bitwise_equal, lines

from robot_orl.agents.awac import AWAC
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import UsageError
from robot_orl.training.runs.run import Run
from robot_orl.training.speed import Speed, can_compile

pytestmark = pytest.mark.e2e  # trains

Env = gymnasium.Env[Any, Any]


# early stop


def test_it_stops_where_a_point_of_the_curve_is_good_enough_one_point_later(
    one: Run, run: Run, env: Env, replay: WatchedReplay
) -> None:
    assert tune(run, env, replay, LONG, stop_at=0.0) is not None  # the first point is as good as that
    progress = run.load("online")["progress"]
    # measured at step 100, while it learned until step 200
    assert (progress["env_steps"], progress["target"], progress["reached"]) == (200, 200, 0.0)
    assert run.best("online") is not None
    assert run.best("online")[1] == 200  # type: ignore[index]  # of two alike in the run-off the last
    assert run.summary["online"]["env_steps"] == 200
    assert tune(run, env, replay, LONG, stop_at=0.0) is None
    assert tune(run, env, replay, LONG) is not None  # without a target it goes on, as if it had never stopped
    assert_bitwise_equal(run.load("online"), one.load("online"))


def test_it_does_not_stop_before_it_is_good_enough(
    one: Run, run: Run, env: Env, replay: WatchedReplay
) -> None:
    tune(run, env, replay, LONG, stop_at=0.9)  # one episode shows 0.21 at most
    assert_bitwise_equal(run.load("online"), one.load("online"))
    assert lines(run.path) == lines(one.path)


# what a run of before does not have, and what must not change


def test_a_run_of_an_earlier_version_goes_on(run: Run, env: Env, replay: WatchedReplay) -> None:
    tune(run, env, replay, replace(LONG, env_steps=100))
    with run:
        saved = run.load("online")
        for name in ("under_way", "pending"):
            del saved[name]
        del saved["progress"]["reached"]
        saved["progress"]["target"] = 400  # it was killed at step 100
        for name in ("environments", "deterministic"):
            del saved["recipe"][name]
        for name in ("with_goals", "without_goals", "better_share", "multi_step_share", "weight_kl"):
            del saved["agent_config"][name]
        run.save("online", saved)
    (run.path / "summary.json").unlink()
    tune(run, env, replay, LONG)
    assert run.load("online")["progress"]["episodes"] == 8


@pytest.mark.parametrize("name", ["environments", "deterministic"])
def test_the_schedule_of_an_unfinished_stage_is_kept(
    name: str, run: Run, env: Env, replay: WatchedReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # killed with one episode committed and no checkpoint but the first
        on_call(SegmentWriter, "append", 1, True)(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, LONG)
    changed: dict[str, Any] = {"environments": 2, "deterministic": False}
    with pytest.raises(UsageError, match=f"began with other values of: {name}; finish it "):
        tune(run, env, replay, replace(LONG, **{name: changed[name]}))


@pytest.mark.skipif(not can_compile("cpu"), reason="no C++ compiler")
def test_an_unfinished_stage_is_computed_as_it_began(
    run: Run, env: Env, replay: WatchedReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []
    monkeypatch.setattr(AWAC, "use", lambda self, compute: used.append(compute.compiled))
    monkeypatch.setattr("robot_orl.training.speed.COMPILE_FROM", LONG.env_steps * LONG.updates_per_step + 1)
    with monkeypatch.context() as patch:
        on_call(Run, "save", 2, True)(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, LONG)
    with pytest.raises(UsageError, match=r"began with other values of: precision; finish it "):
        tune(run, env, replay, LONG, speed=Speed(precision="float32"))
    more = replace(LONG, env_steps=450)
    with monkeypatch.context() as patch:
        on_call(Run, "save", 2, True)(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, more)  # that many would have been compiled
    tune(run, env, replay, more)
    tune(run, env, replay, replace(LONG, env_steps=500))  # a finished one chooses anew
    assert used == [False, False, False, True]


# what is kept


def test_a_checkpoint_is_kept_where_an_episode_reaches_a_multiple_of_steps(
    run: Run, env: Env, replay: WatchedReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # killed between saving at step 150 and keeping that
        on_call(Run, "keep", 1, False)(patch)
        with pytest.raises(Crash):
            tune(run, env, replay, LONG, keep_every=120)
    assert run.kept("online") == []
    tune(run, env, replay, LONG, keep_every=120)
    assert run.kept("online") == [150, 250, 400]  # episodes of 50 steps past 120, 240 and 360
    assert [run.load("online", str(step))["progress"]["env_steps"] for step in (150, 250, 400)] == [
        150,
        250,
        400,
    ]
    tune(run, env, replay, replace(LONG, env_steps=450), keep_every=150)
    assert run.kept("online") == [150, 250, 400, 450]


def test_episodes_taken_as_they_came_cannot_go_on_in_order(run: Run, env: Env, replay: WatchedReplay) -> None:
    as_they_come = replace(LONG, env_steps=100, environments=2, deterministic=False)
    for part in (
        as_they_come,
        replace(as_they_come, env_steps=200),
        replace(as_they_come, env_steps=250, environments=1),  # in order itself, but not what was before
    ):
        tune(run, env, replay, part)
        with pytest.raises(UsageError, match=r"deterministic=false until now.* goes on so only"):
            tune(run, env, replay, replace(part, env_steps=part.env_steps + 100, deterministic=True))
