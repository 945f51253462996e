"""The `action-images` command line: one file of this folder for each command, found by its name."""

import ast
import importlib
import os
import sys
from pathlib import Path

COMMANDS = {
    path.stem.strip("_").replace("_", "-"): path
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem != "__init__"
}
"""Command -> its file, whose first line says what the command does and whose `main` takes its typed arguments."""

EXTRAS = {
    "data": ("h5py", "pyarrow"),
    "sim": ("gymnasium", "mujoco"),
    "model": ("accelerate", "diffusers", "peft", "safetensors", "transformers"),
    "serve": ("msgpack", "prometheus_client", "websockets"),
    "train": ("tensorboard",),
    "deepspeed": ("deepspeed",),
    "judge": ("cv2", "torchmetrics"),
    "ray": ("pandas", "ray"),
    "view": ("PIL", "matplotlib", "scipy"),
    "calibrate": ("cv2", "scipy"),
}
"""Extra of the package -> what is imported of it. A missing module is said by the command's own extra, else the first."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the process's exit code.

    Bad input, or a package of an extra that is missing, ends in one line on stderr and code 2; ACTION_IMAGES_TRACEBACK=1
    shows where it was raised.
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

    try:
        run = importlib.import_module(f"action_images.cli.{COMMANDS[command].stem}").main
        return tyro.cli(run, args=arguments, prog=f"action-images {command}") or 0
    except (ValueError, OSError) as error:
        if os.environ.get("ACTION_IMAGES_TRACEBACK"):
            raise
        print(f"action-images {command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = next((name for name in (command, *EXTRAS) if missing in EXTRAS.get(name, ())), None)
        if extra is None or os.environ.get("ACTION_IMAGES_TRACEBACK"):
            raise
        cure = f"pip install 'action-images[{extra}]', in a clone pip install '.[{extra}]'"
        print(
            f"action-images {command}: needs {missing}, which is not installed; the extra '{extra}' brings it: {cure}",
            file=sys.stderr,
        )
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
