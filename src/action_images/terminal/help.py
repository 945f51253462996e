"""The output of `--help`: the commands by group; for one command its purpose, examples and options."""

import ast
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

from action_images.terminal.groups import grouped

WIDEST = 100


def overview(commands: dict[str, Path]) -> str:
    """All commands, by groups."""
    width = max(map(len, commands))
    lines = ["usage: action-images COMMAND [--help] ...", ""]
    for group, names in grouped(list(commands)).items():
        lines.append(f"{group}:")
        lines += [_entry(f"  {name:<{width}}  ", purpose(commands[name])) for name in names]
        lines.append("")
    lines.append("`action-images COMMAND --help` shows its examples and options.")
    return "\n".join(lines)


def command_help(path: Path, command: Callable, options: str) -> str:
    """A command's purpose, examples, usage, description and options."""
    usage, _, rest = options.partition("\n")
    text = _paragraphs(command.__doc__ or "")
    first = purpose(path)
    parts = [_wrapped(first)]
    if shown := examples(path):
        parts.append("\n".join(map(_command_line, shown)))
    indent = " " * len("usage: ")
    # Replace the long list of names, which stands below, by NAME.
    parts.append(_wrapped(re.sub(r"\{[^}]{60,}\}", "NAME ...", usage), indent))
    parts += [_wrapped(one) for one in text if not _same(one, first)]
    return "\n\n".join([*parts, rest.strip("\n")])


def purpose(path: Path) -> str:
    """A command's purpose: the first line of its file, which is read without importing the file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().strip().removeprefix('"""').removesuffix('"""')


def examples(path: Path) -> list[str]:
    """The example command lines below the first line of the file."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return [
        " ".join(line.split()) for line in docstring.splitlines() if line.strip().startswith("action-images ")
    ]


def _paragraphs(docstring: str) -> list[str]:
    told = re.split(r"\n\s*Args:\n", docstring)[0]
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", told) if part.strip()]


def _same(paragraph: str, first: str) -> bool:
    """Whether a paragraph only repeats the purpose."""
    return first.rstrip(".").startswith(paragraph.rstrip("."))


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, _columns(), subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _command_line(text: str) -> str:
    """An example; a long one is broken into several lines that a shell accepts."""
    if len(text) <= _columns() - 2:
        return f"  {text}"
    # Keep an option on one line with its value.
    bound = re.sub(r"(--[\w-]+) (?!-)", "\\1\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(bound, _columns() - 8, break_on_hyphens=False, break_long_words=False)
    broken = " \\\n".join([f"  {lines[0]}", *(f"      {line}" for line in lines[1:])])
    return broken.replace("\N{NO-BREAK SPACE}", " ")


def _entry(start: str, text: str) -> str:
    return textwrap.fill(
        text,
        _columns(),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
        break_long_words=False,
    )
