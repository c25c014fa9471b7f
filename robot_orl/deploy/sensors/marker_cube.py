"""A cube with a marker on five of its faces, so that a hand that hides some of them does not hide it."""

import numpy as np

from robot_orl.deploy.sensors.aruco import Marker
from robot_orl.types import Array

# Where a face looks in the cube's frame (x front, y left, z up), and which way the print is up.
FACES: dict[str, tuple[Array, Array]] = {
    "front": (np.array([1.0, 0, 0]), np.array([0, 0, 1.0])),
    "left": (np.array([0, 1.0, 0]), np.array([0, 0, 1.0])),
    "back": (np.array([-1.0, 0, 0]), np.array([0, 0, 1.0])),
    "right": (np.array([0, -1.0, 0]), np.array([0, 0, 1.0])),
    "top": (np.array([0, 0, 1.0]), np.array([-1.0, 0, 0])),
}


def cube_markers(first: int, size_m: float, edge_m: float) -> list[Marker]:
    """Markers `first` .. `first + 4` in the middle of the faces front, left, back, right and top.

    size_m: of a marker's black square.  edge_m: of the cube, whose middle is the origin of the object.
    """
    markers = []
    for number, (out, up) in enumerate(FACES.values(), first):
        pose = np.eye(4)
        pose[:3] = np.stack([np.cross(up, out), up, out, out * edge_m / 2], axis=1)
        markers.append(Marker(number, size_m, pose))
    return markers
