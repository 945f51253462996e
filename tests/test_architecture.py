"""The table of who may import whom (docs/architecture.md), enforced on every import, those inside functions too."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "action_images"


def allowed() -> dict[str, set[str] | None]:
    """Unit -> units that it may import (None: anything), read from the very table that people read."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("## Who may import whom")[1].split("\n## ")[0]
    rules: dict[str, set[str] | None] = {}
    for units, imports in re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", table, re.MULTILINE)[1:]:
        names = (
            None
            if imports == "anything"
            else set(re.sub(r"\(.*?\)", "", imports).replace(" ", "").split(","))
        )
        for unit in units.replace(" ", "").split(","):
            rules[unit] = names
    return rules


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_units(path: Path) -> set[str]:
    """The units of this package that a file imports anywhere in it."""
    units: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            if node.module == "action_images":
                units.update(alias.name for alias in node.names)
            elif node.module and node.module.startswith("action_images."):
                units.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            units.update(
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("action_images.")
            )
    return units


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_import_stands_in_the_table(path: Path):
    unit = unit_of(path)
    if unit in ("__init__", "__main__", "structs", "errors"):
        assert not imported_units(path) - {"cli", "errors"}
        return
    rules = allowed()
    assert unit in rules, f"{unit} has no row in docs/architecture.md"
    if rules[unit] is not None:
        foreign = imported_units(path) - {unit, "structs", "errors"} - rules[unit]
        assert not foreign, (
            f"{path.relative_to(ROOT)} imports {sorted(foreign)}; {unit} may import {sorted(rules[unit])}"
        )


def test_the_table_has_no_cycles():
    rules = {unit: names or set() for unit, names in allowed().items()}

    def reach(unit: str, path: tuple[str, ...]) -> None:
        assert unit not in path, f"cycle: {' -> '.join((*path, unit))}"
        for other in rules.get(unit, set()):
            reach(other, (*path, unit))

    for unit in rules:
        reach(unit, ())


def test_every_file_says_its_one_idea_first():
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())), (
            f"{path} has no first line that says what it is"
        )


@pytest.mark.parametrize(
    "module", ["action_images", "action_images.geometry", "action_images.codec", "action_images.robot"]
)
def test_the_light_rooms_load_no_heavy_library(module: str):
    heavy = {
        "diffusers",
        "transformers",
        "accelerate",
        "peft",
        "mujoco",
        "gymnasium",
        "pyarrow",
        "av",
        "scipy",
        "h5py",
        "cv2",
    }
    heavy.add("matplotlib")
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {heavy}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not loaded
