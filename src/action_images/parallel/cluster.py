"""Work on numbered items, done here or by the workers of a Ray cluster, with results in order."""

import logging
import os
import pickle
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from action_images.errors import ActionImagesError
from action_images.parallel.pool import visible_cards
from action_images.parallel.processes import OnProcesses

Result = TypeVar("Result")
Work = Callable[[int], Result]
"""Makes an item's result from its number alone; all other inputs were given at its start."""
Place = Literal["local", "processes", "ray"]
MOST_DEATHS = 3
"""An item whose process has died this often is not retried: it would kill one process after the other."""


@runtime_checkable
class Executor(Protocol):
    """A place for work: `begin` creates the work once in every process; results come in the items' order."""

    def __call__(self, begin: Callable[[], Work[Result]], items: Sequence[int]) -> Iterator[Result]: ...


def here(begin: Callable[[], Work[Result]], items: Sequence[int]) -> Iterator[Result]:
    """Work in this process, each item when it is requested."""
    if not items:
        return
    work = begin()
    yield from map(work, items)


@dataclass(frozen=True)
class OnRay:
    """Work on Ray Data's workers, each with its own number of processors and graphics cards.

    Joins the cluster that RAY_ADDRESS names, or one that runs on this machine; otherwise starts one here and
    ends it after the last result. `begin` and results travel between machines, so they must be picklable, and
    the package must be installed on all of them. A killed worker is restarted and its unfinished items are
    redone, so repeating an item must be harmless. `num_workers` None: as many as the cluster has room for.
    Raises ValueError if Ray is not installed, and OSError, naming the item, if its process has died
    MOST_DEATHS times.
    """

    num_workers: int | None = None
    num_cpus: int = 1
    num_gpus: float = 0

    def __post_init__(self) -> None:
        if self.num_cpus < 1 or self.num_gpus < 0 or (self.num_workers is not None and self.num_workers < 1):
            raise ActionImagesError(
                f"{self}: a worker has at least one processor, and there is at least one worker"
            )

    def __call__(self, begin: Callable[[], Work[Result]], items: Sequence[int]) -> Iterator[Result]:
        """Results in the items' order; exceptions of the work are raised here."""
        if not items:
            return
        with _cluster():
            import ray

            data, begun = _ray_data(), ray.remote(num_cpus=0)(_Begun).remote()
            number = self._fitting(len(items))
            # Put one item in a block, so that a killed worker loses one item's work.
            plan = data.from_items(
                [{"item": int(item)} for item in items], override_num_blocks=len(items)
            ).map_batches(
                _Worker,
                fn_constructor_args=(begin, self.num_cpus, begun),
                batch_size=1,
                compute=data.ActorPoolStrategy(size=number, max_tasks_in_flight_per_actor=1),
                num_cpus=self.num_cpus,
                num_gpus=self.num_gpus,
                # By default Ray restarts workers and tasks forever. These bounds are never reached in normal
                # operation.
                ray_remote_args_fn=partial(
                    dict, max_restarts=(MOST_DEATHS + 1) * len(items), max_task_retries=MOST_DEATHS + 1
                ),
            )
            for row in plan.iter_rows():
                yield _opened(row["result"])

    def _fitting(self, num_items: int) -> int:
        """Number of workers; raises ValueError if the cluster has no room for one."""
        import ray

        has = ray.cluster_resources()
        room = int(has.get("CPU", 0) // self.num_cpus)
        if self.num_gpus:
            room = min(room, int(has.get("GPU", 0) // self.num_gpus))
        if room < 1:
            raise ActionImagesError(
                f"the Ray cluster has {has.get('CPU', 0):g} processors and {has.get('GPU', 0):g} graphics "
                "cards, a worker needs "
                f"{self.num_cpus} and {self.num_gpus:g}; join a larger cluster, or ask for less"
            )
        return min(self.num_workers or room, room, num_items)


def executor_named(
    place: Place, num_workers: int | None = None, num_cpus: int = 1, device: str = "cpu"
) -> Executor:
    """The executor of a command's work; a worker has `num_cpus` threads, and for 'cuda' a card of its own.

    The number of threads changes the order of some sums: the same number on any machine gives the same
    bytes.
    """
    if num_workers is not None and num_workers < 1:
        raise ActionImagesError(f"--workers {num_workers}: give at least one, or leave the option out")
    if place == "local":
        if num_workers not in (None, 1):
            raise ActionImagesError(
                f"{num_workers} workers are processes of their own: add --on processes (this machine) or "
                "--on ray, or leave --workers out"
            )
        torch.set_num_threads(num_cpus)
        return here
    if ":" in device and place == "ray":
        raise ActionImagesError(
            f"on Ray each worker is given a graphics card of its own: say --device {device.split(':')[0]}, "
            f"not {device}"
        )
    if place == "processes":
        on_cards = device.startswith("cuda")
        return OnProcesses(num_workers or len(visible_cards()) or 1, num_cpus, on_cards=on_cards)
    return OnRay(num_workers, num_cpus, 0 if device == "cpu" else 1)


@dataclass(frozen=True)
class _Raised:
    """An exception of the work in a process of the cluster, with its place."""

    error: Exception
    where: str


class _Worker:
    """A process on the cluster: started once, then given one item after the other."""

    def __init__(self, begin: Callable[[], Work[Any]], num_threads: int, begun: Any):
        torch.set_num_threads(num_threads)
        self._begin, self._work, self._begun = begin, None, begun

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            item = int(batch["item"][0])
            self._see_that_it_lives(item)
            # Start at the first item, so that errors of the start are reported like all others.
            self._work = self._work or self._begin()
            result = self._work(item)
        except Exception as error:
            result = _Raised(error, traceback.format_exc())
        # By default Arrow would turn tuples into lists, and pickle unknown types with a warning.
        return {"result": np.array([pickle.dumps(result)], dtype=object)}

    def _see_that_it_lives(self, item: int) -> None:
        import ray

        (times,) = ray.get([self._begun.again.remote(item)])
        if times > MOST_DEATHS:
            cure = "its files are damaged, or it needs more memory than there is"
            raise OSError(f"item {item}: the process that worked on it died {MOST_DEATHS} times; {cure}")


class _Begun:
    """Counts the starts of each item, in a process that does none: a death leaves no other trace."""

    def __init__(self) -> None:
        self._times: Counter[int] = Counter()

    def again(self, item: int) -> int:
        self._times[item] += 1
        return self._times[item]


def _opened(packed: bytes) -> Any:
    """The result that one of our own processes sent; raises what it raised."""
    result = pickle.loads(packed)
    if isinstance(result, _Raised):
        raise result.error from RuntimeError(f"on a worker of the cluster:\n{result.where}")
    return result


def _ray_data() -> Any:
    """Ray's data library, silenced and set to keep the order."""
    from ray import data

    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    return data


@contextmanager
def _cluster() -> Iterator[None]:
    """The cluster that this process has already joined, or one joined or started while it is needed."""
    # Ray reads this at import; a value that the user set is kept.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ActionImagesError(
            f"spreading work needs Ray ({error}): pip install 'action-images[ray]', or leave --on ray out"
        ) from error
    if ray.is_initialized():
        yield
        return
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
