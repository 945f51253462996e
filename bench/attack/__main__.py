"""Attacks on files, servers and processes: what is promised in docs/security.md, tried; loopback only.

python bench/attack [--parts files mutations server kills] [--minutes 5] [--kills 40] [--json FILE] [--seed 0]
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import hostile
import kills
import mutations
import servers
from rich.box import SIMPLE
from rich.table import Table

from action_images.files.atomic import write_json
from action_images.terminal.console import PlainConsole

PARTS = ("files", "mutations", "server", "kills")


@dataclass
class Part:
    """What came of one part of the attacks: a row for each kind, and every failure in words."""

    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def files(scratch: Path, _: argparse.Namespace) -> Part:
    """Hostile files of strangers."""
    return _of_attempts(hostile.attack(scratch))


def mutated(scratch: Path, asked: argparse.Namespace) -> Part:
    """Random changes of valid files."""
    return _of_attempts(mutations.attack(scratch, 60 * asked.minutes, asked.seed))


def _of_attempts(attempts) -> Part:
    part, by_kind = Part(), {}
    for one in attempts:
        by_kind.setdefault(one.kind, []).append(one)
        if one.wrong is not None:
            part.failures.append(f"{one.kind}: {one.what}: {one.wrong}")
            print(part.failures[-1], file=sys.stderr, flush=True)
    for kind, those in by_kind.items():
        codes = Counter(one.code for one in those)
        row = {"kind": kind, "tried": len(those), "failed": sum(one.wrong is not None for one in those)}
        row |= {"in one sentence": codes[2], "done or told": codes[0] + codes[1]}
        row |= {"longest s": max(one.seconds for one in those), "most MB": max(one.peak_mb for one in those)}
        part.rows.append(row)
    return part


def server(scratch: Path, asked: argparse.Namespace) -> Part:
    """Bad clients, all kinds at once."""
    seen = servers.attack(scratch, 60 * (asked.server_minutes or asked.minutes), asked.seed)
    lists = ("attacks", "wrong", "each_minute_mb")
    told = {name: value for name, value in asdict(seen).items() if name not in lists}
    figures = [{"of the server": name, "figure": value} for name, value in told.items()]
    minutes = [{"minute": minute, "MB": mb} for minute, mb in enumerate(seen.each_minute_mb, 1)]
    kinds = [{"kind": name, "times": number} for name, number in seen.attacks.items()]
    return Part(0.0, [*figures, *minutes, *kinds], [f"server: {wrong}" for wrong in seen.wrong])


def killed(scratch: Path, asked: argparse.Namespace) -> Part:
    """kill -9 of what writes."""
    part, by_writer = Part(), {}
    wanted = tuple(one for one in kills.WRITERS if not asked.writers or one.name in asked.writers)
    for one in kills.attack(scratch, asked.kills, asked.seed, wanted):
        by_writer.setdefault(one.writer, []).append(one)
        for wrong in one.wrong:
            part.failures.append(f"{one.writer}, killed at {one.moments} s: {wrong}")
            print(part.failures[-1], file=sys.stderr, flush=True)
    for name, rounds in by_writer.items():
        kept = sum(not one.wrong for one in rounds)
        num_kills = sum(one.num_kills for one in rounds)
        part.rows.append(
            {"command": name, "kills": num_kills, "gone on with": len(rounds), "as undisturbed": kept}
        )
    return part


RUN: dict[str, Callable[[Path, argparse.Namespace], Part]] = {
    "files": files,
    "mutations": mutated,
    "server": server,
    "kills": killed,
}


def main() -> int:
    """Run the parts that are asked for; the code is 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python bench/attack", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, default=5.0, help="of mutations, and of the server")
    parser.add_argument("--server-minutes", type=float, help="of the server, where not the same")
    parser.add_argument("--kills", type=int, default=40, help="of each command that writes")
    parser.add_argument("--writers", nargs="+", default=(), help="which of these commands; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("bench/results/attack.json"))
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    parts: dict[str, Part] = {}
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        for name in asked.parts:
            began = time.monotonic()
            parts[name] = RUN[name](Path(folder) / name, asked)
            parts[name].seconds = round(time.monotonic() - began, 1)
            _show(name, parts[name])
    results = {name: asdict(part) for name, part in parts.items()}
    write_json(asked.json, {"seed": asked.seed, "parts": results})
    return 1 if any(part.failures for part in parts.values()) else 0


def _show(name: str, part: Part) -> None:
    console = PlainConsole()
    console.print(f"{name}: {part.seconds:.0f} s, {len(part.failures)} failures")
    for columns in dict.fromkeys(tuple(row) for row in part.rows):
        table = Table(*columns, box=SIMPLE)
        for row in part.rows:
            if tuple(row) == columns:
                table.add_row(
                    *(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values())
                )
        console.print(table)
    for failure in part.failures:
        console.print(f"failed: {failure}", style="red", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
