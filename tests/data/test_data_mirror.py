"""Batches in the mirror: what changes, how often, and that pay and discount do not."""

import numpy as np
import pytest
from learning_toys import episode, goal_spec

from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.errors import DataError, UsageError
from robot_orl.mirror import Mirror, mirror_of
from robot_orl.types import Signal, Spec


def rule(name: str) -> tuple[str, float, float]:
    """About y = 3: y is 6 - y, left is right; everything else stays."""
    partner = {"left": "right", "right": "left"}.get(name, name)
    return (partner, -1.0, 6.0) if name == "y" else (partner, 1.0, 0.0)


def hands() -> Spec:
    both = (Signal("left"), Signal("right"))
    place = (Signal("x", "m"), Signal("y", "m"))
    return Spec("hands", {"place": place, "hands": both}, both, 10.0, 5)


def test_a_mirror_changes_sides_and_reflects_places() -> None:
    mirror = mirror_of(hands(), rule)
    np.testing.assert_array_equal(
        mirror.observation(np.array([[1, 2, 10, 20]], np.float32)), [[1, 4, 20, 10]]
    )
    np.testing.assert_array_equal(mirror.action(np.array([[0.25, -0.5]], np.float32)), [[-0.5, 0.25]])


@pytest.mark.parametrize("partners", [{"left": "nobody"}, {"left": "right"}])
def test_partners_are_each_others(partners: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="in the mirror 'left' is"):
        mirror_of(hands(), lambda name: (partners.get(name, name), 1.0, 0.0))


def replay(mirror: Mirror | None) -> Replay:
    """Goal (1, 2), the thing at (5, 7), (5, 8), (5, 9); nothing is pushed."""
    spec = goal_spec()
    thing = np.array([[5, 7], [5, 8], [5, 9]], np.float32)
    obs = {"speed": np.zeros((3, 1), np.float32), "goal": np.tile(np.float32([1, 2]), (3, 1)), "thing": thing}
    return Replay(spec, mirror=mirror).extend([episode(obs, np.zeros(2), [-1, 0])])


def test_a_share_of_one_shows_all_in_the_mirror_and_pays_as_before() -> None:
    mirrored = replay(mirror_of(goal_spec(), rule))
    steps = np.array([0, 1])
    batch = mirrored.gather(steps, Sampling(2, discount=0.5, mirror_share=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(batch.obs, [[0, 1, 4, 5, -1], [0, 1, 4, 5, -2]])
    np.testing.assert_array_equal(batch.next_obs, [[0, 1, 4, 5, -2], [0, 1, 4, 5, -3]])
    np.testing.assert_array_equal(batch.reward, [-1, 0])
    np.testing.assert_array_equal(batch.discount, [0.5, 0.5])


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_share_of_mirrored_samples_is_as_asked(share: float) -> None:
    sampling = Sampling(20_000, mirror_share=share)
    batch = replay(mirror_of(goal_spec(), rule)).sample(sampling, np.random.default_rng(0))
    found = float(np.mean(batch.obs[:, 2] == 4))
    assert found == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 20_000))


def test_what_is_stored_stays_as_it_is() -> None:
    mirrored = replay(mirror_of(goal_spec(), rule))
    before = mirrored.observations().copy()
    mirrored.sample(Sampling(50, mirror_share=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored.observations(), before)


def test_a_task_without_a_mirror_is_shown_as_it_is() -> None:
    batch = replay(None).sample(Sampling(50, mirror_share=1.0), np.random.default_rng(0))
    assert (batch.obs[:, 2] == 2).all()


def test_an_empty_replay_like_another_has_its_mirror() -> None:
    mirror = mirror_of(goal_spec(), rule)
    assert replay(mirror).like().mirror is mirror
    with pytest.raises(DataError, match="empty"):
        replay(mirror).like().sample(Sampling(1), np.random.default_rng(0))
