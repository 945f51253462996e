"""Code that must be decoded is refused: nested comprehensions, and booleans without their name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "bench", "examples", "scripts")
SHAPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
STILL_NESTED: dict[str, int] = {
    "src/action_images/cli/calibrate.py": 1,
    "src/action_images/cli/compare.py": 4,
    "src/action_images/cli/inspect_codec.py": 1,
    "src/action_images/cli/record.py": 1,
    "src/action_images/cli/replay.py": 1,
    "src/action_images/cli/watch.py": 1,
    "src/action_images/episodes/checks/agreement.py": 3,
    "src/action_images/episodes/checks/check.py": 1,
    "src/action_images/episodes/checks/tables.py": 1,
    "src/action_images/episodes/lerobot_layout.py": 2,
    "src/action_images/episodes/readers/recordings.py": 1,
    "src/action_images/episodes/writer.py": 3,
    "src/action_images/model/convert.py": 1,
    "src/action_images/model/hub.py": 2,
    "src/action_images/serving/messages.py": 2,
    "src/action_images/training/log.py": 2,
    "src/action_images/training/migration.py": 1,
    "src/action_images/training/setup.py": 2,
    "src/action_images/training/validation.py": 1,
    "bench/choosing.py": 1,
}
"""Files that still have nested comprehensions, and how many. It only ever gets shorter."""
STILL_POSITIONAL: dict[str, int] = {
    "src/action_images/cli/describe.py": 2,
    "src/action_images/cli/draw.py": 2,
    "src/action_images/cli/evaluate.py": 2,
    "src/action_images/cli/generate.py": 1,
    "src/action_images/cli/imagine.py": 1,
    "src/action_images/cli/read.py": 1,
    "src/action_images/episodes/video_index.py": 1,
    "src/action_images/inference/label.py": 1,
    "src/action_images/model/backbones/wan.py": 3,
    "src/action_images/model/conditioning/conditioned.py": 1,
    "src/action_images/model/cost.py": 1,
    "src/action_images/serving/messages.py": 1,
    "src/action_images/training/checkpoint.py": 1,
    "src/action_images/training/dry_run.py": 1,
    "src/action_images/training/engine.py": 1,
}
"""Files that still have positional booleans, and how many. It only ever gets shorter."""


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


def beyond(listed: dict[str, int], found: dict[str, int]) -> dict[str, int]:
    """The files that have more than the list allows them."""
    return {file: number for file, number in found.items() if number > listed.get(file, 0)}


def test_no_comprehension_is_nested_but_those_still_listed():
    assert beyond(STILL_NESTED, counts(nested_comprehensions, FOLDERS)) == {}


def test_no_boolean_is_positional_but_those_still_listed():
    assert beyond(STILL_POSITIONAL, counts(positional_booleans, FOLDERS)) == {}


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
