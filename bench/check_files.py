"""How often faults of a set's files and declarations are said by `import` or `check`, in sets of an episode.

    action-images record --task trained --episodes 30 --seed 100 --size 128 --views 2 --every 2 --out held
    python bench/check_files.py held --sets 100

Each episode is written as a set of its own, a fault is planted into its files, and it is imported (where a
calibration.json declares it) or checked. Faults of pictures, cameras and paths are in bench/check.py.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from check import rate

from action_images.episodes.checks.check import check_dataset
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.readers import open_foreign
from action_images.errors import ActionImagesError
from action_images.files import jsonl

STRIDE = 37
LOST = 3
"""Rows that are taken away at an episode's end."""


def change_table(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Bend the one table below a folder."""
    (path,) = folder.rglob("*.parquet")
    pq.write_table(change(pq.read_table(path)), path)


def with_column(table: pa.Table, name: str, change: Callable[[np.ndarray], np.ndarray]) -> pa.Table:
    """The table with other numbers in a column."""
    values = change(np.array(table[name].to_pylist(), np.float32)).tolist()
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(name).type))


def nothing(root: Path) -> None:
    """No fault."""
    del root


def nan_in_action(root: Path) -> None:
    """One command of one frame is not a number."""

    def bend(actions: np.ndarray) -> np.ndarray:
        actions[len(actions) // 2, 1] = np.nan
        return actions

    change_table(root / "data", lambda table: with_column(table, "action", bend))


def lost_rows(root: Path) -> None:
    """The last rows are gone, their pictures are not."""
    change_table(root / "data", lambda table: table.slice(0, len(table) - LOST))
    change_table(
        root / "meta/episodes", lambda table: with_column(table, "length", lambda length: length - LOST)
    )


def cut_video(root: Path) -> None:
    """The first view's file is cut in half."""
    path = next((root / "videos").rglob("*.mp4"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def declared(opening: float, factor: float) -> Callable[[Path], None]:
    """Readings times `factor`, under a gripper that is declared to be open at `opening`."""

    def plant(root: Path) -> None:
        def bend(states: np.ndarray) -> np.ndarray:
            states[:, 7] *= factor
            return states

        change_table(root / "data", lambda table: with_column(table, "observation.state", bend))
        tool = {"feature": "observation.state", "columns": list(range(8)), "closed": 0, "open": opening}
        (root / "calibration.json").write_text(json.dumps({"tool": tool}))

    return plant


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (nothing, ""),
    "NaN in action": (nan_in_action, "not finite"),
    "three rows lost, their pictures not": (lost_rows, "after the last row"),
    "a video cut in half": (cut_video, "cut short"),
    "gripper reads 0..1, declared 0..0.04": (declared(0.04, 1), "declare 'closed' and 'open'"),
    "gripper reads 0..255, declared 0..1": (declared(1, 255), "declare 'closed' and 'open'"),
}


def messages(root: Path) -> list[str]:
    """What reading it with its declaration, and checking it, say of its files and numbers."""
    if (root / "calibration.json").is_file():
        try:
            _, reader = open_foreign(root, "lerobot")
            reader.read(reader.ids[0])
        except ActionImagesError as error:
            return [str(error)]
        return []
    kinds = ("calibration", "gripper")
    return [one.message for one in check_dataset(root, 0).findings if one.kind not in kinds]


def main() -> None:
    """Measure, go on from where it was stopped, and show the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("episodes", type=Path)
    parser.add_argument("--results", type=Path, default=Path("check_files.jsonl"))
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=14)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset(arguments.episodes)
    records = jsonl.load(arguments.results) if arguments.results.is_file() else []
    done = {(record["set"], record["fault"]) for record in records}
    began = time.monotonic()
    for step in range(arguments.sets):
        index = step * STRIDE % arguments.sets * len(dataset) // arguments.sets
        episode = dataset[index]
        missing = [name for name in FAULTS if (episode.id, name) not in done]
        if not missing or time.monotonic() - began > 60 * arguments.minutes:
            continue
        with tempfile.TemporaryDirectory() as folder:
            right = Path(folder) / "right"
            with DatasetWriter(right, dataset.fps) as writer:
                writer.add(episode)
            for name in missing:
                root = Path(folder) / "planted"
                shutil.copytree(right, root)
                FAULTS[name][0](root)
                record = {"set": episode.id, "fault": name, "said": messages(root)}
                shutil.rmtree(root)
                jsonl.append(arguments.results, record, sync=False)
                records.append(record)
    print("| planted | said | named |\n|---|---|---|")
    for name, (_, words) in FAULTS.items():
        said = [record["said"] for record in records if record["fault"] == name]
        if said:
            named = sum(words in " ".join(one) for one in said) if words else None
            rates = rate(sum(map(bool, said)), len(said)), "-" if named is None else rate(named, len(said))
            print(f"| {name} | {' | '.join(rates)} |")


if __name__ == "__main__":
    main()
