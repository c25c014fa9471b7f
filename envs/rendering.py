"""Frames of a simulation, drawn without a display; a renderer per size of frame, made when first needed."""

import atexit
import os
import weakref
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from robot_orl.errors import RunError, UsageError, unknown
from robot_orl.types import Array, Camera

DEFAULT = "default"  # the task's own view, which is no camera of the model


def _close(renderer_ref: weakref.ref[Any]) -> None:
    if (renderer := renderer_ref()) is not None:
        renderer.close()


class Rendering:
    """Draws the views of a simulation: `default` and the cameras of its model.

    pose: lookat [m], distance [m], azimuth and elevation [deg] of the default view.
    """

    def __init__(self, sim: Any, pose: Mapping[str, Any]) -> None:
        self._sim = sim
        self._views: dict[str, Any] = {DEFAULT: mujoco.MjvCamera()}
        for name, value in pose.items():
            setattr(self._views[DEFAULT], name, value)
        self._views |= {sim.model.camera(i).name: i for i in range(sim.model.ncam)}
        self._renderers: dict[tuple[int, int], Any] = {}

    def check(self, name: str) -> None:
        """Raises: UsageError: no such view."""
        if name not in self._views:
            raise unknown("camera", name, self._views)

    def frame(self, name: str, height: int, width: int) -> Array:
        """(height, width, 3) uint8 of what the simulation shows now. Raises: RunError: no OpenGL."""
        renderer = self.renderer(height, width)
        renderer.update_scene(self._sim.data, self._views[name])
        frame: Array = renderer.render()
        return frame

    def renderer(self, height: int, width: int) -> Any:
        """The one of this size. Raises: RunError: the system cannot draw; says what to install."""
        if (height, width) not in self._renderers:
            self._renderers[height, width] = self._make(height, width)
        return self._renderers[height, width]

    def _make(self, height: int, width: int) -> Any:
        if os.environ.get("MUJOCO_GL") == "disable":
            raise RunError("rendering needs an OpenGL library of the system: on Debian, apt install libegl1")
        offscreen = self._sim.model.vis.global_
        offscreen.offwidth, offscreen.offheight = width, height
        try:
            renderer = mujoco.Renderer(self._sim.model, height, width)
        except Exception as error:  # every OpenGL backend fails in its own way
            backend = os.environ.get("MUJOCO_GL", "the default")
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunError(
                f"cannot render frames of {width}x{height} with OpenGL ({backend}: {reason})"
            ) from error
        # Registered after EGL's own exit handler, so run before it: freed later, it would print errors.
        atexit.register(_close, weakref.ref(renderer))
        return renderer

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


def is_pixels(value: Any) -> bool:
    """Whether it is the height or width of a frame."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) > 0


def read_cameras(option: Any) -> dict[str, Camera]:
    """The task option `cameras`, such as {'default': [96, 128]}: height and width [pixels] by view.

    Raises: UsageError: not of this form.
    """
    if option is None:
        return {}
    if not isinstance(option, Mapping):
        raise UsageError(f"cameras={option!r} is not of the form {{name: [height, width]}}")
    cameras = {}
    for name, size in option.items():
        sizes = list(size) if isinstance(size, (list, tuple, np.ndarray)) else []
        if len(sizes) != 2 or not all(map(is_pixels, sizes)):
            raise UsageError(f"cameras.{name}={size!r} is not [height, width] in pixels")
        cameras[str(name)] = Camera(int(sizes[0]), int(sizes[1]))
    return cameras
