"""Benchmarks by name: those of this package, and those that other packages register."""

from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from action_images.benchmarks.benchmark import Benchmark
from action_images.errors import ActionImagesError

GROUP = "action_images.worlds"
"""The entry point group in which a package registers a benchmark: `NAME = "package.module:BENCHMARK"`."""
DEFAULT = "tabletop"
"""The benchmark that is used if none is named."""

# Known without the package's metadata, which an editable install writes only when it is installed.
BUILT_IN = {
    "tabletop": EntryPoint("tabletop", "action_images.benchmarks.tabletop:TABLETOP", GROUP),
    "paper": EntryPoint("paper", "action_images.benchmarks.tabletop:PAPER", GROUP),
    "metaworld": EntryPoint("metaworld", "action_images.benchmarks.metaworld:METAWORLD", GROUP),
    "maniskill": EntryPoint("maniskill", "action_images.benchmarks.maniskill:MANISKILL", GROUP),
    "libero-pro": EntryPoint("libero-pro", "action_images.benchmarks.libero_pro:LIBERO_PRO", GROUP),
    "libero": EntryPoint("libero", "action_images.benchmarks.libero:LIBERO", GROUP),
    "robosuite": EntryPoint("robosuite", "action_images.benchmarks.robosuite:ROBOSUITE", GROUP),
}


def benchmark_names() -> tuple[str, ...]:
    """The names of all known benchmarks, whether or not their simulators are installed."""
    return tuple(dict.fromkeys([*BUILT_IN, *_registered()]))


def find_benchmark(name: str) -> Benchmark:
    """A benchmark by its name; its simulator need not be installed. This package's own names win.

    Raises ActionImagesError, with the nearest names, for a name that is not registered, and for one whose
    package cannot be imported.
    """
    registered = BUILT_IN.get(name) or _registered().get(name)
    if registered is None:
        raise ActionImagesError(f"there is no world '{name}'{_instead(name, benchmark_names())}")
    try:
        return registered.load()
    except ModuleNotFoundError as error:
        package = "its package" if registered.dist is None else registered.dist.name
        raise ActionImagesError(
            f"the world '{name}' is registered by {package}, which cannot be imported: {error}; "
            f"install {package} again, or remove it"
        ) from error


def missing_modules(benchmark: Benchmark) -> list[str]:
    """The modules that `make` needs and that are not installed."""
    return [module for module in benchmark.requires if find_spec(module) is None]


def installed_versions(benchmark: Benchmark) -> dict[str, str]:
    """The installed versions of the packages that a benchmark was tested with."""
    found = {}
    for package in benchmark.tried:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def untried(benchmark: Benchmark) -> str | None:
    """A sentence if other versions are installed than a benchmark was tested with; else None."""
    here = installed_versions(benchmark)
    others = [f"{name} {has} (tried: {benchmark.tried[name]})" for name, has in here.items()]
    others = [said for said, name in zip(others, here, strict=True) if here[name] != benchmark.tried[name]]
    if not others:
        return None
    return f"the world '{benchmark.name}' was never tried with {', '.join(others)}; its figures may differ"


def tasks_named(benchmark: Benchmark, names: Iterable[str]) -> tuple[str, ...]:
    """Tasks by name or by group: a suite, `trained`, `held_out`, or `all` of both.

    Raises ActionImagesError, with the nearest names, for any other name.
    """
    groups = {
        **benchmark.suites,
        "trained": benchmark.trained,
        "held_out": benchmark.held_out,
        "all": (*benchmark.trained, *benchmark.held_out),
    }
    found: list[str] = []
    for name in names:
        if name not in groups:
            require_task(benchmark, name)
        found += groups.get(name, (name,))
    return tuple(dict.fromkeys(found))


def require_installed(benchmark: Benchmark) -> None:
    """Raise ActionImagesError, with the command that installs it, if a simulator is not installed."""
    missing = missing_modules(benchmark)
    if missing:
        raise ActionImagesError(
            f"the world '{benchmark.name}' needs {', '.join(missing)}; install with: {benchmark.install}"
        )


def require_task(benchmark: Benchmark, task: str) -> None:
    """Raise ActionImagesError, with the nearest names, if a benchmark has no task of this name."""
    if task not in benchmark.tasks():
        said = _instead(task, (*benchmark.tasks(), *benchmark.suites))
        raise ActionImagesError(f"there is no task '{task}' in the world '{benchmark.name}'{said}")


@cache
def _registered() -> dict[str, EntryPoint]:
    return {registered.name: registered for registered in entry_points(group=GROUP)}


def _instead(name: str, known: Iterable[str]) -> str:
    """The end of a sentence with the nearest names, or with all names."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(known)}"
