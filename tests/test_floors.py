"""Imports only go down. Read from the source of every file, imports inside functions included.

The floors of `robot_orl`, lowest first; a module may import its own floor and those below, and within a
floor nothing goes round in circles:

    words      what everything is said in: no project part knows less
    data       episodes on disk and in RAM, and tasks by their Gymnasium id
    nn, deploy networks; the robot's side, which neither trains nor loads PyTorch
    agents     algorithms; and rollout, the only loop that steps a task
    training   what makes an agent; and policies, which finds one by its path; curation, which checks, mends
               and selects datasets; interop, the formats of others
    front      configuration, commands, report, command line
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("robot_orl", "envs", "data_collection")
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "types",
        "schema",
        "registry",
        "statistics",
        "seeds",
        "interrupt",
        "progress",
        "mirror",
        "intervention",
    ),
    ("data", "tasks"),
    ("nn", "deploy"),
    ("agents", "rollout"),
    ("training", "policies", "curation", "interop"),
    ("config", "compose", "plain", "help", "composed_help", "report", "benchmark", "commands", "cli"),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
BELOW_TRAINING = {name for names in FLOORS[:4] for name in names}


@dataclass(frozen=True)
class Import:
    """importer and imported: dotted module names. is_local: inside a function. is_typing: for types only."""

    importer: str
    imported: str
    line: int
    is_local: bool
    is_typing: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def files() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    return {
        module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
    }


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for name, path in files().items() for found in read(name, path.read_text()))


def read(module: str, source: str) -> Iterator[Import]:
    """Every import in a source text; `from a import b` means a.b where that is a module."""

    def walk(node: ast.AST, is_local: bool, is_typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}:{child.lineno} is a relative import"
                assert child.module is not None
                inner = [f"{child.module}.{alias.name}" for alias in child.names]
                names = sorted({name if name in files() else child.module for name in inner})
            else:
                local = is_local or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                typing = is_typing or (
                    isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
                )
                yield from walk(child, local, typing)
                continue
            for name in names:
                yield Import(module, name, child.lineno, is_local, is_typing)

    yield from walk(ast.parse(source), False, False)


def part(module: str) -> str:
    """robot_orl.data.sampling.replay -> data"""
    return module.split(".")[1]


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def listed(violations: list[Import]) -> str:
    return "\n".join(map(str, violations))


def reachable(start: str, through: tuple[Import, ...]) -> dict[str, list[Import]]:
    """Every module that is loaded by loading `start`, with the way there; a package's parents included."""
    paths: dict[str, list[Import]] = {start: []}
    queue = [start]
    while queue:
        module = queue.pop()
        for found in through:
            if found.importer == module and found.imported not in paths:
                paths[found.imported] = [*paths[module], found]
                queue.append(found.imported)
    return paths


def test_every_part_has_its_floor() -> None:
    parts = {part(name) for name in files() if inside(name, "robot_orl") and "." in name}
    assert parts - FLOOR_OF.keys() == set(), "give new parts a floor in this file"
    assert FLOOR_OF.keys() - parts == set(), "floors of parts that are gone"


def test_imports_only_go_down() -> None:
    violations = [
        found
        for found in imports()
        if inside(found.importer, "robot_orl") and found.imported.startswith("robot_orl.")
        if found.importer == "robot_orl" or FLOOR_OF[part(found.imported)] > FLOOR_OF[part(found.importer)]
    ]
    assert not violations, listed(violations)


def test_networks_and_robots_do_not_know_each_other() -> None:
    violations = [
        found
        for found in imports()
        for one, other in (("nn", "deploy"), ("deploy", "nn"))
        if inside(found.importer, f"robot_orl.{one}") and inside(found.imported, f"robot_orl.{other}")
    ]
    assert not violations, listed(violations)


def test_no_imports_go_round_in_circles() -> None:
    """Not even through imports inside functions; only imports for types may look up."""
    real = tuple(found for found in imports() if not found.is_typing and found.imported in files())
    circles = [
        found
        for found in real
        if found.imported == found.importer or found.importer in reachable(found.imported, real)
    ]
    assert not circles, listed(circles)


def test_robot_orl_knows_tasks_and_collectors_only_at_the_command_line() -> None:
    violations = [
        found
        for found in imports()
        if inside(found.importer, "robot_orl")
        if inside(found.imported, "envs") or inside(found.imported, "data_collection")
        if not (found.is_local and part(found.importer) in ("cli", "commands", "demo"))
    ]
    assert not violations, listed(violations)


def test_tasks_know_the_words_only() -> None:
    words = {f"robot_orl.{name}" for name in ("types", "errors", "schema", "registry", "mirror")}
    violations = [
        found
        for found in imports()
        if inside(found.importer, "envs")
        if inside(found.imported, "data_collection")
        or (inside(found.imported, "robot_orl") and found.imported not in words)
    ]
    assert not violations, listed(violations)


def test_collectors_know_nothing_of_training() -> None:
    """They find a policy by its path, through `policies`, take tasks by their ids, label as `curation`."""
    allowed = BELOW_TRAINING | {"policies", "curation"}
    violations = [
        found
        for found in imports()
        if inside(found.importer, "data_collection")
        if inside(found.imported, "envs")
        or (found.imported.startswith("robot_orl.") and part(found.imported) not in allowed)
    ]
    assert not violations, listed(violations)


def test_the_words_know_no_heavy_library() -> None:
    heavy = {"torch", "zarr", "gymnasium", "mujoco", "onnxruntime", "cv2", "matplotlib"}
    violations = [
        found
        for found in imports()
        if inside(found.importer, "robot_orl") and found.importer != "robot_orl"
        if part(found.importer) in FLOORS[0] and found.imported.split(".")[0] in heavy
    ]
    assert not violations, listed(violations)


@pytest.mark.parametrize("start", sorted(name for name in files() if inside(name, "robot_orl.deploy")))
def test_deployment_never_reaches_pytorch(start: str) -> None:
    """Through whatever it imports, inside of functions too."""
    real = tuple(found for found in imports() if not found.is_typing)
    ways = reachable(start, real)
    assert start in ways
    for module, way in ways.items():
        forbidden = module.split(".")[0] == "torch" or any(
            inside(module, f"robot_orl.{name}") for name in ("nn", "agents", "training")
        )
        assert not forbidden, listed(way)


def test_the_reader_of_imports_sees_every_kind() -> None:
    source = """
import os, envs.fetch as f
from robot_orl.data.store import lock
from robot_orl.types import Spec
if TYPE_CHECKING:
    from robot_orl.training.runs.run import Run
class A:
    def method(self):
        if True:
            import torch.nn
try:
    import zarr
except ImportError:
    pass
"""
    assert [(i.imported, i.line, i.is_local, i.is_typing) for i in read("m", source)] == [
        ("os", 2, False, False),
        ("envs.fetch", 2, False, False),
        ("robot_orl.data.store.lock", 3, False, False),
        ("robot_orl.types", 4, False, False),
        ("robot_orl.training.runs.run", 6, False, True),
        ("torch.nn", 10, True, False),
        ("zarr", 12, False, False),
    ]
    with pytest.raises(AssertionError, match="m:1 is a relative import"):
        list(read("m", "from . import x"))
