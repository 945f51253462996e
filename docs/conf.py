"""The docs as a site that opens from the disk: `make docs`, then out/site/index.html."""

import re
from pathlib import Path

from sphinx.application import Sphinx

import action_images

project = "Action Images"
version = release = action_images.__version__
author = copyright = "the Action Images authors"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = "Action Images"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
smartquotes = False
# Blocks of diffs and of several languages are shown as they are.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "imported-members": True}

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = {"index": "README.md", "changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
"""Page -> the file of the repository that it shows, before what stands in the page's own file."""


def setup(app: Sphinx) -> None:
    """Tell Sphinx what differs here: pages that stand elsewhere, and docstrings in Markdown."""
    app.connect("source-read", _read_elsewhere)
    app.connect("autodoc-process-docstring", _as_restructured_text)


def _read_elsewhere(app: Sphinx, page: str, source: list[str]) -> None:
    del app
    text = source[0]
    if page in ELSEWHERE:
        shown = (ROOT / ELSEWHERE[page]).read_text()
        # Folders, and pages of the repository that are none of the site, are named without a link.
        shown = re.sub(r"\[([^\]]+)\]\((notebooks|src/[^)]*\.md)\)", r"\1", shown)
        shown = re.sub(r"\]\((?!https?:|#|docs/)", "](../", shown)
        text = shown.replace("](docs/", "](") + "\n" + text
    for target, name in ELSEWHERE.items():
        text = re.sub(rf"\]\((\.\./)?{name}", f"]({target}.md", text)
    source[0] = text


def _as_restructured_text(
    app: Sphinx, kind: str, name: str, thing: object, options: dict[str, bool], lines: list[str]
) -> None:
    del app, kind, name, thing, options
    for number, line in enumerate(lines):
        starred = line.replace("*", r"\*")
        lines[number] = re.sub(r"`([^`]+)`", lambda code: f"``{code[1].replace(chr(92), '')}``", starred)
