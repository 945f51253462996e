"""What a command says where a package of an extra is not installed."""

import sys
from pathlib import Path

import pytest
import tomllib

from action_images.cli import BUG, main
from action_images.extras import EXTRAS


@pytest.mark.parametrize("missing", EXTRAS["judge"])
def test_a_missing_package_is_one_line_that_names_its_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch, missing: str
):
    (tmp_path / "set" / "meta").mkdir(parents=True)
    (tmp_path / "set" / "meta" / "info.json").write_text("{}")
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["judge-clips", str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"needs {missing}, which is not installed" in said
    assert "pip install 'action-images[judge]'" in said
    assert said.count("\n") == 1


def test_a_command_of_an_extras_name_asks_for_that_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
):
    monkeypatch.setitem(sys.modules, "action_images.reports.report", None)
    monkeypatch.setitem(EXTRAS, "report", ("action_images",))
    monkeypatch.setitem(EXTRAS, "other", ("action_images",))
    assert main(["report", str(tmp_path)]) == 2
    assert "pip install 'action-images[report]'" in capsys.readouterr().err


def test_a_module_of_no_extra_is_a_fault_of_ours(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "action_images.cli.read", None)
    assert main(["read", str(tmp_path)]) == BUG
    assert "ModuleNotFoundError" in capsys.readouterr().err


def test_every_extra_is_known():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"demo", "dev", "docs"}
