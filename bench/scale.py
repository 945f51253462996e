"""Episodes labelled a second against the number of workers, without Ray and with it.

Each count is measured in a cluster that is already up, with the workers' own start (loading torch and the
models) apart from their work: a run over few episodes would measure nothing else. Run it on a quiet machine.
"""

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from action_images.episodes.dataset import Dataset
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.label_job import Job
from action_images.inference.labelled_copy import label_dataset
from action_images.inference.labelling import Labelling
from action_images.parallel.cluster import Executor, OnRay, here


def measured(job: Job, out: Path, num_episodes: int, executor: Executor) -> tuple[float, float]:
    """Seconds until the first episode is out (start included); episodes a second from there to the last."""
    times = [time.perf_counter()]
    label_dataset(job, out, num_episodes, lambda *_: times.append(time.perf_counter()), executor)
    return times[1] - times[0], (len(times) - 2) / (times[-1] - times[1])


def main() -> None:
    """Measure, print a table, and write the figures where --json says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "dataset", type=Path, help="a data set with calibrated views, such as 'action-images record' writes"
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of saved models")
    parser.add_argument(
        "--episodes", type=int, default=40, help="how many are labelled each time, at least 3"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=list(range(1, (os.cpu_count() or 1) + 1)))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.episodes < 3:
        parser.error("--episodes: at least 3, or there is no rate")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import torch

    torch.set_num_threads(1)
    labelling = Labelling(asked.model.resolve().name, Dataset(asked.dataset).view_names[:2])
    job = Job(partial(ClipGenerator.load, asked.model.resolve()), asked.dataset, labelling)
    ways: dict[str, Executor] = {"here, without Ray": here}
    ways |= {f"Ray, {number} worker{'s' * (number > 1)}": OnRay(number) for number in asked.workers}
    ray.init(
        address="local",
        num_cpus=max(asked.workers),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for place, (name, executor) in enumerate(ways.items()):
            first, rate = measured(job, Path(folder) / str(place), asked.episodes, executor)
            figures[name] = {"first_s": first, "episodes_per_s": rate}
    ray.shutdown()
    table = Table(title=f"{asked.episodes} episodes, one thread a worker", box=SIMPLE)
    for heading in ("", "first episode s", "episodes/s", "against without Ray"):
        table.add_column(heading, justify="right" if heading else "left")
    base = figures["here, without Ray"]["episodes_per_s"]
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row['first_s']:.1f}",
            f"{row['episodes_per_s']:.2f}",
            f"{row['episodes_per_s'] / base:.2f}",
        )
    Console().print(table)
    if asked.json is not None:
        asked.json.write_text(json.dumps({"episodes": asked.episodes, "rows": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
