"""Who takes over from a policy, and how a robot goes from one to the other."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robot_orl.intervention import SharedControl, interventions
from robot_orl.types import Actor, Array

POLICY = np.array([0.8, -0.4], np.float32)


class Taking:
    """Hands that do what they are told, step by step; None: off."""

    actor = Actor.INTERVENTION

    def __init__(self, actions: Sequence[Sequence[float] | None]) -> None:
        self._actions = iter(actions)
        self.heard: list[list[float]] = []

    def begin(self, rng: np.random.Generator) -> None:
        self.heard.clear()

    def action(self, obs: Any) -> Array | None:
        said = next(self._actions)
        return None if said is None else np.array(said)

    def executed(self, action: Array) -> None:
        self.heard.append([round(float(x), 6) for x in action])


def played(hands: Taking, steps: int, **options: Any) -> list[Any]:
    control = SharedControl(hands, control_hz=10.0, **options)  # type: ignore[arg-type]
    control.begin(np.random.default_rng(0))
    return [control.proposal({}, POLICY) for _ in range(steps)]


def test_with_hands_off_every_action_is_the_policys_bit_for_bit() -> None:
    for proposal in played(Taking([None, None]), 2):
        assert proposal.actor == Actor.POLICY
        assert proposal.operator is None
        np.testing.assert_array_equal(proposal.action, POLICY)
        np.testing.assert_array_equal(proposal.policy, POLICY)


def test_hands_on_it_is_theirs_and_what_the_policy_proposed_is_kept() -> None:
    first, second = played(Taking([[0.1, 0.2], [0.3, 0.2]]), 2)
    assert (first.actor, second.actor) == (Actor.INTERVENTION, Actor.INTERVENTION)
    np.testing.assert_allclose(second.action, [0.3, 0.2])
    np.testing.assert_allclose(second.operator, [0.3, 0.2])
    np.testing.assert_array_equal(second.policy, POLICY)


def test_after_letting_go_each_signal_moves_at_a_limited_rate_until_all_have_met_the_policy() -> None:
    """2 / (0.5 s * 10 Hz) = 0.4 a step: -0.7 -> -0.3 -> 0.1 -> 0.5 -> 0.8; the other is there at once."""
    steps = played(Taking([[-0.7, -0.4], None, None, None, None, None]), 6, ramp_s=0.5)
    assert [round(float(step.action[0]), 6) for step in steps] == [-0.7, -0.3, 0.1, 0.5, 0.8, 0.8]
    assert all(step.actor == Actor.POLICY and step.operator is None for step in steps[1:])
    np.testing.assert_array_equal(steps[-1].action, POLICY)


def test_without_a_ramp_the_policy_is_back_at_once() -> None:
    _, after = played(Taking([[-1.0, 1.0], None]), 2, ramp_s=0.0)
    np.testing.assert_array_equal(after.action, POLICY)


def test_who_may_take_over_hears_of_every_action_that_is_executed() -> None:
    hands = Taking([None, [-0.7, -0.4], None])
    played(hands, 3, ramp_s=0.5)
    assert hands.heard == [[0.8, -0.4], [-0.7, -0.4], [-0.3, -0.4]]


def test_after_letting_go_it_goes_on_from_what_was_executed_not_from_what_was_asked_for() -> None:
    """A supervisor has left 0.1 of their 1; from there towards the policy's -1, by 0.4 a step."""
    hands, policy = Taking([[1.0], None, None, None, None]), np.array([-1.0], np.float32)
    control = SharedControl(hands, control_hz=10.0, ramp_s=0.5)  # type: ignore[arg-type]
    control.begin(np.random.default_rng(0))
    proposed = []
    for left in (0.1, 0.0, -0.4, -0.8, -1.0):
        proposed.append(round(float(control.proposal({}, policy).action[0]), 6))
        control.executed(np.array([left], np.float32))
    assert proposed == [1.0, -0.3, -0.4, -0.8, -1.0]
    assert hands.heard[1::2] == [[0.1], [0.0], [-0.4], [-0.8], [-1.0]], "so do hands that are laid on anew"


def test_hands_hold_an_episode_until_they_have_been_off_for_half_a_second() -> None:
    on, off = [0.0, 0.0], None
    control = SharedControl(Taking([off, on, *[off] * 4, on, *[off] * 6]), control_hz=10.0)  # type: ignore[arg-type]
    control.begin(np.random.default_rng(0))
    held = []
    for _ in range(13):
        control.proposal({}, POLICY)
        held.append(control.is_held)
    assert held == [False, *[True] * 10, False, False]
    control.begin(np.random.default_rng(1))
    assert not control.is_held


def test_exploration_is_executed_and_the_proposal_stays_without_it() -> None:
    control = SharedControl(Taking([None]), control_hz=10.0)  # type: ignore[arg-type]
    control.begin(np.random.default_rng(0))
    noisy = POLICY + np.float32(0.1)
    proposal = control.proposal({}, POLICY, noisy)
    np.testing.assert_array_equal(proposal.action, noisy)
    np.testing.assert_array_equal(proposal.policy, POLICY)


def test_an_episode_begins_with_the_policy_wherever_the_last_one_was_left() -> None:
    hands = Taking([[-1.0, -1.0], None])
    control = SharedControl(hands, control_hz=10.0)  # type: ignore[arg-type]
    control.begin(np.random.default_rng(0))
    control.proposal({}, POLICY)
    control.begin(np.random.default_rng(1))
    np.testing.assert_array_equal(control.proposal({}, POLICY).action, POLICY)


@pytest.mark.parametrize(
    ("actors", "times"),
    [("", 0), ("pppp", 0), ("iiii", 1), ("pip", 1), ("ipiippi", 3), ("hhih", 1)],
)
def test_an_intervention_is_a_row_of_steps_in_which_somebody_acted(actors: str, times: int) -> None:
    kinds = SimpleNamespace(p=Actor.POLICY, i=Actor.INTERVENTION, h=Actor.HUMAN)
    assert interventions(np.array([getattr(kinds, letter) for letter in actors], np.uint8)) == times
