"""What a page draws: the shapes of a MuJoCo model once, and where each of them is as often as it moves.

As MuJoCo shows them by default: geoms and sites of groups 0 to 2 that are not transparent. Height fields and
signed distance fields are left out.

    packed   | bytes of the header, uint32 | header, JSON, padded to 4 | vertices | triangles |
    vertex   x, y, z, normal x, y, z       float32
    triangle three vertices of its shape   uint32

    header   {"shapes": [{"vertices": n, "triangles": n}, ...], "items": [{"shape": i, "rgba": [...],
             "is_floor": bool}, ...], "tool": row of the tool's pose or null, ...}
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robot_orl.types import Array

SHOWN_GROUPS = 3
FLOOR_FROM_M = 0.5  # half the width of a plane that is a floor; a smaller one is a sheet or a mat
FLOOR_M = 4.0  # of what is drawn of a floor
ROUND = 32  # edges of a circle
CREASE = np.cos(np.radians(35.0))  # where faces meet at a greater angle there is an edge
_SHAPES = mujoco.mjtGeom
DRAWN_TYPES = [
    int(kind)
    for kind in (
        _SHAPES.mjGEOM_PLANE,
        _SHAPES.mjGEOM_SPHERE,
        _SHAPES.mjGEOM_ELLIPSOID,
        _SHAPES.mjGEOM_CAPSULE,
        _SHAPES.mjGEOM_CYLINDER,
        _SHAPES.mjGEOM_BOX,
        _SHAPES.mjGEOM_MESH,
    )
]


@dataclass(frozen=True)
class Shape:
    """vertices: (V, 6) float32, place and normal.  triangles: (T, 3) uint32, anticlockwise from outside."""

    vertices: Array
    triangles: Array


@dataclass(frozen=True)
class Scene:
    """geoms, sites: what is drawn, numbers in the model.  tool: a site, or None.

    joints: of a robot without a tool, middle and half of each actuator's range, (2, A).
    """

    packed: bytes
    geoms: Array
    sites: Array
    tool: int | None
    joints: Array

    @property
    def rows(self) -> int:
        """Of poses."""
        return len(self.geoms) + len(self.sites) + (self.tool is not None)

    @property
    def size(self) -> int:
        """Bytes of `moment`."""
        return 4 * (12 * self.rows + self.joints.shape[1])

    def moment(self, data: Any) -> Array:
        """float32: `rows` times 12, x, y, z [m] and the rotation by rows, of geoms, sites and the tool; then
        where the joints are in their range, -1 .. 1."""
        middle, half = self.joints
        joints = (data.actuator_length[: len(middle)] - middle) / half
        return np.concatenate([self._poses(data).ravel(), joints], dtype=np.float32)

    def _poses(self, data: Any) -> Array:
        """(rows, 12)."""
        sites = self.sites if self.tool is None else np.append(self.sites, self.tool)
        places = np.concatenate([data.geom_xpos[self.geoms], data.site_xpos[sites]])
        turns = np.concatenate([data.geom_xmat[self.geoms], data.site_xmat[sites]])
        return np.concatenate([places, turns.reshape(-1, 9)], axis=1)


def scene_of(model: Any, tool: str | None, more: Mapping[str, Any]) -> Scene:
    """tool: name of the site that is steered, or None.  more: goes into the header, plain JSON."""
    is_shown = (model.geom_group < SHOWN_GROUPS) & (_colours(model, "geom")[:, 3] > 0)
    geoms = np.flatnonzero(is_shown & np.isin(model.geom_type, DRAWN_TYPES))
    sites = np.flatnonzero((model.site_group < SHOWN_GROUPS) & (model.site_rgba[:, 3] > 0))
    shapes: list[Shape] = []
    known: dict[Any, int] = {}
    items = []
    for kind, numbers in (("geom", geoms), ("site", sites)):
        colours = _colours(model, kind)
        for i in numbers:
            shape_type, size = _SHAPES(getattr(model, f"{kind}_type")[i]), getattr(model, f"{kind}_size")[i]
            mesh = int(model.geom_dataid[i]) if kind == "geom" and shape_type == _SHAPES.mjGEOM_MESH else None
            key = (shape_type, mesh if mesh is not None else tuple(size))
            if key not in known:
                known[key] = len(shapes)
                shapes.append(_mesh(model, mesh) if mesh is not None else _primitive(shape_type, size))
            items.append(
                {
                    "shape": known[key],
                    "rgba": colours[i].round(4).tolist(),
                    "is_floor": bool(shape_type == _SHAPES.mjGEOM_PLANE and _is_floor(size)),
                }
            )
    row = None if tool is None else len(items)
    sizes = [{"vertices": len(s.vertices), "triangles": len(s.triangles)} for s in shapes]
    header = json.dumps({"shapes": sizes, "items": items, "tool": row, **more}).encode()
    header += b" " * (-len(header) % 4)
    parts = [np.uint32(len(header)).tobytes(), header]
    parts += [s.vertices.tobytes() for s in shapes] + [s.triangles.tobytes() for s in shapes]
    ranges = model.actuator_ctrlrange if tool is None else np.zeros((0, 2))
    joints = np.stack([ranges.mean(axis=1), np.diff(ranges, axis=1)[:, 0] / 2])
    return Scene(b"".join(parts), geoms, sites, None if tool is None else model.site(tool).id, joints)


def _colours(model: Any, kind: str) -> Array:
    """(n, 4): the material's, unless the geom or site has a colour of its own."""
    colours = np.array(getattr(model, f"{kind}_rgba"))
    materials = getattr(model, f"{kind}_matid")
    plain = (materials >= 0) & np.all(colours == np.array([0.5, 0.5, 0.5, 1.0], np.float32), axis=1)
    colours[plain] = model.mat_rgba[materials[plain]]
    return colours


def _mesh(model: Any, mesh: int) -> Shape:
    """With its edges kept sharp, which the normals that MuJoCo computes do not."""
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    places = np.array(model.mesh_vert[first : first + count], float)
    first, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    faces = np.array(model.mesh_face[first : first + count])
    normals = _corner_normals(places, faces).round(3)
    corners = np.concatenate([faces.reshape(-1, 1), normals], axis=1)
    shared, triangles = np.unique(corners, axis=0, return_inverse=True)
    vertices = np.concatenate([places[shared[:, 0].astype(int)], shared[:, 1:]], axis=1)
    return Shape(vertices.astype(np.float32), triangles.reshape(-1, 3).astype(np.uint32))


def _corner_normals(places: Array, faces: Array) -> Array:
    """places: (V, 3).  faces: (T, 3).  (3 T, 3): at each corner, of the faces there that lie much alike."""
    a, b, c = np.moveaxis(places[faces], 1, 0)
    area = np.cross(b - a, c - a)
    normal = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-12)
    vertex, face = faces.ravel(), np.repeat(np.arange(len(faces)), 3)
    order = np.argsort(vertex, kind="stable")  # faces by the vertex that they meet at
    meeting = np.bincount(vertex, minlength=len(places))
    pairs = meeting[vertex]  # how many meet at each corner
    starts = np.cumsum(pairs) - pairs
    nth = np.arange(pairs.sum()) - np.repeat(starts, pairs)
    others = face[order][np.repeat((np.cumsum(meeting) - meeting)[vertex], pairs) + nth]
    own = np.repeat(face, pairs)
    alike = (normal[own] * normal[others]).sum(axis=1) > CREASE
    alike |= own == others
    summed = np.add.reduceat(np.where(alike[:, None], area[others], 0.0), starts)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.asarray(summed / np.maximum(length, 1e-30))


def _primitive(kind: Any, size: Array) -> Shape:
    """kind: of DRAWN_TYPES, and no mesh."""
    makers: dict[Any, Callable[[Array], Shape]] = {
        _SHAPES.mjGEOM_PLANE: lambda s: _plane(*(FLOOR_M, FLOOR_M) if _is_floor(s) else s[:2]),
        _SHAPES.mjGEOM_SPHERE: lambda s: _ball(np.repeat(s[0], 3), 0.0),
        _SHAPES.mjGEOM_ELLIPSOID: lambda s: _ball(s, 0.0),
        _SHAPES.mjGEOM_CAPSULE: lambda s: _ball(np.repeat(s[0], 3), float(s[1])),
        _SHAPES.mjGEOM_CYLINDER: lambda s: _cylinder(float(s[0]), float(s[1])),
        _SHAPES.mjGEOM_BOX: _box,
    }
    return makers[kind](size)


def _grid(rows: int, columns: int) -> Array:
    """Two triangles for each field of a grid of vertices, (2 (rows - 1)(columns - 1), 3)."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()[:, None]
    both = np.array([[0, 1, columns + 1], [0, columns + 1, columns]])
    return (first[:, :, None] + both).reshape(-1, 3).astype(np.uint32)


def _ball(radii: Array, half: float) -> Shape:
    """An ellipsoid, drawn out along z by `half` either way: a capsule."""
    polar = np.linspace(np.pi, 0, ROUND // 2 + 2)
    polar = np.sort(np.append(polar, np.pi / 2))[::-1] if half else polar  # the seam between both halves
    angle = np.linspace(0, 2 * np.pi, ROUND + 1)
    unit = np.stack(
        [
            np.outer(np.sin(polar), np.cos(angle)),
            np.outer(np.sin(polar), np.sin(angle)),
            np.outer(np.cos(polar), np.ones_like(angle)),
        ],
        axis=-1,
    )
    places, normals = unit * radii, unit / radii
    upper = np.arange(len(polar)) >= (len(polar) + 1) // 2
    places[..., 2] += np.where(upper, half, -half)[:, None]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    vertices = np.concatenate([places, normals], axis=-1).reshape(-1, 6)
    return Shape(vertices.astype(np.float32), _grid(len(polar), len(angle)))


def _cylinder(radius: float, half: float) -> Shape:
    angle = np.linspace(0, 2 * np.pi, ROUND + 1)
    around = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    up, centre = np.array([0.0, 0.0, 1.0]), np.zeros_like(around)
    rings = [  # bottom from its middle outwards, the side, top inwards
        (centre - half * up, -up + centre),
        (radius * around - half * up, -up + centre),
        (radius * around - half * up, around),
        (radius * around + half * up, around),
        (radius * around + half * up, up + centre),
        (centre + half * up, up + centre),
    ]
    vertices = np.concatenate([np.concatenate(ring, axis=1) for ring in rings])
    return Shape(vertices.astype(np.float32), _grid(len(rings), ROUND + 1))


def _is_floor(size: Array) -> bool:
    """Of a plane; 0: endless."""
    return bool(size[0] == 0 or size[0] >= FLOOR_FROM_M)


def _plane(x: float, y: float) -> Shape:
    corners = np.array([[-x, -y], [x, -y], [x, y], [-x, y]])
    vertices = np.concatenate([corners, np.tile([0.0, 0.0, 0.0, 1.0], (4, 1))], axis=1)
    return Shape(vertices.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.uint32))


def _box(half: Array) -> Shape:
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float)  # the face of +z
    sides = []
    for axis in range(3):
        turned = np.roll(square, axis + 1, axis=1)  # to +x, +y, +z
        normal = np.eye(3)[axis]
        sides += [(turned, normal), (turned[::-1] * (1 - 2 * normal), -normal)]
    faces = [np.concatenate([corners * half, np.tile(normal, (4, 1))], axis=1) for corners, normal in sides]
    triangles = np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(6)[:, None, None]
    return Shape(np.concatenate(faces).astype(np.float32), triangles.reshape(-1, 3).astype(np.uint32))
