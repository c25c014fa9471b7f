"""The tasks that episodes were recorded in, to draw them from the simulator's states that were kept."""

import json
from dataclasses import dataclass
from typing import Any

import gymnasium

from data_collection.teleop.steering import tool_of
from data_collection.viewer.scene import Scene, scene_of
from data_collection.viewer.takes import Take, plain_take, take_of
from robot_orl.data.store.segment import Segment
from robot_orl.errors import DataError
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env
from robot_orl.types import Array, Episode, Spec


@dataclass(frozen=True, eq=False)
class World:
    """A task and what is drawn of it."""

    env: gymnasium.Env[Any, Any]
    scene: Scene

    def moment(self, state: Array) -> Array:
        """state: (S,) float64.  float32, see `Scene.moment`. Raises: DataError: none of this task."""
        task_env(self.env).set_sim_state(state)
        shown: Any = self.env.unwrapped
        return self.scene.moment(shown.data)


class Worlds:
    """Of the segments of a dataset: one for each way in which the task was made, when it is asked for."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._made: dict[str, World | DataError] = {}

    def name(self, segment: Segment) -> str | None:
        """Of its world; None: no simulator's states were kept, so there is none."""
        if segment.attributes["sim_state_size"] is None:
            return None
        return json.dumps(_options(segment), sort_keys=True)

    def of(self, segment: Segment) -> World:
        """Raises: DataError: why its episodes cannot be drawn."""
        name = self.name(segment)
        if name is None:
            raise DataError("no simulator state was recorded")
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
        return World(env, scene)

    def take(self, segment: Segment, episode: Episode, title: str) -> Take:
        """With its moments, where they can be had."""
        try:
            world = self.of(segment)
            return take_of(world.scene, world.env, episode, title=title)
        except DataError:
            return plain_take(self._spec, episode, title=title)

    def close(self) -> None:
        for found in self._made.values():
            if isinstance(found, World):
                found.env.close()
        self._made.clear()


def _options(segment: Segment) -> dict[str, Any]:
    """Cameras need OpenGL, and draw what is kept already."""
    return {k: v for k, v in segment.attributes["env_kwargs"].items() if k != "cameras"}
