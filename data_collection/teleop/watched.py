"""A task whose every moment is shown to whoever draws it."""

from typing import Any

import gymnasium

from data_collection.teleop.hands import Onlooker
from robot_orl.types import Observation


class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
    """obs, success: as the task sees them now.  succeeded: after each step since the last reset."""

    def __init__(self, env: gymnasium.Env[Any, Any], onlooker: Onlooker | None) -> None:
        super().__init__(env)
        self._onlooker = onlooker
        self._task: Any = env.unwrapped
        self.obs: Observation = {}
        self.success = False
        self.succeeded: list[bool] = []

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        found = super().reset(**options)
        self.obs, self.success, self.succeeded = found[0], False, []
        self._moved()
        return found

    def step(self, action: Any) -> Any:
        found = super().step(action)
        self.obs, self.success = found[0], bool(found[-1]["success"])
        self.succeeded.append(self.success)
        self._moved()
        return found

    def _moved(self) -> None:
        if self._onlooker is not None:
            self._onlooker.moved(self._task.data)
