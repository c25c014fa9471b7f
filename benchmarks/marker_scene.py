"""A camera over a marker, drawn by MuJoCo and spoilt as a webcam spoils it: the truth is known.

    scene = MarkerScene(Lens(640, 480, focal_px=520))
    frame = scene.frame(pose_camera_object, rng)          # (480, 640, 3) uint8, red first

A frame is drawn with twice the resolution and a wider field than the camera has, bent by the lens (Brown
1971), averaged down, blurred, made noisy and packed as JPEG. MUJOCO_GL=egl draws without a screen.
"""

from dataclasses import dataclass, field

import cv2
import mujoco
import numpy as np

from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import rigid
from robot_orl.types import Array

WEBCAM = (-0.28, 0.09, 0.0008, -0.0005, 0.0)  # k1 k2 p1 p2 k3: the barrel of a cheap 60 degree lens
MUJOCO_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras look along -z, with y up
FINER = 2  # as many pixels are drawn across one of the camera's
FACING = np.diag([1.0, -1.0, -1.0, 1.0])  # of a print that looks straight at the camera
WIDER = 1.25  # as wide is drawn, for what the lens bends into view


@dataclass(frozen=True)
class Spoilt:
    """blur_px: standard deviation of the lens's blur.  noise: of a value in 0 .. 255.  jpeg: quality, %."""

    blur_px: float = 0.7
    noise: float = 4.0
    jpeg: int = 85


@dataclass(frozen=True)
class Lens:
    """The true camera; the centre lies a little beside the middle, as in real ones."""

    width: int = 640
    height: int = 480
    focal_px: float = 520.0
    beside_px: tuple[float, float] = (6.0, -4.0)
    distortion: tuple[float, ...] = WEBCAM
    spoilt: Spoilt = field(default_factory=Spoilt)

    @property
    def intrinsics(self) -> Intrinsics:
        center = (self.width - 1) / 2 + self.beside_px[0], (self.height - 1) / 2 + self.beside_px[1]
        return Intrinsics.of(self.width, self.height, (self.focal_px, self.focal_px), center, self.distortion)


class MarkerScene:
    """An object of flat printed pieces before a camera that stands at the origin of the world."""

    def __init__(self, lens: Lens, pieces: dict[str, tuple[Array, Array, Array]]) -> None:
        """pieces: by name the print, (n, m) uint8 grey; its size (width, height) [m]; and its pose on the
        object, (4, 4), x right, y up, z out of the print."""
        self.lens = lens
        self._height = round(lens.height * WIDER) * FINER
        self._width = round(lens.width * WIDER) * FINER
        fovy = 2 * np.degrees(np.arctan(self._height / 2 / (lens.focal_px * FINER)))
        assets = {f"{name}.png": _png(printed) for name, (printed, _, _) in pieces.items()}
        xml = _xml(pieces, self._width, self._height, fovy)
        self._model = mujoco.MjModel.from_xml_string(xml, assets)
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, self._height, self._width)
        self._map = self._bend()

    def frame(self, pose_camera_object: Array, rng: np.random.Generator, light: float = 1.0) -> Array:
        """What the camera sees of the object there, (H, W, 3) uint8, red first. light: brightness."""
        turned = MUJOCO_FROM_CAMERA @ pose_camera_object[:3, :3]
        self._data.mocap_pos[0] = MUJOCO_FROM_CAMERA @ pose_camera_object[:3, 3]
        mujoco.mju_mat2Quat(self._data.mocap_quat[0], turned.ravel())
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera="camera")
        return self._spoil(self._renderer.render(), rng, light)

    def close(self) -> None:
        self._renderer.close()

    def _bend(self) -> tuple[Array, Array]:
        """For every pixel of the finer frame, where it lies in what is drawn without a lens."""
        lens = self.lens.intrinsics
        size = self.lens.width * FINER, self.lens.height * FINER
        columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        fine = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
        pixels = (fine + 0.5) / FINER - 0.5
        often = (cv2.TERM_CRITERIA_COUNT, 50, 0)
        rays = cv2.undistortPoints(
            pixels, lens.matrix, lens.distortion, R=np.eye(3), P=np.eye(3), criteria=often
        )
        drawn = rays.reshape(size[1], size[0], 2) * self.lens.focal_px * FINER
        drawn += ((self._width - 1) / 2, (self._height - 1) / 2)
        return drawn[..., 0].astype(np.float32), drawn[..., 1].astype(np.float32)

    def _spoil(self, drawn: Array, rng: np.random.Generator, light: float) -> Array:
        spoilt, size = self.lens.spoilt, (self.lens.width, self.lens.height)
        bent = cv2.remap(drawn, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        frame = cv2.resize(bent, size, interpolation=cv2.INTER_AREA).astype(np.float32) * light
        if spoilt.blur_px > 0:
            frame = cv2.GaussianBlur(frame, (0, 0), spoilt.blur_px)
        frame += rng.normal(0, spoilt.noise, frame.shape).astype(np.float32)
        frame = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
        packed = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, spoilt.jpeg])[1]
        return cv2.imdecode(packed, cv2.IMREAD_COLOR)


def _png(printed: Array) -> bytes:
    return cv2.imencode(".png", np.repeat(printed[..., None], 3, axis=2))[1].tobytes()


def _xml(pieces: dict[str, tuple[Array, Array, Array]], width: int, height: int, fovy: float) -> str:
    """A mesh of two triangles per piece, so that it is sure which corner of the print lies where."""
    assets, geoms = [], []
    for name, (_, size, pose) in pieces.items():
        x, y = np.asarray(size) / 2
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(pose[:3, :3]).ravel())
        assets.append(
            f'<texture name="{name}" type="2d" file="{name}.png"/><material name="{name}" texture="{name}"/>'
            f'<mesh name="{name}" inertia="shell" vertex="{-x} {-y} 0 {x} {-y} 0 {x} {y} 0 {-x} {y} 0" '
            f'texcoord="0 1 1 1 1 0 0 0" face="0 1 2 0 2 3"/>'
        )
        geoms.append(
            f'<geom type="mesh" mesh="{name}" material="{name}" pos="{_words(pose[:3, 3])}" '
            f'quat="{_words(quaternion)}" contype="0" conaffinity="0"/>'
        )
    return f"""<mujoco>
  <compiler balanceinertia="true"/>
  <visual>
    <global offwidth="{width}" offheight="{height}" fovy="{fovy}"/>
    <headlight ambient="0.5 0.5 0.5" diffuse="0.4 0.4 0.4" specular="0 0 0"/>
    <map znear="0.01" zfar="20"/>
  </visual>
  <statistic extent="1"/>
  <asset>
    <texture name="table" type="2d" builtin="checker" rgb1="0.55 0.45 0.35" rgb2="0.5 0.42 0.33" width="256"
             height="256" mark="random" markrgb="0.3 0.25 0.2" random="0.05"/>
    <material name="table" texture="table" texrepeat="12 12"/>
    {"".join(assets)}
  </asset>
  <worldbody>
    <camera name="camera" pos="0 0 0" fovy="{fovy}"/>
    <geom type="plane" size="3 3 0.1" pos="0 0 -1.5" material="table"/>
    <body name="object" mocap="true">{"".join(geoms)}</body>
  </worldbody>
</mujoco>"""


def _words(values: Array) -> str:
    return " ".join(f"{value:.9g}" for value in values)


def with_margin(printed: Array, modules: int) -> tuple[Array, float]:
    """The print of a marker, `modules` squares across, in a white margin of one; how much wider that is."""
    margin = printed.shape[0] // modules
    wide = np.pad(printed, margin, constant_values=255)
    return wide, wide.shape[0] / printed.shape[0]


def random_view(
    rng: np.random.Generator, lens: Lens, near_m: float, far_m: float, tilt_deg: float, reach: float
) -> Array:
    """A pose of something flat in the camera's frame, (4, 4), with its middle within `reach` of the way from
    the middle to the edge of the frame, turned to the camera but for a tilt and spun at will."""
    distance = rng.uniform(near_m, far_m)
    half = np.array([lens.width, lens.height]) / 2 / lens.focal_px
    beside = rng.uniform(-1, 1, 2) * half * reach * distance
    angle = rng.uniform(0, 2 * np.pi)
    tilt = np.array([np.cos(angle), np.sin(angle), 0]) * np.radians(rng.uniform(0, tilt_deg))
    pose = rigid(tilt, (*beside, distance)) @ FACING @ rigid((0, 0, rng.uniform(-np.pi, np.pi)), (0, 0, 0))
    return pose
