"""An episode as bytes for a page, read back by the docstring's own words."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import envs
from data_collection.viewer.scene import scene_of
from data_collection.viewer.takes import Take, take_of
from robot_orl.errors import DataError
from robot_orl.rollout import rollout
from robot_orl.types import Actor, Proposal

TAKE = Take(
    moments=np.arange(12, dtype=np.float32).reshape(4, 3),
    reward=np.array([-1, -1, 0], np.float32),
    action=np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32),
    actor=np.array([Actor.HUMAN, Actor.POLICY, Actor.UNKNOWN], np.uint8),
    names=("x", "y"),
    hz=25.0,
    success=True,
    title="é",
)


def unpacked(packed: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    length = int(np.frombuffer(packed, np.uint32, 1)[0])
    assert length % 4 == 0
    header, at = json.loads(packed[4 : 4 + length]), 4 + length
    steps, signals = header["steps"], len(header["signals"])
    shapes = {"moments": (header["moments"], header["size"]), "reward": (steps,), "action": (steps, signals)}
    if header["hasValue"]:
        shapes["value"] = (steps,)
    arrays = {}
    for name, shape in shapes.items():
        arrays[name] = np.frombuffer(packed, np.float32, int(np.prod(shape)), at).reshape(shape)
        at += arrays[name].nbytes
    arrays["actor"] = np.frombuffer(packed, np.uint8, steps, at)
    assert at + steps == len(packed)
    return header, arrays


@pytest.mark.parametrize("value", [None, np.array([-3, -2, -1], np.float32)])
def test_what_is_packed_is_what_is_read(value: np.ndarray | None) -> None:
    header, arrays = unpacked(replace(TAKE, value=value).packed())
    assert (header["hz"], header["success"], header["title"]) == (25.0, True, "é")
    assert (header["signals"], header["every"]) == (["x", "y"], 1)
    for name in ("moments", "reward", "action", "actor"):
        np.testing.assert_array_equal(arrays[name], getattr(TAKE, name))
    assert ("value" in arrays) == (value is not None)
    if value is not None:
        np.testing.assert_array_equal(arrays["value"], value)


def test_an_episode_without_moments_has_its_numbers() -> None:
    header, arrays = unpacked(replace(TAKE, moments=None, success=None).packed())
    assert (header["moments"], header["success"]) == (0, None)
    np.testing.assert_array_equal(arrays["reward"], TAKE.reward)


def test_of_many_moments_every_second_and_the_last_are_kept() -> None:
    header, arrays = unpacked(TAKE.packed(most_bytes=4 * 12 - 1))
    assert header["every"] == 2
    np.testing.assert_array_equal(arrays["moments"], TAKE.moments[[0, 2, 3]])  # type: ignore[index]


def test_recorded_states_are_drawn_as_they_were_while_it_was_played() -> None:
    env = envs.make("fetch_reach")
    task: Any = env.unwrapped
    env.reset(seed=0)
    scene = scene_of(task.model, None, {})
    seen = []

    def choose(obs: Any) -> Proposal:
        seen.append(scene.moment(task.data))
        return Proposal(np.array([1, 0, 0.5, 0], np.float32), Actor.HUMAN)

    episode = rollout(env, choose, seed=3, steps=5)
    take = take_of(scene, env, episode, title="5")
    assert take.moments is not None
    assert take.moments.shape == (6, scene.size // 4)
    np.testing.assert_allclose(
        take.moments[:5], seen, atol=0.01
    )  # drawn a substep later, see `SimulatedTask`
    moved = np.abs(take.moments[5] - take.moments[0]).max()
    assert moved > 0.05, "and it does move"
    assert (take.hz, take.names[0], take.success) == (
        25.0,
        task.task_spec.action[0].name,
        episode.meta.success,
    )
    assert episode.sim_state is not None
    with pytest.raises(DataError, match="shape"):
        take_of(scene, env, replace(episode, sim_state=episode.sim_state[:, 1:]))
    assert take_of(scene, env, replace(episode, sim_state=None)).moments is None
