"""What a camera before a virtual arm sees: the scene, drawn, with markers on its cube."""

from typing import Any

import cv2
import mujoco
import numpy as np

from robot_orl.deploy.sensors.aruco import Marker
from robot_orl.deploy.sensors.boards import draw_marker
from robot_orl.deploy.sensors.marker_cube import cube_markers
from robot_orl.deploy.virtual.camera import (
    CUBE_M,
    FIRST_MARKER,
    FOVY_DEG,
    HEIGHT,
    MARKER_M,
    WIDTH,
    pose_base_camera,
)
from robot_orl.types import Array

DICTIONARY, MODULES, PIXELS_PER_MODULE = "4X4_50", 6, 16
PAPER_M = 2e-4  # that the bare cube is smaller, so that nothing of it shows through its prints
OPENGL_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras look along -z, with y up


def scene_with_camera(path: str) -> mujoco.MjModel:
    """The scene, its cube covered with markers and a camera before the arm; its qpos is that of the scene."""
    spec = mujoco.MjSpec.from_file(path)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDTH, HEIGHT
    spec.visual.quality.offsamples = 0  # smooth edges cost 9 ms a frame and find the cube no better
    pose = pose_base_camera()
    turned = pose[:3, :3] @ OPENGL_FROM_CAMERA
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(turned).ravel())
    spec.worldbody.add_camera(name="virtual", pos=pose[:3, 3], quat=quaternion, fovy=FOVY_DEG)
    cube = spec.body("cube")
    if cube is not None:
        cube.geoms[0].size = np.asarray(cube.geoms[0].size) - PAPER_M
        for marker in cube_markers(FIRST_MARKER, MARKER_M, CUBE_M):
            _stick_on(spec, cube, marker)
    return spec.compile()


def _stick_on(spec: Any, body: Any, marker: Marker) -> None:
    """A print of two triangles, so that it is sure which of its corners lies where."""
    name = f"marker_{marker.number}"
    drawn = np.pad(
        draw_marker(marker.number, DICTIONARY, MODULES * PIXELS_PER_MODULE),
        PIXELS_PER_MODULE,
        constant_values=255,
    )
    half = marker.size_m / 2 * (MODULES + 2) / MODULES
    file = f"{name}.png"
    spec.assets[file] = cv2.imencode(".png", np.repeat(drawn[..., None], 3, axis=2))[1].tobytes()
    spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=file)
    material = spec.add_material(name=name, specular=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    spec.add_mesh(
        name=name,
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        uservert=[-half, -half, 0, half, -half, 0, half, half, 0, -half, half, 0],
        usertexcoord=[0, 1, 1, 1, 1, 0, 0, 0],
        userface=[0, 1, 2, 0, 2, 3],
    )
    quaternion = np.empty(4)
    pose = marker.pose_object_marker
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(pose[:3, :3]).ravel())
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=name,
        contype=0,
        conaffinity=0,
        mass=0,
        pos=pose[:3, 3],
        quat=quaternion,
    )


class Eye:
    """Draws a scene as its camera sees it."""

    def __init__(self, scene: str) -> None:
        self.model = scene_with_camera(scene)
        self._data = mujoco.MjData(self.model)
        self._renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
            mujoco.mjtRndFlag.mjRND_SKYBOX,
        ):
            self._renderer.scene.flags[flag] = False
        self._hidden = mujoco.MjvOption()
        self._hidden.sitegroup[:] = 0  # a goal is nothing that a camera sees

    def look(self, qpos: Array) -> Array:
        """(H, W, 3) uint8, red first."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self._data)
        mujoco.mj_camlight(self.model, self._data)
        self._renderer.update_scene(self._data, "virtual", self._hidden)
        frame: Array = self._renderer.render()
        return frame

    def close(self) -> None:
        self._renderer.close()
