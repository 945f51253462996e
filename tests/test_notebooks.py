"""Each notebook runs from its first cell to its last, in a folder of its own, in a real kernel."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_from_its_first_cell_to_its_last(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    codes = [cell.outputs[-1].data["text/plain"] for cell in notebook.cells if _ends_with_a_command(cell)]
    assert all(code in ("0", "1") for code in codes), codes


def test_there_are_four_and_they_are_stored_without_what_they_print():
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells), path.name


def _ends_with_a_command(cell) -> bool:
    return cell.cell_type == "code" and cell.source.splitlines()[-1].startswith("command(")
