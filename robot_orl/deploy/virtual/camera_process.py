"""The process of a virtual camera: draws the model as it is now and sends it to whoever looks.

    python -m robot_orl.deploy.virtual.camera_process FD SIZE SCENE SOCKET FPS

FD: memory with a channel (sensors/channel.py) of the model's qpos, SIZE float64. It prints a line when it is
ready and ends when its stdin does. Nothing is drawn while nobody looks.
"""

import mmap
import os
import signal
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import cv2
import mujoco
import numpy as np

from robot_orl.deploy.sensors.boards import draw_marker
from robot_orl.deploy.sensors.camera_process import prefer_over_others
from robot_orl.deploy.sensors.channel import Channel, size_of
from robot_orl.deploy.sensors.marker_cube import cube_markers
from robot_orl.deploy.timing import NS_PER_S, RealClock, Ticker
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
JPEG_QUALITY = 90
OPENGL_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras look along -z, with y up


def scene_with_camera(path: str) -> mujoco.MjModel:
    """The scene, its cube covered with markers and a camera before the arm; its qpos is that of the scene."""
    spec = mujoco.MjSpec.from_file(path)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDTH, HEIGHT
    spec.visual.quality.offsamples = 0
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


def _stick_on(spec: Any, body: Any, marker: Any) -> None:
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


class Frames:
    """The latest frame, for threads that wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: tuple[int, bytes, int] = 0, b"", 0
        self.viewers = 0

    def show(self, jpeg: bytes, t_ns: int) -> None:
        with self._changed:
            self._latest = self._latest[0] + 1, jpeg, t_ns
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, bytes, int]:
        """Number, JPEG and time [ns] of one that is newer; waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._latest[0] > number)
            return self._latest


class Viewing(BaseHTTPRequestHandler):
    """Whoever looks gets every frame that is new when the last one has gone out; see sensors/network.py."""

    frames: Frames

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        self.frames.viewers += 1
        try:
            while True:
                number, jpeg, t_ns = self.frames.after(number)
                told = f"Content-Length: {len(jpeg)}\r\nX-Timestamp: {t_ns / NS_PER_S:.6f}"
                head = f"--frame\r\nContent-Type: image/jpeg\r\n{told}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        except OSError:
            pass  # they look no longer
        finally:
            self.frames.viewers -= 1

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 5


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    descriptor, size, scene, path, fps = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    prefer_over_others()  # a camera of glass does not care how busy the computer is
    capacity = 8 * int(size)
    channel = Channel(mmap.mmap(int(descriptor), size_of(capacity)), 0, capacity)
    eye = Eye(scene)
    eye.look(np.zeros(int(size)))  # the first frame takes longest, and tells whether there is any OpenGL
    Viewing.frames = frames = Frames()
    server = Server(path, Viewing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    ticker = Ticker(round(NS_PER_S / float(fps)), RealClock())
    while True:
        ticker.wait()
        now = channel.read()
        if now is None or not frames.viewers:
            continue
        frame = eye.look(np.frombuffer(now.payload.tobytes()))
        packed = cv2.imencode(
            ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )[1]
        frames.show(packed.tobytes(), now.t_ns)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
