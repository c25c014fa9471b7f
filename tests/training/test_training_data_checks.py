"""Data that somebody may really have: what is refused, what is remarked on, and what is fine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning_toys import episode, goal_spec, point_spec, points

from robot_orl.agents.awac_config import AWACConfig, AWACOnline
from robot_orl.agents.bc import BCConfig
from robot_orl.data.sampling.replay import Replay
from robot_orl.data.store.records import EpisodeRecord, realised_rate
from robot_orl.errors import DataError, UsageError
from robot_orl.training.checks.data_checks import check_data, differences, require_finite, require_rewards
from robot_orl.types import Array, Camera, Episode, Signal, Spec

AWAC = AWACConfig()
BOUND = AWACConfig(bound_targets=True)


def ended(made: Episode, success: bool | None, success_any: bool | None = None) -> Episode:
    return replace(made, meta=replace(made.meta, success=success, success_any=success_any or success))


GOOD = ended(points([1, 2, 3], [-1, 0]), True)
BAD = ended(points([1, 3, 5], [-1, -1]), False)


def remarks(episodes: Sequence[Episode], agent: Any = AWAC, spec: Spec | None = None) -> str:
    spec = spec or point_spec()
    replay = Replay(spec, paid if spec.desired_goal else None).extend(episodes)
    return "\n".join(check_data([Logged(Path("data/x"), spec, list(map(record, episodes)))], replay, agent))


@dataclass
class Logged:
    """What a dataset's logs tell, without a disk."""

    path: Path
    spec: Spec
    episodes: list[EpisodeRecord]


def record(made: Episode) -> EpisodeRecord:
    rate = realised_rate(made.t_ns)
    return EpisodeRecord("a", 0, 0, len(made), float(made.reward.sum()), made.meta, {}, rate_hz=rate)


def paid(achieved: Array, desired: Array) -> Array:
    return -(np.linalg.norm(achieved - desired, axis=-1) > 0.5).astype(np.float32)


def test_ordinary_data_are_not_talked_about() -> None:
    assert remarks([GOOD, BAD], BOUND) == ""


def test_one_episode_is_a_remark() -> None:
    assert remarks([BAD], BCConfig()) == "there is 1 episode only: at best, a policy repeats it"


def test_no_success_is_a_remark() -> None:
    passing = ended(points([1, 4, 6], [0, -1]), False, success_any=True)
    assert "none of 2 episodes succeeds at its end: offline" in remarks([BAD, BAD])
    assert "none of 2 episodes succeeds at its end (1 do in between)" in remarks([BAD, passing])
    assert remarks([BAD, BAD], BCConfig()) == ""


def test_no_failure_is_a_remark() -> None:
    assert remarks([GOOD, GOOD]).startswith("all 2 episodes succeed: ")


def test_unknown_outcomes_are_none() -> None:
    unknown = ended(points([1, 2, 3], [-1, -0.5]), None)
    assert remarks([unknown, BAD]) == ""
    flat = ended(points([1, 2, 3], [3, 3]), None)
    assert remarks([flat, flat]) == "every reward is 3: no step is better than another"


def two_actions(second: float, steps: int = 8) -> Episode:
    action = np.stack([np.linspace(-1, 1, steps), np.full(steps, second)], axis=1)
    made = episode({"position": np.arange(steps + 1.0)}, action, [-1.0] * (steps - 1) + [0])
    nobody = np.full((steps, 2), np.nan, np.float32)
    return replace(made, action_policy=nobody, action_operator=nobody)


def test_an_action_that_never_changes_is_a_remark() -> None:
    said = remarks([two_actions(0.25), two_actions(0.25)], BCConfig(), point_spec(2))
    assert said == ("action push1 (0.25) never changes: what it does cannot be learned from these data")
    both = remarks([two_actions(0.25), two_actions(0.5)], BCConfig(), point_spec(2))
    assert both == ""


def test_actions_that_all_never_change_are_refused() -> None:
    still = replace(points([1] * 9, [-1] * 8), action=np.full((8, 1), 0.5, np.float32))
    with pytest.raises(DataError, match="every action is the same in all 16 steps: nothing can be learned"):
        remarks([still, still], BCConfig())


def test_actions_where_no_policy_acts_are_a_remark() -> None:
    assert remarks([points([1, -17], [-1]), BAD], BCConfig()) == ""
    said = remarks([points([-17, 1], [-1]), BAD], BCConfig())
    assert said == "outside of -1 .. 1, where no policy acts: action push0 (up to 1.7)"


@pytest.mark.parametrize(("reward", "stored"), [((0, 1), "0 .. 1"), ((-1.5, 0), "-1.5 .. 0")])
def test_rewards_that_targets_are_not_bounded_for_are_refused(
    reward: tuple[float, float], stored: str
) -> None:
    odd = points([1, 2, 3], reward)
    with pytest.raises(UsageError) as raised:
        remarks([odd, BAD] if reward[0] < -1 else [odd, odd], BOUND)
    assert str(raised.value) == (
        f"the rewards of the data lie in {stored}, and agent.bound_targets=true is for -1 .. 0: set "
        "agent.bound_targets=false, or pay as the task does with `robot-orl dataset relabel "
        "path=data/x where='length > 0' reason=... reward=task`, which needs simulator states"
    )
    remarks([odd, BAD], AWAC)  # without the bound they are fine
    remarks([odd, BAD], BCConfig())


def test_large_rewards_are_a_remark() -> None:
    assert "rewards of up to 200 can sum up to 2e+04: critics" in remarks([points([1, 2, 3], [200, 0]), BAD])


def further_away() -> Episode:
    """The thing stays 2 from its goal, which a reward that tells the distance pays so."""
    thing, goal = np.zeros((3, 2)), np.full((3, 2), [2, 0.0])
    return episode({"speed": np.zeros(3), "goal": goal, "thing": thing}, np.array([0.1, 0.2]), [-2, -2])


def goal_episode(reward: Sequence[float]) -> Episode:
    """The thing reaches its goal at the last of two steps."""
    thing, goal = np.array([[0, 0], [1, 0], [2, 0.0]]), np.full((3, 2), [2, 0.0])
    return episode({"speed": np.zeros(3), "goal": goal, "thing": thing}, np.array([0.1, 0.2]), reward)


@pytest.mark.parametrize(
    "agent", [AWACConfig(hindsight_share=0.5), AWACConfig(online=AWACOnline(hindsight_share=0.5))]
)
def test_relabelled_goals_must_pay_as_the_stored_ones(agent: AWACConfig) -> None:
    assert remarks([goal_episode([-1, 0])] * 2, agent, goal_spec()) == ""
    other = [goal_episode([0, 1])] * 2
    with pytest.raises(UsageError, match=r"lie in 0 \.\. 1 and are not what the task pays for these goals"):
        remarks(other, agent, goal_spec())
    assert remarks(other, AWAC, goal_spec()) == ""


def test_pay_within_a_tolerance_is_for_rewards_that_only_tell_success() -> None:
    within = AWACConfig(goal_tolerance=0.6, hindsight_share=0.5)
    assert remarks([goal_episode([-1, 0])] * 2, within, goal_spec()) == ""
    dense = Replay(goal_spec(), lambda achieved, desired: -np.linalg.norm(achieved - desired, axis=-1))
    dense.extend([goal_episode([-1, 0]), further_away()])
    with pytest.raises(UsageError, match=r"more than two values, .* set agent\.goal_tolerance=1$"):
        require_rewards(dense, within, "data/x")
    require_rewards(dense, AWACConfig(goal_tolerance=0.6), "data/x")  # without hindsight they are as they are


def test_another_realised_rate_is_a_remark() -> None:
    slow = replace(points([1, 2, 3, 4], [-1, -1, 0]), t_ns=np.arange(3) * 200_000_000)
    said = remarks([slow, GOOD, BAD], BCConfig())
    assert said == ("data/x: 1 of 3 episodes ran at another rate (median 5 Hz) than the 10 Hz of the task")


def test_a_number_that_is_none_is_named_with_its_place() -> None:
    obs = {"speed": np.zeros(3), "goal": np.zeros((3, 2)), "thing": np.array([[0, 0], [0, np.nan], [0, 0]])}
    made = episode(obs, np.zeros(2), [-1, 0])
    with pytest.raises(
        DataError, match=r"^episode a:0: observation 'thing' y is nan at step 1; leave it out"
    ):
        require_finite(made, goal_spec(), "episode a:0")
    sound = replace(points([1, 2, 3], [-1, 0]), action=np.array([[0.0], [-np.inf]]))
    with pytest.raises(DataError, match="x: action push0 is -inf at step 1"):
        require_finite(sound, point_spec(), "x")
    require_finite(GOOD, point_spec(), "x")


def test_specs_differ_in_words() -> None:
    spec = goal_spec()
    shown = dict(spec.observation)
    assert differences(spec, spec) == differences(spec, replace(spec, cameras={"top": Camera(8, 8)})) == []
    assert differences(spec, replace(spec, control_hz=25.0)) == ["it runs at 25 Hz, not 10"]
    assert differences(spec, replace(spec, action=spec.action * 3)) == ["its action has 3 signals, not 1"]
    assert differences(spec, replace(spec, horizon=7)) == ["its horizon is 7, not 5"]
    other = {key: shown[key] for key in ("goal", "thing")} | {"force": shown["speed"]}
    assert differences(spec, replace(spec, observation=other)) == [
        "it has no observation 'speed'",
        "it has observation 'force' besides",
    ]
    unit = shown | {"speed": (Signal("v", "km/h"),)}
    assert differences(spec, replace(spec, observation=unit)) == [
        "signal v of its observation 'speed' has another name, unit or range"
    ]
    order = dict(reversed(shown.items()))
    assert differences(spec, replace(spec, observation=order)) == ["its observations come in another order"]
