"""Shapes of a model as triangles, against what is known of them."""

import json

import mujoco
import numpy as np
import pytest

from data_collection.viewer.scene import Scene, Shape, scene_of

XML = """
<mujoco>
  <asset><mesh name="wedge" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/><material name="red" rgba="1 0 0 1"/></asset>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 1"/>
    <body pos="1 2 3" euler="0 0 90">
      <geom name="box" type="box" size="0.1 0.2 0.3" material="red"/>
      <geom name="ball" type="sphere" size="0.5" rgba="0 1 0 0.5"/>
      <geom name="egg" type="ellipsoid" size="0.1 0.2 0.3"/>
      <geom name="rod" type="cylinder" size="0.1 0.4"/>
      <geom name="pill" type="capsule" size="0.1 0.4"/>
      <geom name="wedge" type="mesh" mesh="wedge"/>
      <geom name="unseen" type="sphere" size="0.5" rgba="0 1 0 0"/>
      <geom name="contact" type="sphere" size="0.5" group="3"/>
      <site name="tool" pos="0.5 0 0" group="4"/>
      <site name="goal" pos="0 0 1" size="0.01"/>
    </body>
  </worldbody>
</mujoco>
"""
DRAWN = ("floor", "box", "ball", "egg", "rod", "pill", "wedge")
PI = np.pi
VOLUMES = {  # [m^3], by the formulas of geometry
    "box": 8 * 0.1 * 0.2 * 0.3,
    "ball": 4 / 3 * PI * 0.5**3,
    "egg": 4 / 3 * PI * 0.1 * 0.2 * 0.3,
    "rod": PI * 0.1**2 * 0.8,
    "pill": PI * 0.1**2 * 0.8 + 4 / 3 * PI * 0.1**3,
    "wedge": 1 / 6,
}


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture(scope="module")
def scene(model: mujoco.MjModel) -> Scene:
    return scene_of(model, "tool", {"view": "front"})


def unpacked(scene: Scene) -> tuple[dict, list[Shape]]:
    size = int(np.frombuffer(scene.packed, np.uint32, 1)[0])
    header, at = json.loads(scene.packed[4 : 4 + size]), 4 + size
    vertices, triangles = [], []
    for shape in header["shapes"]:
        vertices.append(np.frombuffer(scene.packed, np.float32, 6 * shape["vertices"], at).reshape(-1, 6))
        at += 24 * shape["vertices"]
    for shape in header["shapes"]:
        triangles.append(np.frombuffer(scene.packed, np.uint32, 3 * shape["triangles"], at).reshape(-1, 3))
        at += 12 * shape["triangles"]
    assert at == len(scene.packed)
    return header, [Shape(*both) for both in zip(vertices, triangles, strict=True)]


def corners(shape: Shape) -> np.ndarray:
    """(T, 3 corners, 3) m."""
    return shape.vertices[shape.triangles][..., :3].astype(float)


def test_what_mujoco_hides_is_not_drawn_and_the_tool_is_known_all_the_same(
    model: mujoco.MjModel, scene: Scene
) -> None:
    header, _ = unpacked(scene)
    assert [model.geom(i).name for i in scene.geoms] == list(DRAWN)
    assert [model.site(i).name for i in scene.sites] == ["goal"]
    assert header["tool"] == len(DRAWN) + 1 == scene.rows - 1
    assert header["view"] == "front"


def test_a_height_field_is_left_out_and_the_rest_drawn() -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><asset><hfield name="hills" nrow="2" ncol="2" size="1 1 1 0.1"/></asset><worldbody>'
        '<geom type="hfield" hfield="hills"/><geom name="box" type="box" size="1 1 1"/></worldbody></mujoco>'
    )
    scene = scene_of(model, None, {})
    assert [model.geom(i).name for i in scene.geoms] == ["box"]
    assert len(unpacked(scene)[0]["items"]) == 1


def test_a_geom_has_its_materials_colour_unless_it_has_its_own(scene: Scene) -> None:
    items = dict(zip(DRAWN, unpacked(scene)[0]["items"], strict=False))
    assert items["box"]["rgba"] == [1, 0, 0, 1]
    assert items["ball"]["rgba"] == [0, 1, 0, 0.5]
    assert [name for name, item in items.items() if item["is_floor"]] == ["floor"]


@pytest.mark.parametrize("name", VOLUMES)
def test_triangles_enclose_the_shapes_volume_and_look_outwards(name: str, scene: Scene) -> None:
    header, shapes = unpacked(scene)
    shape = shapes[header["items"][DRAWN.index(name)]["shape"]]
    a, b, c = np.moveaxis(corners(shape), 1, 0)
    volume = (np.cross(a, b) * c).sum() / 6  # by the divergence theorem; negative if it looked inwards
    assert volume == pytest.approx(VOLUMES[name], rel=0.03)
    facing = np.cross(b - a, c - a)
    areas = np.linalg.norm(facing, axis=1)
    whole = areas > 1e-9  # at a pole two corners are the same
    normals = shape.vertices[shape.triangles][..., 3:].mean(axis=1)
    assert ((facing * normals).sum(axis=1)[whole] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(shape.vertices[:, 3:], axis=1), 1.0, atol=2e-3)


def test_poses_say_where_geoms_sites_and_the_tool_are(model: mujoco.MjModel, scene: Scene) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    moment = scene.moment(data)
    assert moment.nbytes == scene.size == 4 * 12 * scene.rows
    poses = moment.reshape(-1, 12)
    np.testing.assert_allclose(poses[-2, :3], [1, 2, 4], atol=1e-6)  # the goal, 1 m above its body
    np.testing.assert_allclose(poses[-1, :3], [1, 2.5, 3], atol=1e-6)  # the tool, in front of a turned body
    np.testing.assert_allclose(poses[-1, 3:], [0, -1, 0, 1, 0, 0, 0, 0, 1], atol=1e-6)
