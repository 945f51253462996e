"""The rooms and who may import whom, as docs/architecture.md says, enforced on every import of every file."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from draw_architecture import FIGURE, allowed_imports, draw, graph_of

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "action_images"
PAGE = ROOT / "docs" / "architecture.md"


def allowed() -> dict[str, set[str] | None]:
    """Unit -> units that it may import (None: anything), read from the very table that people read."""
    return allowed_imports(PAGE.read_text())


def named_files() -> dict[str, set[str]]:
    """Room -> the files that its row of the page names, as paths without their suffix."""
    rooms = PAGE.read_text().split("## Rooms")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)(?:/|\.py)` \| .*? \| (.*?) ?\|$", rooms, re.MULTILINE)
    return {room: set(re.findall(r"`([a-z0-9_/]+)`", files)) for room, files in rows}


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
    if unit == "__init__":
        return  # test_exports.py: it names what others define, and imports nothing until that is used
    if unit in ("__main__", "structs", "errors", "extras", "device"):
        assert not imported_units(path) - {"cli", "errors", "structs"}
        return
    rules = allowed()
    assert unit in rules, f"{unit} has no row in docs/architecture.md"
    if rules[unit] is not None:
        foreign = imported_units(path) - {unit, "structs", "errors", "extras", "device"} - rules[unit]
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


def test_every_source_file_is_named_on_the_page_and_every_name_is_a_file():
    named = named_files()
    for room in {unit_of(path) for path in FILES} - {"__init__", "__main__"}:
        folder = SOURCE / room
        paths = (path.relative_to(folder) for path in folder.rglob("*.py") if path.stem != "__init__")
        files = {str(path.with_suffix("")) for path in paths}
        assert room in named, f"{room} has no row among the rooms of docs/architecture.md"
        assert named[room] == files, f"docs/architecture.md, room {room}: {sorted(named[room] ^ files)}"


def test_the_figure_is_the_one_that_the_table_draws(tmp_path: Path):
    draw(graph_of(allowed()), tmp_path / "figure.svg")
    arrows = [path.read_text().count("patch_") for path in (FIGURE, tmp_path / "figure.svg")]
    assert arrows[0] == arrows[1], "run: python scripts/draw_architecture.py"


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
