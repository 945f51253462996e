"""Parse a command's arguments by its typed `main`; a mistake becomes one line that says what is wrong."""

import ast
import functools
import inspect
import io
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Optional, get_args, get_origin, get_type_hints

import tyro

from action_images.errors import among, did_you_mean
from action_images.terminal.choices import Preset, Sampling

LONGEST_WORD = 64
NAMES = {"preset": get_args(Preset), "sampling": get_args(Sampling)}
"""Option -> the names that it takes, wherever it takes text."""
UNSAID = ("", "None")
"""Defaults that help leaves out: the option's text says what happens without it."""
WORDS = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
BOX, RULE = re.compile(r"[│╭╮╰╯]"), re.compile(r"\s*[-─]{20,}\s*")
"""Characters of the boxes that tyro draws."""


class Mistake(Exception):
    """The arguments are wrong; the message is one sentence."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call of a command."""

    positional: tuple[Any, ...]
    named: dict[str, Any]

    def by_name(self, command: Callable) -> dict[str, Any]:
        """All arguments by the names of the command's parameters."""
        return dict(inspect.signature(command).bind(*self.positional, **self.named).arguments)


def parsed(command: Callable, given: list[str], prog: str) -> Arguments:
    """The arguments of a command line; raises Mistake if they do not fit the command."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            return tyro.cli(_collector(command, told=False), args=given, prog=prog)
    except SystemExit:
        raise Mistake(_sentence(said.getvalue(), command, given, prog)) from None
    finally:
        _restore()


def options_text(command: Callable, given: list[str], prog: str) -> str:
    """Usage and options, which `--help` of a command shows below its purpose."""
    said = io.StringIO()
    with redirect_stdout(said):
        try:
            tyro.cli(_collector(command, told=True), args=given, prog=prog, description="")
        except SystemExit:
            lines = [line.rstrip() for line in BOX.sub(" ", said.getvalue()).splitlines()]
            return "\n".join(_headed(lines))
        finally:
            _restore()
    raise AssertionError("--help ends a command")


def _headed(lines: list[str]) -> Iterator[str]:
    """tyro's boxes as plain lines: a heading ends with a colon and has no rule below it."""
    for line, below in pairwise([*lines, ""]):
        if RULE.fullmatch(line):
            continue
        yield f"{line.strip()}:" if RULE.fullmatch(below) and line.strip() else line


def _collector(command: Callable, *, told: bool) -> Callable[..., Arguments]:
    """A function with the same parameters that returns its arguments; its types are those tyro shows best.

    `told`: include the texts of all parameters, which take time to look up.
    """

    def collect(*positional: Any, **named: Any) -> Arguments:
        return Arguments(positional, named)

    collect = inspect.unwrap(collect)  # type checks added by a decorator would hide what is set below
    texts = argument_texts(command.__doc__ or "") if told else {}
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    shown = {
        name: _shown(name, hint, texts.get(name, ""), told=told)
        for name, hint in hints.items()
        if name != "return"
    }
    parameters = [
        one.replace(annotation=shown.get(name, one.annotation)) for name, one in signature.parameters.items()
    ]
    collect.__annotations__ = {**shown, "return": Arguments}
    collect.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=Arguments
    )
    return collect


def _shown(name: str, hint: Any, text: str, *, told: bool) -> Any:
    """A type with the words that help shows for it. Changes groups of options in place."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    members = [one for one in get_args(bare) if one is not NoneType]
    for one in (bare, *members):
        one = get_args(one)[0] if get_origin(one) is Annotated else one
        if isinstance(one, type) and is_dataclass(one):
            _show_fields(one, told=told)
            return hint
    bare, members = _chosen(name, bare), [_chosen(name, one) for one in members]
    optional = NoneType in get_args(bare) and len(members) == 1
    word = _word(members[0] if optional else bare)
    if word is not None and len(word) > LONGEST_WORD:
        text = f"{text.rstrip('. ')}. One of: {', '.join(word.strip('[{}] .').split(','))}."
        word = name.upper().join(("[", " ...]")) if word.startswith("[") else name.upper()
    # `Optional[X]`, not `X | None`: tyro then compares types itself and need not load typeguard.
    plain = Optional[members[0]] if optional else bare  # noqa: UP045
    said = tyro.conf.arg(metavar=word, help=text or None, help_behavior_hint=_default)
    extras = getattr(hint, "__metadata__", ())
    if get_origin(plain) is tuple and Ellipsis in members and (spec := _several(members[0])) is not None:
        return Annotated[(tuple, spec, said, *extras)]
    return Annotated[(plain, said, *extras)]


def _several(member: Any) -> tyro.constructors.PrimitiveConstructorSpec | None:
    """How to parse a tuple of any length; None if tyro handles its members' type better.

    tyro compares the defaults of such tuples with typeguard, which takes longer to load than tyro itself.
    """
    member = get_args(member)[0] if get_origin(member) is Annotated else member
    choices = get_args(member) if get_origin(member) is Literal else None
    make = str if choices else member
    if make not in WORDS:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=str(_word(tuple[member, ...])),
        instance_from_str=lambda words: tuple(make(word) for word in words),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [str(one) for one in value],
        choices=choices,
    )


def _chosen(name: str, hint: Any) -> Any:
    """Narrow text to the names that options of this name take, if they are known."""
    names = NAMES.get(name)
    if names is None:
        return hint
    if hint is str:
        return Literal[names]
    if get_origin(hint) is tuple and get_args(hint) == (str, ...):
        return tuple[Literal[names], ...]
    return hint


def _show_fields(group: type, *, told: bool) -> None:
    own = _FIELDS.setdefault(group, get_type_hints(group, include_extras=True))
    texts = field_texts(group) if told else {}
    group.__annotations__ = {
        name: _shown(name, hint, texts.get(name, ""), told=told) for name, hint in own.items()
    }


def _restore() -> None:
    """Restore the original types of the groups of options, by which recipes are read from files."""
    for group, own in _FIELDS.items():
        group.__annotations__ = own


_FIELDS: dict[type, dict[str, Any]] = {}
"""The original types of the fields of groups of options."""


def argument_texts(docstring: str) -> dict[str, str]:
    """The docstring's text for each argument, in one line each."""
    _, _, told = docstring.partition("Args:\n")
    texts: dict[str, str] = {}
    for line in inspect.cleandoc(told).splitlines():
        begun = re.match(r"(\w+): (.*)", line)
        if begun:
            texts[begun.group(1)] = begun.group(2)
        elif line.startswith(" ") and texts:
            texts[next(reversed(texts))] += f" {line.strip()}"
    return texts


def field_texts(group: type) -> dict[str, str]:
    """The texts below the fields of a dataclass and of its base classes, in one line each."""
    texts: dict[str, str] = {}
    for one in reversed(group.__mro__):
        if is_dataclass(one):
            body = next(node for node in _classes(inspect.getfile(one)) if node.name == one.__name__).body
            for field, below in pairwise(body):
                value = below.value if isinstance(below, ast.Expr) else None
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(value, ast.Constant)
                ):
                    texts[field.target.id] = " ".join(str(value.value).split())
    return texts


@functools.cache
def _classes(path: str) -> list[ast.ClassDef]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def _word(hint: Any) -> str | None:
    """How a value of this type is shown; None if tyro shows the type well."""
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if hint in WORDS:
        return WORDS[hint]
    origin, members = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "{" + ",".join(map(str, members)) + "}"
    if origin in (tuple, list):
        words = [_word(one) for one in members if one is not Ellipsis]
        if None in words:
            return None
        several = origin is list or Ellipsis in members
        return f"[{words[0]} ...]" if several else " ".join(map(str, words))
    return None


def _default(label: str) -> str:
    return "" if label in UNSAID else f"(default: {label})"


def _sentence(said: str, command: Callable, given: list[str], prog: str) -> str:
    """tyro's error message in one line, or unchanged if its form is not known."""
    sections = _sections(said)
    text, see_help = sections[0] if sections else "", f"see {prog} --help"
    subcommands = re.search(r"(?:Available subcommands: |Expected one of \{)([^}]*)", " ".join(sections[:2]))
    if subcommands:
        there = [one.strip() for one in subcommands.group(1).split(",") if one.strip() != "none"]
        word = next((one for one in given if not one.startswith("-")), None)
        if word is None:
            return f"give one of {', '.join(there)}; {see_help}"
        if word not in there:
            return f"there is no '{word}'{among(word, there)}"
    known = _options(command, given, prog)
    named = [one.partition("=")[0] for one in given if one.startswith("--")]
    wrong = next((one for one in named if one not in known), None)
    if wrong is not None:
        return f"there is no option {wrong}{did_you_mean(wrong, known) or f'; {see_help}'}"
    if text.startswith("Missing from"):
        entries = text.partition(": ")[2].split("(required)")
        names = [entry.split()[0] for entry in entries if entry.strip()]
        return f"needs {' and '.join(names)}; {see_help}"
    if choice := re.match(r"invalid choice '(.*?)' for argument '(.*?)'\. Expected one of \((.*)\)", text):
        value, option, names = choice.groups()
        there = [one for one in re.findall(r"'(.*?)'", names) if one != "None"]
        return f"{option}: there is no '{value}'{among(value, there)}"
    if other := re.match(r"Unrecognized options: (.*)", text):
        return f"does not take {other.group(1)}; {see_help}"
    if value := re.match(r"Error parsing (\S+): (.*)", text):
        return f"{value.group(1)}: {value.group(2)}; {see_help}"
    return f"{text}; {see_help}" if text else said


def _sections(said: str) -> list[str]:
    """The parts of tyro's error box below its title, in one line each."""
    lines = [BOX.sub(" ", line) for line in said.splitlines() if line.strip()][1:]
    parts = [[]]
    for line in lines:
        if RULE.fullmatch(line):
            parts.append([])
        else:
            parts[-1] += line.split()
    return [" ".join(part) for part in parts if part]


def _options(command: Callable, given: list[str], prog: str) -> list[str]:
    """All options that a command line that begins with these words may have."""
    # A word before the first option may choose a subcommand.
    first = [one for one in given[:1] if not one.startswith("-")]
    for words in (first, []):
        try:
            text = options_text(command, [*words, "--help"], prog)
        except AssertionError:
            continue
        if found := re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*", text):
            return sorted({*found, "--help"})
    return ["--help"]
