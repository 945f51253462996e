"""docs/adding.md does what it says: each diff is applied to a copy of the package, and run there."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding.md").read_text()
SECTIONS = {text.partition("\n")[0]: text for text in PAGE.split("\n## ")[1:]}


def blocks(section: str, kind: str) -> list[str]:
    """What stands in the fenced blocks of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_the_table_and_the_sections_name_the_same_additions():
    linked = re.findall(r"^\| \[(.*?)\]", PAGE, re.MULTILINE)
    assert [name.lower() for name in SECTIONS] == linked


NEEDS = {"A public simulator": "panda_gym"}
"""What the lines of a section need beside this package's own requirements."""


@pytest.mark.parametrize("name", SECTIONS)
def test_an_addition_is_the_diff_that_the_page_shows(name: str, tmp_path: Path):
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}: make test-env-{NEEDS[name]} makes an environment with it")
    (diff,), (lines,) = blocks(SECTIONS[name], "diff"), blocks(SECTIONS[name], "python try")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    apply = ["git", "apply", "--recount", "--whitespace=error", "-"]
    subprocess.run(apply, cwd=tmp_path, input=diff, text=True, check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    run = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
