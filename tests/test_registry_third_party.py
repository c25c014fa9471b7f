"""Robots of other distributions: found by their entry point, configured and run like ours."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_orl import registry
from robot_orl.compose import build, choices
from robot_orl.errors import UsageError
from robot_orl.registry import factory

MODULE = '''
from dataclasses import dataclass

from robot_orl.registry import register
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """A robot of somebody else's."""

    name: str = setting("{name}", "")
    speed: float = setting(0.5, "how fast", low=0, high=1)


@register("robot", "{name}", Config)
class Arm:
    def __init__(self, cfg, task):
        self.cfg = cfg
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Distributions of which one offers a sound robot and the others offer what is not."""

    def write(distribution: str, entries: str, modules: dict[str, str]) -> None:
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[robot_orl.robots]\n{entries}\n")
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)

    registry.discover("robot")  # ours register once only, when they are imported
    write("lab_arms", "lab_arm = lab_arm", {"lab_arm": MODULE.format(name="lab_arm")})
    write("broken_arms", "no_arm = no_arm\nsim = other_sim", {"no_arm": "import not_installed_anywhere\n"})
    write("other_arms", "misnamed = misnamed", {"misnamed": MODULE.format(name="another")})
    monkeypatch.syspath_prepend(str(tmp_path))
    tables = (registry._factories, registry._schemas, registry._broken, registry._theirs)
    before = [table.copy() for table in tables]
    yield
    for table, known in zip(tables, before, strict=True):
        table.clear()
        table.update(known)  # type: ignore[arg-type]
    for module in ("lab_arm", "misnamed"):
        sys.modules.pop(module, None)


@pytest.mark.usefixtures("install")
def test_a_robot_of_another_distribution_is_chosen_and_configured_like_ours() -> None:
    assert "lab_arm" in choices("robot")
    cfg = build("deploy", ["bundle=b", "robot=lab_arm", "robot.speed=0.25"])
    made = factory("robot", cfg.robot.name)(cfg.robot, None)
    assert type(made).__module__ == "lab_arm"
    assert made.cfg.speed == 0.25


@pytest.mark.usefixtures("install")
def test_its_fields_are_checked_like_ours() -> None:
    with pytest.raises(UsageError, match=r"^speed=2\.0 is outside 0 \.\. 1$"):
        build("deploy", ["bundle=b", "robot=lab_arm", "robot.speed=2"])
    with pytest.raises(UsageError, match=r"no field of robot 'sped'; did you mean 'speed'\?"):
        build("deploy", ["bundle=b", "robot=lab_arm", "robot.sped=1"])


@pytest.mark.usefixtures("install")
def test_one_that_cannot_be_loaded_costs_only_itself_and_says_why() -> None:
    assert "no_arm" not in choices("robot")
    assert build("deploy", ["bundle=b", "robot=sim"]).robot.name == "sim"
    with pytest.raises(UsageError, match=r"^robot 'no_arm' cannot be loaded: no_arm of broken_arms: Module"):
        build("deploy", ["bundle=b", "robot=no_arm"])
    with pytest.raises(UsageError, match=r"misnamed of other_arms registers no robot of this name$"):
        build("deploy", ["bundle=b", "robot=misnamed"])


@pytest.mark.usefixtures("install")
def test_nobody_takes_the_place_of_a_built_in_robot() -> None:
    choices("robot")
    assert factory("robot", "sim").__module__ == "robot_orl.deploy.robots.sim_arm"
    assert registry._broken[("robot", "sim")] == "other_sim of broken_arms has the name of a built-in one"
