"""HTML pages that need no other file, rendered from the templates beside this file."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from action_images.files.atomic import write_text
from action_images.reports.theme import FILM_KEY, TOOL_KEY


def write_page(path: Path, template: str, **values: Any) -> int:
    """Render a template of `templates/` into a file, completely or not at all; returns its size (bytes).

    All values are escaped, so a stranger's instruction, id or file name is always shown as text.
    """
    page = environment().get_template(template).render(values)
    write_text(path, page)
    return path.stat().st_size


@cache
def environment() -> Environment:
    """The loader of templates, with their filters."""
    made = Environment(
        loader=PackageLoader("action_images.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "p_value": p_value, "ms": milliseconds}
    made.globals |= {"tool_key": TOOL_KEY, "film_key": FILM_KEY}
    return made


def percent(rate: float) -> str:
    """A rate in [0, 1], as in '85 %'."""
    return f"{100 * rate:.0f} %"


def p_value(value: float) -> str:
    """A probability in three decimals, as in '0.012' or '< 0.001'."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    """A time in three digits; a dash if none was measured."""
    if value is None:
        return "–"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
