"""Print what is installed, whether graphics and GPUs work, and what each command lacks.

action-images doctor
action-images doctor --quick
"""

from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from typing import Annotated

import tyro

RENDERS = "from action_images.sim import Tabletop; Tabletop('reach_target', size=(64, 64)).reset(0)"
RENDER_S = 120.0


def main(*, quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False) -> int:
    """Exits with code 1 if something that is installed does not work.

    Args:
        quick: Do not load torch and do not render: neither GPUs nor graphics are tested.
    """
    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    broken = False
    for name, told, is_well in _machine(quick=quick):
        broken |= not is_well
        console.print(f"{name:<11} ", style="bold", end="")
        console.print(told, style=None if is_well else "red", soft_wrap=True)
    console.print()
    missing = _print_extras(console)
    _print_commands(console, missing)
    return int(broken)


def _machine(*, quick: bool) -> Iterator[tuple[str, str, bool]]:
    """Name of each test, its outcome, and whether it passed."""
    import os
    import platform
    import shutil

    import action_images

    yield "python", f"{platform.python_version()} on {platform.platform(terse=True)}", True
    yield "package", f"action-images {action_images.__version__}", True
    free = shutil.disk_usage(".").free / 1e9
    yield "machine", f"{os.cpu_count()} processors, {free:.0f} GB free on this disk", True
    if quick:
        yield "torch", f"{version('torch')}, not loaded", True
        return
    yield ("torch", *_torch())
    yield ("video", *_video())
    yield ("models", *_models())
    yield ("graphics", *_graphics())


def _torch() -> tuple[str, bool]:
    import torch

    if not torch.cuda.is_available():
        built = "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
        return f"{torch.__version__}, {built}, sees no GPU: commands run on the processor", True
    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    told = ", ".join(f"{one.name} ({one.total_memory / 1e9:.0f} GB)" for one in devices)
    return f"{torch.__version__}, CUDA {torch.version.cuda}: {told}; choose one with --device cuda", True


def _video() -> tuple[str, bool]:
    import av

    has = "libx264" in av.codecs_available
    return (
        f"PyAV {av.__version__}, {'writes H.264' if has else 'has no libx264: no video can be written'}",
        has,
    )


def _models() -> tuple[str, bool]:
    from action_images.errors import ActionImagesError
    from action_images.model.shipped import models_folder

    try:
        folder = models_folder("shipped")
    except ActionImagesError as error:
        return str(error), False
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"the shipped models are there ({size / 1e6:.0f} MB)", True


def _graphics() -> tuple[str, bool]:
    """Whether the embedded world renders, tested in another process because a driver may crash it."""
    import subprocess
    import sys

    if _version("mujoco") is None:
        return "not tried: MuJoCo is not installed", True
    try:
        ended = subprocess.run(
            [sys.executable, "-c", RENDERS], capture_output=True, text=True, timeout=RENDER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"MuJoCo did not render a picture within {RENDER_S:.0f} s", False
    if ended.returncode == 0:
        return f"MuJoCo {_version('mujoco')} renders", True
    last = (ended.stderr.strip().splitlines() or [f"it ended with code {ended.returncode}"])[-1]
    return last.partition(": ")[2] or last, False


def _print_extras(console) -> set[str]:
    """Print a table of the extras; returns those that lack something."""
    from rich.table import Table

    from action_images.extras import EXTRAS

    table = Table("extra", "installed", "missing", box=None, pad_edge=False)
    missing = set()
    for extra, modules in EXTRAS.items():
        found = {module: _version(module) for module in modules}
        lacks = [module for module, there in found.items() if there is None]
        missing |= {extra} if lacks else set()
        has = ", ".join(f"{module} {there}" for module, there in found.items() if there is not None)
        table.add_row(extra, has, ", ".join(lacks), style="yellow" if lacks else None)
    console.print(table)
    return missing


def _print_commands(console, missing: set[str]) -> None:
    from action_images.extras import NEEDS, install_line

    console.print()
    if not missing:
        told = "All that commands need is installed"
        console.print(f"{told}. Look around with: action-images demo")
    for commands, needed in NEEDS.items():
        extras = [one for one in needed if one in missing]
        if not extras:
            continue
        line = install_line(",".join(extras))
        console.print(f"{commands}: needs {', '.join(extras)}: {line}", soft_wrap=True)


def _version(module: str) -> str | None:
    """The version of the package that provides a module; None if it is not installed."""
    if not _KNOWN:
        _KNOWN.update(packages_distributions())
    names = _KNOWN.get(module)
    return version(names[0]) if names else None


_KNOWN: dict[str, list[str]] = {}
"""Module -> the packages that provide it, looked up once."""
