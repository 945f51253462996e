"""kill -9 at random moments of the commands that write: gone on with, they end as if undisturbed."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from forked import Running, run
from inputs import evaluate, foreign, train, write_models, write_own
from verdicts import LIMIT_S

from action_images.files.lock import LOCK

TIMES = {
    "seconds",
    "state_sha256",
    "samples_per_second",
    "plan_ms",
    "stage_ms",
    "planning_ms",
    "time",
    "date",
}
"""Fields of json files that tell of times, and differ between two runs."""
MOST_KILLS = 5
"""Of one folder, before its command is let go on to the end."""


@dataclass(frozen=True)
class Writer:
    """A command that writes: what it needs, and its arguments with (inputs, folder to write)."""

    name: str
    write: Callable[[Path], object]
    command: Callable[[Path, Path], list[str | Path]]


@dataclass(frozen=True)
class Round:
    """Some kills of one folder, then the run to the end; what is wrong with what it left."""

    writer: str
    num_kills: int
    moments: tuple[float, ...]
    """When it was killed: seconds after its beginning."""
    wrong: tuple[str, ...]


def _recording(_: Path, out: Path) -> list[str | Path]:
    size = ["--size", "32", "--every", "8", "--views", "2", "--workers", "1"]
    return ["record", "--task", "reach_target", "--episodes", "5", *size, "--out", out]


def _importing(inputs: Path, out: Path) -> list[str | Path]:
    return ["import", inputs / "set", "--workers", "0", "--out", out]


def _write_labelled(inputs: Path) -> None:
    write_own(inputs)
    write_models(inputs)


def _labelling(inputs: Path, out: Path) -> list[str | Path]:
    return ["label", inputs / "set", "--model", inputs / "model", "--out", out]


WRITERS = (
    Writer("record", lambda _: None, _recording),
    Writer("import", lambda inputs: foreign.write_rlbench(inputs / "set"), _importing),
    Writer("label", _write_labelled, _labelling),
    Writer("train", write_own, lambda inputs, out: train(inputs / "set", out, num_steps=12)),
    Writer("evaluate", lambda _: None, lambda _, out: evaluate(out, num_trials=6)),
)


def attack(
    scratch: Path, kills_each: int, seed: int, writers: tuple[Writer, ...] = WRITERS
) -> Iterator[Round]:
    """Kill each command so many times; several times in one folder before it is let go on."""
    for writer in writers:
        rng, folder = random.Random(f"{seed} {writer.name}"), scratch / writer.name
        (folder / "in").mkdir(parents=True)
        writer.write(folder / "in")
        # In the same place: pages name the folder that they lie in.
        whole = run(writer.command(folder / "in", folder / "out"), folder / "process", LIMIT_S)
        if whole.code != 0:
            raise RuntimeError(f"{writer.name} undisturbed: code {whole.code}: {whole.errors}")
        expected, left = _content(folder / "out"), kills_each
        shutil.rmtree(folder / "out")
        while left:
            one = _round(writer, folder, min(left, rng.randint(1, MOST_KILLS)), whole.seconds, rng, expected)
            left -= one.num_kills
            yield one
            shutil.rmtree(folder / "out")


def _round(
    writer: Writer, folder: Path, wanted: int, seconds: float, rng: random.Random, expected: dict[str, str]
) -> Round:
    out, moments = folder / "out", []
    arguments = writer.command(folder / "in", out)
    wrong: list[str] = []
    while len(moments) < wanted:
        running = Running.start(arguments, folder / "process")
        moment = rng.uniform(0.0, seconds)
        time.sleep(moment)
        running.kill()
        ended = running.wait(LIMIT_S)
        if ended.code not in (0, -signal.SIGKILL):
            wrong.append(f"does not go on: code {ended.code}: {ended.errors.strip()[-300:]}")
            break
        if ended.code == 0 and moments:  # what was left to do was done before the kill came
            break
        if ended.code == 0:
            shutil.rmtree(out)
            continue
        moments.append(round(moment, 3))
        if "a process" in ended.leftovers:
            wrong.append("a process outlives the kill")
        shutil.rmtree(folder / "process" / "tmp")
    ended = run(arguments, folder / "process", LIMIT_S)
    if ended.code != 0:
        wrong.append(f"does not go on: code {ended.code}: {ended.errors.strip()[-300:]}")
    else:
        wrong += _differences(expected, _content(out))
    return Round(writer.name, len(moments), tuple(moments), tuple(wrong))


def _differences(expected: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"{name} is lost"
        elif name not in expected:
            yield f"{name} is left behind"
        elif found[name] != expected[name]:
            yield f"{name} differs"


def _content(folder: Path) -> dict[str, str]:
    """What a folder holds, by file, without times, and without empty files of locks."""
    return {
        path.relative_to(folder).as_posix(): "a folder" if path.is_dir() else _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.name != LOCK
    }


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_timeless(json.loads(content))).encode()
    elif path.suffix == ".jsonl":
        # Steps that were done again after a kill stand there twice: the last counts.
        rows = [_timeless(json.loads(line)) for line in content.splitlines()]
        last = {json.dumps(row.get("step", row)): row for row in rows if "validation" not in row}
        content = json.dumps(list(last.values())).encode()
    return sha256(content).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items() if name not in TIMES}
    return [_timeless(one) for one in value] if isinstance(value, list) else value
