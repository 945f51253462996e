"""`import action_images as ai`: every name is there, typed, and loaded when it is used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import action_images as ai

SOURCE = Path(ai.__file__).read_text()


def typed_names() -> dict[str, str]:
    """The names that type checkers see, and the module that each comes from."""
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    names = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        names |= {alias.name: str(node.module) for alias in node.names}
    return names


def test_type_checkers_and_users_see_the_same_names():
    lazy = {name: f"action_images.{module}" for module, names in ai._PLACES.items() for name in names}
    assert typed_names() == lazy
    assert sorted(ai.__all__) == sorted(lazy)
    assert dir(ai) == sorted([*lazy, "__version__"])


@pytest.mark.parametrize("name", ai.__all__)
def test_every_name_is_what_its_module_has(name: str):
    assert getattr(ai, name) is getattr(importlib.import_module(typed_names()[name]), name)


def test_no_name_hides_a_room():
    rooms = {path.stem for path in Path(ai.__file__).parent.iterdir()}
    assert not rooms & set(ai.__all__)


def test_importing_the_package_loads_no_library():
    code = "import sys, action_images; print(*sorted({'torch', 'numpy', 'rich', 'tyro'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == []


def test_rooms_are_attributes_too():
    assert ai.geometry.Pose is ai.Pose


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'drew'"):
        ai.drew  # noqa: B018


def test_a_missing_package_is_named_with_the_line_that_installs_it():
    code = "import sys; sys.modules['pyarrow'] = None; import action_images as ai; ai.Dataset"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert shown.splitlines()[-1] == (
        "ModuleNotFoundError: action_images.Dataset needs pyarrow, which is not installed; the extra 'data' "
        "brings it: pip install 'action-images[data]', in a clone pip install '.[data]'"
    )


def test_the_readme_shows_the_example_word_for_word():
    root = Path(__file__).parents[1]
    example = (root / "examples" / "00_hello.py").read_text().split('"""\n\n', 1)[1].strip()
    assert f"```python\n{example}\n```" in (root / "README.md").read_text()
