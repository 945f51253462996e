"""Random changes of valid files: whatever comes of them, each command ends in order."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from forked import run
from inputs import INPUTS, Input, written
from verdicts import LIMIT_S, Attempt, judged

NUMBERS = (
    0,
    -1,
    1,
    255,
    2**31 - 1,
    2**31,
    2**63,
    10**9,
    10**30,
    0.5,
    -1e300,
    1e-300,
    float("nan"),
    float("inf"),
)
VALUES = (
    *NUMBERS,
    None,
    True,
    "",
    "x",
    "../../x",
    "/etc/passwd",
    "\x1b[31m",
    "[/v1]",
    "²",
    [],
    {},
    [[]],
    [0] * 9,
)
UNCHECKED = ("check.html", "*.lock", "sources.json")
"""Files that no command reads."""


def attack(scratch: Path, seconds: float, seed: int, inputs: tuple[Input, ...] = INPUTS) -> Iterator[Attempt]:
    """Change files of each kind in turn until the time is over."""
    rng, ends, whole = random.Random(seed), time.monotonic() + seconds, scratch / "whole"
    for one in inputs:
        written(one, whole / one.name, scratch / "first")
    number = 0
    while time.monotonic() < ends:
        one = inputs[number % len(inputs)]
        yield _once(one, whole / one.name, scratch / f"{number}", rng)
        shutil.rmtree(scratch / f"{number}")
        number += 1


def _once(one: Input, whole: Path, folder: Path, rng: random.Random) -> Attempt:
    shutil.copytree(whole, folder / "in", symlinks=True)
    (folder / "out").mkdir()
    files = [path for path in sorted((folder / "in").rglob("*")) if path.is_file() and _is_read(path)]
    path = rng.choice(files)
    before = path.read_bytes()
    how = rng.choice(CHANGES)
    how(path, rng)
    ended = run(one.command(folder / "in", folder / "out"), folder / "process", LIMIT_S)
    what = f"{path.relative_to(folder / 'in')}: {how.__name__.strip('_')}"
    changed = not path.is_file() or path.read_bytes() != before
    refused = changed and any(fnmatch(path.name, pattern) for pattern in one.checked)
    return judged(one.name, what, ended, (2,) if refused else (0, 1, 2))


def _is_read(path: Path) -> bool:
    return not any(fnmatch(path.name, pattern) for pattern in UNCHECKED)


def _some_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 6)):
        if content:
            # Headers lie at the beginning, of some formats at the end.
            place = rng.choice(
                (
                    rng.randrange(len(content)),
                    rng.randrange(min(len(content), 400)),
                    -1 - rng.randrange(min(len(content), 400)),
                )
            )
            content[place] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
    path.write_bytes(content)


def _cut_short(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randint(0, path.stat().st_size))


def _repeated(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    first, last = sorted(rng.randint(0, len(content)) for _ in range(2))
    path.write_bytes(content[:last] + content[first:last] * rng.randint(1, 3) + content[last:])


def _left_out(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    first = rng.randint(0, len(content))
    path.write_bytes(content[:first] + content[first + rng.randint(1, 64) :])


def _value(path: Path, rng: random.Random) -> None:
    """Another value in a json file, or another number in a text; bytes elsewhere."""
    if path.suffix not in (".json", ".jsonl", ".csv", ".txt", ".yaml", ".yml"):
        return _some_bytes(path, rng)
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    place = rng.randrange(len(lines)) if lines else 0
    try:
        lines[place] = json.dumps(_changed(json.loads(lines[place]), rng))
        path.write_text("\n".join(lines) + "\n")
    except (ValueError, IndexError):
        words = path.read_text().split(",")
        words[rng.randrange(len(words))] = str(rng.choice(VALUES))
        path.write_text(",".join(words))


def _changed(value: Any, rng: random.Random) -> Any:
    """The same json with one place changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def _link_to_a_device(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _nothing(path: Path, _: random.Random) -> None:
    path.unlink()


def _folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _circle(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


OFTEN = (_some_bytes, _value, _cut_short, _repeated, _left_out)
CHANGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(OFTEN * 4),
    *(_value,) * 4,
    _link_to_a_device,
    _pipe,
    _nothing,
    _folder,
    _circle,
)
