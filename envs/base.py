"""What all tasks share: one convention around a gymnasium-robotics simulation, see `SimulatedTask`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from envs.rendering import DEFAULT, Rendering, is_pixels, read_cameras
from robot_orl.errors import DataError, UsageError, unknown
from robot_orl.mirror import Mirror
from robot_orl.types import Array, Signal, Spec

START = "initial_state_dict"  # the reset option's name in gymnasium-robotics
_INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION


def signals(
    names: Iterable[str], unit: str, low: float = -np.inf, high: float = np.inf
) -> tuple[Signal, ...]:
    """One signal per name, all of one unit and range."""
    return tuple(Signal(name, unit, low, high) for name in names)


def xyz(prefix: str, unit: str) -> tuple[Signal, ...]:
    """`prefix_x`, `prefix_y`, `prefix_z`."""
    return signals((f"{prefix}_{axis}" for axis in "xyz"), unit)


class SimulatedTask(gymnasium.Env):
    """A task with sparse reward, without termination, whose every moment can be saved and restored.

    observation: dict of float32 copies.  action: (A,) in [-1, 1], clipped.  reward: success - 1.
    truncated at `task_spec.horizon` steps.  info: {"success": bool}.

    The simulator state is flat float64:

        | mj_getState(INTEGRATION) | model parts | attributes | step count | observation |

    Model parts and attributes are what the wrapped class keeps elsewhere and the next step reads. The
    observation is stored too, because MuJoCo computes positions before it integrates: they lag the state
    by one substep and cannot be computed from it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012
    movable: Mapping[str, tuple[int, ...]] = {}  # see `start_state`
    mirror: Mirror | None = None  # for tasks that are their own mirror image

    def __init__(
        self,
        sim: Any,
        spec: Spec,
        *,
        views: Sequence[Array] = (),
        attributes: Mapping[str, int] | None = None,
        camera_pose: Mapping[str, Any],
        render_mode: str | None = None,
        width: int = 320,
        height: int = 240,
        camera: str | None = None,
        cameras: Mapping[str, Sequence[int]] | None = None,
        **options: Any,
    ) -> None:
        """Args:
        sim: a gymnasium-robotics environment, made without a render mode.
        views: arrays inside sim.model or sim.data that the next step reads and mj_getState leaves out.
        attributes: sizes of the attributes of `sim` that the next step reads.
        camera_pose: lookat [m], distance [m], azimuth and elevation [deg] of the default view.
        width, height: size of a frame of `render` [pixels].  camera: its camera of the model, or None.
        cameras: what `frames` shows, (height, width) [pixels] by camera of the model or 'default'.

        Raises: UsageError: a bad option.  RunError: there are `cameras` but no OpenGL to draw with.
        """
        for name in options:
            raise unknown("task option", name, ["width", "height", "camera", "cameras"])
        for name, value in {"width": width, "height": height}.items():
            if not is_pixels(value):
                raise UsageError(f"{name}={value!r} is not a positive number of pixels")
        self.task_spec = replace(spec, cameras=read_cameras(cameras))
        self._rendering = Rendering(sim, camera_pose)
        self._default_view = camera_pose
        self._camera = DEFAULT if camera is None else camera
        for name in (self._camera, *self.task_spec.cameras):
            self._rendering.check(name)
        for size in self.task_spec.cameras.values():
            self._rendering.renderer(size.height, size.width)  # fails now, not in the first episode
        self.render_mode = render_mode
        self.action_space = spaces.Box(-1.0, 1.0, (spec.action_size,), np.float32)
        self.observation_space = spaces.Dict(
            {key: spaces.Box(-np.inf, np.inf, (len(s),), np.float32) for key, s in spec.observation.items()}
        )
        self._sim = sim
        self._views = list(views)
        self._original_views = [view.copy() for view in views]
        self._attributes = dict(attributes or {})
        self._state_sizes = [
            mujoco.mj_stateSize(sim.model, _INTEGRATION),
            *(view.size for view in self._views),
            *self._attributes.values(),
            1,
            spec.observation_size,
        ]
        self._step_count: int | None = None  # None until the first reset
        self._flat_obs = np.zeros(spec.observation_size, np.float32)
        self._size = (height, width)

    # What a family defines

    def _observation(self, raw: Any) -> dict[str, Array]:
        """The wrapped class's observation as float32 copies, keyed as in the spec."""
        raise NotImplementedError

    def _is_success(self, obs: dict[str, Array], info: Mapping[str, Any]) -> bool:
        raise NotImplementedError

    def _start_state(self) -> Mapping[str, Array]:
        """What `start_state` gives."""
        raise NotImplementedError

    def _begin(self, seed: int | None, start: Mapping[str, Any] | None) -> Any:
        """Reset the wrapped class, to `start` if there is one, and return its raw observation.

        start: of any origin, see `_checked_start`.
        """
        raise NotImplementedError

    def _before_render(self) -> None:
        """Draw what is not simulated; must leave everything that a step reads as it is."""

    # Gymnasium's API

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Begin an episode; with a seed it depends on that seed and the options only.

        options: initial_state_dict, what `start_state` gives: where things are, instead of by chance.
        Raises: UsageError: another option, or not a start of this task.
        """
        super().reset(seed=seed)
        self._write_views(self._original_views)
        for name in options or {}:
            if name != START:
                raise unknown("reset option", name, [START])
        obs = self._observation(self._begin(seed, (options or {}).get(START)))
        self._flat_obs = self.task_spec.flatten(obs)
        self._step_count = 0
        return obs, {}

    def step(self, action: Any) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        """Raises: UsageError: the action has another shape or is not finite; no episode has begun."""
        if self._step_count is None:
            raise UsageError(f"{self.task_spec.task}: call reset or set_sim_state before step")
        raw, _, _, _, raw_info = self._sim.step(self._checked(action))
        obs = self._observation(raw)
        self._flat_obs = self.task_spec.flatten(obs)
        self._step_count += 1
        success = self._is_success(obs, raw_info)
        truncated = self._step_count >= self.task_spec.horizon
        return obs, float(success) - 1.0, False, truncated, {"success": success}

    def _checked(self, action: Any) -> Array:
        """The action that is executed: float32, as it is stored, and within [-1, 1]."""
        size = self.task_spec.action_size
        array = np.asarray(action, np.float32)
        if array.shape != (size,):
            raise UsageError(f"{self.task_spec.task}: action has shape {array.shape}, not ({size},)")
        if not np.isfinite(array).all():
            raise UsageError(f"{self.task_spec.task}: action is not finite: {array.tolist()}")
        return np.clip(array, -1.0, 1.0)

    def render(self) -> Any:
        """A frame, (height, width, 3) uint8, or None without a render mode. Never changes the episode."""
        if self.render_mode is None:
            return None
        self._before_render()
        return self._rendering.frame(self._camera, *self._size)

    def close(self) -> None:
        self._rendering.close()

    # TaskEnv

    @property
    def model(self) -> Any:
        """MuJoCo's MjModel of the world, for whoever draws it or does kinematics with it."""
        return self._sim.model

    @property
    def data(self) -> Any:
        """Its MjData, to look at, with what is only drawn (the goal) in its place.

        Whoever changes it changes the episode.
        """
        if self._step_count is not None:
            self._before_render()
        return self._sim.data

    @property
    def view(self) -> Mapping[str, Any]:
        """lookat [m], distance [m], azimuth and elevation [deg] of the default view."""
        return self._default_view

    def start_state(self) -> dict[str, list[float]]:
        """Where things are now, plain JSON: as reset option `initial_state_dict` it begins an episode so.

        `movable` says which coordinates of which of its parts differ between starts, of what is to be
        handled; of a task that handles nothing, or always in one place, it is empty.
        """
        if self._step_count is None:
            raise UsageError(f"{self.task_spec.task}: call reset or set_sim_state before start_state")
        return {name: np.ravel(value).tolist() for name, value in self._start_state().items()}

    def frames(self) -> dict[str, Array]:
        """What the cameras of `task_spec` see now, (H, W, 3) uint8 each; never changes the episode."""
        if self.task_spec.cameras:
            self._before_render()
        return {
            name: self._rendering.frame(name, size.height, size.width)
            for name, size in self.task_spec.cameras.items()
        }

    def get_sim_state(self) -> Array:
        """(S,) float64: see the class for the layout."""
        if self._step_count is None:
            raise UsageError(f"{self.task_spec.task}: call reset or set_sim_state before get_sim_state")
        integration = np.empty(self._state_sizes[0])
        mujoco.mj_getState(self._sim.model, self._sim.data, integration, _INTEGRATION)
        kept = [np.ravel(getattr(self._sim, name)) for name in self._attributes]
        return np.concatenate(
            [integration, *map(np.ravel, self._views), *kept, [self._step_count], self._flat_obs],
            dtype=np.float64,
        )

    def set_sim_state(self, state: Array) -> dict[str, Array]:
        """Raises: DataError: not a state of this task."""
        state = np.asarray(state, np.float64)
        task = self.task_spec.task
        if state.shape != (sum(self._state_sizes),):
            raise DataError(
                f"{task}: simulator state has shape {state.shape}, not ({sum(self._state_sizes)},)"
            )
        if not np.isfinite(state).all():
            raise DataError(f"{task}: simulator state is not finite")
        integration, *parts, count, flat_obs = np.split(state, np.cumsum(self._state_sizes[:-1]))
        views, attributes = parts[: len(self._views)], parts[len(self._views) :]
        for (name, size), value in zip(self._attributes.items(), attributes, strict=True):
            setattr(self._sim, name, value.copy() if size > 1 else value[0])
        self._write_views(views)
        mujoco.mj_setState(self._sim.model, self._sim.data, integration, _INTEGRATION)
        mujoco.mj_forward(self._sim.model, self._sim.data)  # places what is drawn
        self._write_views(views)  # those into data have just been computed anew, without the lag
        self._step_count = int(count[0])
        self._flat_obs = flat_obs.astype(np.float32)
        return {
            key: self._flat_obs[self.task_spec.slice_of(key)].copy() for key in self.task_spec.observation
        }

    def _checked_start(self, start: Any, sizes: Mapping[str, int]) -> dict[str, Array]:
        """Those parts of a start, (n,) float64 each; what a file says besides is left out.

        Raises: UsageError: one is missing or not `sizes` of finite numbers.
        """
        task, state = self.task_spec.task, {}
        if not isinstance(start, Mapping):
            raise UsageError(f"{task}: {START} is a {type(start).__name__}, not a dict")
        for name, size in sizes.items():
            if name not in start:
                raise UsageError(f"{task}: {START} has no '{name}'")
            try:
                state[name] = np.asarray(start[name], np.float64)
            except (TypeError, ValueError):
                state[name] = np.full(1, np.nan)
            if state[name].shape != (size,) or not np.isfinite(state[name]).all():
                raise UsageError(f"{task}: '{name}' is not {(size,)} finite numbers")
        return state

    def _write_views(self, values: Sequence[Array]) -> None:
        for view, value in zip(self._views, values, strict=True):
            view[:] = value.reshape(view.shape)
