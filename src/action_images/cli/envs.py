"""List the simulators for recording and judging: what each needs, and whether it is installed.

action-images envs
action-images envs metaworld
"""

from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from action_images.benchmarks import Benchmark
    from action_images.terminal.console import PlainConsole


def main(env: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> None:
    """Without ENV, lists all worlds. With ENV, lists their tasks, groups of tasks, rigs, looks and seeds.

    `--env NAME` or `--env NAME/TASK` chooses one in record, replay, watch, evaluate, judge-plans,
    judge-simulator, demo and tasks. A group of tasks has a name too: `--env metaworld/mt10`.

    Args:
        env: Which worlds.
    """
    from action_images.benchmarks import benchmark_names, find_benchmark
    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    if not env:
        _list([find_benchmark(name) for name in benchmark_names()], console)
    for name in env:
        _describe(find_benchmark(name), console)


def _list(benchmarks: "list[Benchmark]", console: "PlainConsole") -> None:
    from rich.table import Table

    table = Table("world", "tasks", "here", "what it is", box=None, pad_edge=False)
    for benchmark in benchmarks:
        num_tasks = str(len(benchmark.tasks()))
        table.add_row(benchmark.name, num_tasks, _here(benchmark), benchmark.description)
    console.print(table)
    for benchmark in benchmarks:
        if _lacks(benchmark):
            console.print(f"\n{benchmark.name}: {_lacks(benchmark)}", soft_wrap=True)


def _describe(benchmark: "Benchmark", console: "PlainConsole") -> None:
    lacks = _lacks(benchmark)
    console.print(f"{benchmark.name}: {benchmark.description}", soft_wrap=True)
    console.print(f"  here: {_here(benchmark)}{f'; {lacks}' if lacks else ''}", soft_wrap=True)
    for group, tasks in {"trained": benchmark.trained, "held_out": benchmark.held_out}.items():
        console.print(f"  {group}: {', '.join(tasks) or 'none'}", soft_wrap=True)
    for group, tasks in benchmark.suites.items():
        console.print(f"  {group}: {len(tasks)} tasks", soft_wrap=True)
    console.print(f"  rigs: {', '.join(benchmark.rigs)}", soft_wrap=True)
    console.print(f"  looks: {', '.join(benchmark.looks) or 'one'}", soft_wrap=True)
    console.print(f"  seeds: {benchmark.seeds.meaning}", soft_wrap=True)
    console.print(f"  done: for {benchmark.steady_steps} control steps in a row", soft_wrap=True)


def _lacks(benchmark: "Benchmark") -> str:
    """What is missing, with the command that installs it; empty if nothing is missing."""
    from action_images.benchmarks import missing_modules

    missing = missing_modules(benchmark)
    return f"needs {', '.join(missing)}; install with: {benchmark.install}" if missing else ""


def _here(benchmark: "Benchmark") -> str:
    from action_images.benchmarks import untried

    if _lacks(benchmark):
        return "not installed"
    return "another version" if untried(benchmark) else "installed"
