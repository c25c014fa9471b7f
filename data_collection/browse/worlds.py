"""The tasks that episodes were recorded in, to draw them: from the simulator's states that were kept or, of a
robot that is no simulation, from what it observed, where that says where everything is.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, cast

import gymnasium
import numpy as np

from data_collection.teleop.steering import tool_of
from data_collection.viewer.scene import Scene, scene_of
from data_collection.viewer.takes import Take, plain_take, take_of
from robot_orl.data.store.segment import Segment
from robot_orl.deploy.twin import Placeable
from robot_orl.errors import DataError
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env
from robot_orl.types import Array, Episode, Observation, Spec


@dataclass(frozen=True, eq=False)
class World:
    """A task and what is drawn of it."""

    env: gymnasium.Env[Any, Any]
    scene: Scene

    @property
    def is_placeable(self) -> bool:
        return isinstance(self.env.unwrapped, Placeable)

    def moment(self, state: Array) -> Array:
        """state: (S,) float64.  float32, see `Scene.moment`. Raises: DataError: none of this task."""
        task_env(self.env).set_sim_state(state)
        return self._shown()

    def observed(self, obs: Observation) -> Array:
        """As `moment`, where an observation of a placeable task says that everything is."""
        cast(Placeable, self.env.unwrapped).place(obs)
        return self._shown()

    def _shown(self) -> Array:
        shown: Any = self.env.unwrapped
        return self.scene.moment(shown.data)


class Worlds:
    """Of the segments of a dataset: one for each way in which the task was made, when it is asked for."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._made: dict[str, World | DataError] = {}

    def name(self, segment: Segment) -> str:
        """What episodes of two segments have in common that are drawn in the same way."""
        return json.dumps([_options(segment), has_states(segment)], sort_keys=True)

    def of(self, segment: Segment) -> World:
        """Raises: DataError: why its episodes cannot be drawn."""
        name = self.name(segment)
        if name not in self._made:
            try:
                self._made[name] = self._make(segment)
            except Exception as error:  # of whatever task another's dataset names, with its options
                self._made[name] = DataError(f"{self._spec.task} cannot be shown in 3-D: {error}")
        found = self._made[name]
        if isinstance(found, DataError):
            raise found
        return found

    def _make(self, segment: Segment) -> World:
        if self._spec.task not in gymnasium.registry:
            raise DataError("no such task is installed here")
        env = make_env(TaskConfig(self._spec.task, _options(segment)))
        if lacking := spec_of(env).lacks(self._spec.without_cameras()):
            raise DataError(f"it is another task now: {', '.join(lacking)} differ")
        model = getattr(env.unwrapped, "model", None)
        if model is None:
            raise DataError("it has no model that could be drawn")
        scene = scene_of(model, tool_of(env), {"view": dict(getattr(env.unwrapped, "view", {}))})
        env.reset(seed=0)  # some tasks place what is only drawn when they begin
        world = World(env, scene)
        if not has_states(segment) and not world.is_placeable:
            raise DataError(
                "no simulator state was recorded, and its observation does not say where everything is"
            )
        return world

    def take(self, segment: Segment, episode: Episode, title: str) -> Take:
        """With its moments, where they can be had."""
        plain = plain_take(self._spec, episode, title=title)
        try:
            world = self.of(segment)
            if episode.sim_state is not None:
                return take_of(world.scene, world.env, episode, title=title)
            moments = [world.observed(_at(episode, i)) for i in range(len(episode) + 1)]
        except DataError:
            return plain
        return replace(plain, moments=np.stack(moments)) if np.isfinite(moments).all() else plain

    def close(self) -> None:
        for found in self._made.values():
            if isinstance(found, World):
                found.env.close()
        self._made.clear()


def has_states(segment: Segment) -> bool:
    """Of the simulator."""
    return segment.attributes["sim_state_size"] is not None


def _at(episode: Episode, moment: int) -> Observation:
    return {name: rows[moment] for name, rows in episode.obs.items()}


def _options(segment: Segment) -> dict[str, Any]:
    """Cameras need OpenGL, and draw what is kept already."""
    return {k: v for k, v in segment.attributes["env_kwargs"].items() if k != "cameras"}
