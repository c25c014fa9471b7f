"""Short recordings of fetch_reach to look at: who acted, frames and labels are known for each."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import envs
from robot_orl.data.store import SegmentWriter
from robot_orl.rollout import rollout
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Camera, Episode, Observation, Proposal, Spec

STEPS = 8
FRONT = Camera(24, 32)
SIGNED = {"time": "2026-01-02T03:04:05Z", "by": "ann"}
WHO = ((Actor.SCRIPT, Actor.SCRIPT), (Actor.POLICY, Actor.INTERVENTION), (Actor.HUMAN, Actor.HUMAN))


@cache
def reach() -> gymnasium.Env[Any, Any]:
    return envs.make("fetch_reach")


def spec(has_camera: bool = False) -> Spec:
    return replace(spec_of(reach()), cameras={"front": FRONT} if has_camera else {})


def episode(number: int, has_camera: bool = False, has_state: bool = True, **meta: Any) -> Episode:
    """Of `STEPS` steps from the seed `number`; who acts changes after 2 of them, or up to 2 more, see WHO.

    quality: number / 8.  success: of even ones.  A frame is as bright as ten times its moment.
    """
    known = {"operator": "ann" if number % 2 else "bob", "quality": number / 8, "notes": f"note {number}"}
    made = acted(number)
    made = replace(made, meta=replace(made.meta, **{**known, "success": number % 2 == 0, **meta}))
    made = made if has_state else replace(made, sim_state=None)
    if has_camera:
        bright = 10 * np.arange(STEPS + 1, dtype="u1")[:, None, None, None]
        made = replace(made, images={"front": np.tile(bright, (1, FRONT.height, FRONT.width, 3))})
    return made


def recorded(root: Path, *segments: Sequence[Episode]) -> Path:
    """A dataset with a segment for each list."""
    for episodes in segments:
        shown = spec(bool(episodes[0].images))
        drawn = {"cameras": {"external_camera_0": [24, 32]}} if episodes[0].images else {}
        with SegmentWriter(root, shown, "toy", env_kwargs=drawn) as writer:
            list(writer.extend((one, None) for one in episodes))
    return root


@cache
def acted(number: int) -> Episode:
    size, counted = spec().action_size, iter(range(STEPS))

    def choose(obs: Observation) -> Proposal:
        actor = WHO[number % 3][next(counted) >= STEPS // 4 + number // 3]
        return Proposal(np.full(size, np.cos(number), "f4"), actor)

    return rollout(reach(), choose, seed=number, steps=STEPS)
