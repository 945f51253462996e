"""Code that must be decoded is refused: nested comprehensions, and booleans without their name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "bench", "examples", "scripts")
SHAPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def nested_comprehensions(tree: ast.AST) -> Iterator[int]:
    """The lines of comprehensions with two `for`s, or with another one in the element that they make."""
    for node in ast.walk(tree):
        if isinstance(node, SHAPES) and (len(node.generators) > 1 or any(map(makes_one, elements(node)))):
            yield node.lineno


def elements(comprehension: ast.AST) -> list[ast.expr]:
    if isinstance(comprehension, ast.DictComp):
        return [comprehension.key, comprehension.value]
    return [comprehension.elt]


def makes_one(element: ast.expr) -> bool:
    return any(isinstance(node, SHAPES) for node in ast.walk(element))


def positional_booleans(tree: ast.AST) -> Iterator[int]:
    """The lines of parameters that are booleans and may be given without their name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parameters = [*node.args.posonlyargs, *node.args.args]
            yield from (one.lineno for one in parameters if is_boolean(one.annotation))


def is_boolean(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "bool"


def counts(find, folders: tuple[str, ...]) -> dict[str, int]:
    """How many a file has, for every file that has any."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if number := len(list(find(ast.parse(path.read_text())))):
                found[str(path.relative_to(ROOT))] = number
    return found


def test_no_comprehension_is_nested():
    assert counts(nested_comprehensions, FOLDERS) == {}


def test_no_boolean_is_positional():
    assert counts(positional_booleans, FOLDERS) == {}


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("[x for x in y]", 0),
        ("[f(x) for x in g(z for z in y)]", 0),
        ("[x for row in rows for x in row]", 1),
        ("[[x for x in row] for row in rows]", 1),
        ("{k: sum(x for x in v) for k, v in d.items()}", 1),
        ("any(max(x for x in row) for row in rows)", 1),
    ],
)
def test_nested_comprehensions_are_found(code, number):
    assert len(list(nested_comprehensions(ast.parse(code)))) == number


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("def f(a: int, *, b: bool = True): ...", 0),
        ("def f(a: bool | None): ...", 0),
        ("def f(a: int, b: bool): ...", 1),
        ("class A:\n    def f(self, a: bool = False, b: bool = True): ...", 2),
    ],
)
def test_positional_booleans_are_found(code, number):
    assert len(list(positional_booleans(ast.parse(code)))) == number


def test_no_two_test_files_share_a_name():
    """Folders of tests are no packages: pytest stops at the second of two files of one name."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
