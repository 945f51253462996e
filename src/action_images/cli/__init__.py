"""The `action-images` command line: one file of this folder for each command, found by its name."""

import ast
import importlib
import os
import sys
from pathlib import Path

COMMANDS = {path.stem.strip("_").replace("_", "-"): path for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem != "__init__"}
"""Command -> its file, whose first line says what the command does and whose `main` takes its typed arguments."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit code.

    Bad input ends in one line on stderr and code 2; ACTION_IMAGES_TRACEBACK=1 shows where it was raised.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    command, *rest = arguments
    if command == "--version":
        from action_images import __version__

        print(__version__)
        return 0
    if command not in COMMANDS:
        print(f"action-images: no command '{command}'; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return _run(command, rest)


def _run(command: str, arguments: list[str]) -> int:
    import tyro

    run = importlib.import_module(f"action_images.cli.{COMMANDS[command].stem}").main
    try:
        return tyro.cli(run, args=arguments, prog=f"action-images {command}") or 0
    except (ValueError, OSError) as error:
        if os.environ.get("ACTION_IMAGES_TRACEBACK"):
            raise
        print(f"action-images {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"action-images {command}: interrupted", file=sys.stderr)
        return 130


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {_first_line(path)}" for name, path in COMMANDS.items()]
    return "\n".join(["usage: action-images COMMAND [--help] ...", "", *lines])


def _first_line(path: Path) -> str:
    # Read, not imported: the overview must not wait for torch.
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
