"""What a stranger installs: the wheel holds all that commands need, the lock names all that they take."""

import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from readme_renderer import markdown

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that holds the wheel's files as pip lays them, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder]
    subprocess.run([*pip, wheel], check=True)
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel):
    source = ROOT / "src"
    kept = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {str(Path(line).relative_to("src")) for line in kept.stdout.splitlines()}
    assert files >= {"action_images/py.typed", "action_images/reports/templates/style.css"}
    packed = zipfile.ZipFile(wheel)
    assert files <= set(packed.namelist())
    assert all(packed.read(name) == (source / name).read_bytes() for name in files)


def test_the_installed_wheel_runs_from_its_entry_points(installed):
    script = installed / "bin" / "action-images"
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"}
    where = "import action_images, sys; print(action_images.__file__)"
    found = subprocess.run([sys.executable, "-c", where], env=environment, capture_output=True, text=True)
    assert Path(found.stdout.strip()).parent == installed / "action_images"
    helped = subprocess.run(
        [sys.executable, script, "--help"], env=environment, capture_output=True, text=True
    )
    assert helped.returncode == 0, helped.stderr
    assert "draw" in helped.stdout
    (metadata,) = installed.glob("*.dist-info")
    worlds = Distribution.at(metadata).entry_points.select(group="action_images.worlds")
    assert [world.name for world in worlds] == ["tabletop"]


def test_the_page_of_the_package_renders_as_on_the_index(installed):
    (folder,) = installed.glob("*.dist-info")
    metadata = Distribution.at(folder).metadata
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(metadata.get_payload())
    assert page is not None
    assert re.search("<h1[^>]*>Action Images", page)
    assert page.count("<table>") >= 3


def test_every_python_that_is_promised_is_named(installed):
    (folder,) = installed.glob("*.dist-info")
    metadata = Distribution.at(folder).metadata
    named = re.findall(r"Python :: 3\.(\d+)$", "\n".join(metadata.get_all("Classifier")), re.MULTILINE)
    assert metadata["Requires-Python"] == f">=3.{named[0]}"
    assert [int(number) for number in named] == list(range(int(named[0]), int(named[-1]) + 1))


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """The packages that one of `name` with these extras takes, itself included, in this environment."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    names = {name}
    for line in distribution(name).requires or ():
        one = Requirement(line)
        asked = {
            extra: one.marker is None or one.marker.evaluate({"extra": extra}) for extra in extras | {""}
        }
        # What torch takes besides belongs to its build: for CUDA it is another list than for the CPU.
        if any(asked.values()) and name != "torch":
            names |= needed(canonicalize_name(one.name), frozenset(one.extras), seen)
    return names


def test_the_lock_holds_every_package_in_the_version_that_is_installed():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    locked = {canonicalize_name(name): version for name, version in pins}
    names = needed("action-images", frozenset({"dev"}), set()) - {"action-images"}
    installed = {name: distribution(name).version.partition("+")[0] for name in names}
    assert len(names) > 50
    assert {name: version for name, version in installed.items() if locked.get(name) != version} == {}
