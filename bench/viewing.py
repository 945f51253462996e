"""What `action-images view` takes: seconds to list 100,000 episodes, memory to show one of 2,000 frames."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory

NUM_EPISODES, NUM_FRAMES, SIZE = 100_000, 2_000, (240, 320)

LIST = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from action_images.reports.viewing.opened import open_shelf
from action_images.reports.viewing.server import ViewServer
from action_images.reports.viewing.shelf import Wish, listed
server = ViewServer(open_shelf(Path(sys.argv[1])))
opened = time.perf_counter()
listed(server.library.shelf, Wish(words=("cube-17-",)))
print(opened - start, time.perf_counter() - opened, "torch" in sys.modules)
"""


def main() -> None:
    """Measure both in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.show is not None:
        print(json.dumps(shown(options.show)))
        return
    with tempfile.TemporaryDirectory() as folder:
        many, long = Path(folder) / "many", Path(folder) / "long"
        write_many(many)
        write_long(long)
        start, search, has_torch = told([sys.executable, "-c", LIST, str(many)]).split()
        results = {
            "num_episodes": NUM_EPISODES,
            "open_s": float(start),
            "search_s": float(search),
            "loads_torch": has_torch == "True",
        }
        results |= json.loads(told([sys.executable, __file__, "--show", str(long)]))
    for name, value in results.items():
        print(f"{name:<22} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def told(command: list[str]) -> str:
    """The last line that a process prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def shown(path: Path) -> dict[str, float]:
    """Every part of an episode as a page asks for it, from its first frame to its last."""
    from action_images.reports.viewing.encoded import FRAMES_IN_PART
    from action_images.reports.viewing.opened import open_shelf
    from action_images.reports.viewing.server import Library

    library = Library(open_shelf(path))
    (entry,) = library.shelf.entries()
    start = time.perf_counter()
    document = library.document(0, entry.id)
    opened = time.perf_counter()
    before = peak_mb()
    num_bytes = 0
    for part in range(-(-NUM_FRAMES // FRAMES_IN_PART)):
        for view in range(2):
            for layer, over in ((0, False), (1, True)):
                num_bytes += len(library.part(0, entry.id, (view, layer, over, part)))
    return {
        "num_frames": NUM_FRAMES,
        "open_episode_s": round(opened - start, 2),
        "document_mb": round(len(json.dumps(document)) / 1e6, 2),
        "all_parts_s": round(time.perf_counter() - opened, 1),
        "all_parts_mb": round(num_bytes / 1e6, 1),
        "peak_mb_opened": round(before),
        "peak_mb_all_parts": round(peak_mb()),
    }


def peak_mb() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_many(path: Path) -> None:
    """A data set's tables of many episodes, without their videos: no list needs those."""
    (path / "meta/episodes/chunk-000").mkdir(parents=True)
    info = {
        "codebase_version": layout.VERSION,
        "fps": 20,
        "features": layout.features({"front": SIZE, "left": SIZE}, 20),
    }
    (path / layout.INFO).write_text(json.dumps(info))
    numbers = range(NUM_EPISODES)
    table = {
        "episode_index": list(numbers),
        "episode_id": [f"task/e{number}" for number in numbers],
        "length": [100] * NUM_EPISODES,
        "tasks": [[f"pick up cube-{number % 977}-"] for number in numbers],
    }
    pq.write_table(pa.table(table), path / "meta/episodes/chunk-000/file-000.parquet")


def write_long(path: Path) -> None:
    """One long episode of noise that moves a little, which no codec makes small."""
    generator = torch.Generator().manual_seed(0)
    ground = torch.randint(0, 256, (3, SIZE[0] + 40, SIZE[1]), dtype=torch.uint8, generator=generator)
    video = torch.stack([ground[:, at % 40 : at % 40 + SIZE[0]] for at in range(NUM_FRAMES)])
    phase = torch.linspace(0, 40, NUM_FRAMES)
    places = torch.stack([0.1 * phase.sin(), 0.1 * phase.cos(), 0.05 * (2 * phase).sin()], -1)
    tool = Trajectory(Pose(torch.eye(3).expand(NUM_FRAMES, 3, 3), places), torch.ones(NUM_FRAMES))
    views = []
    for name, eye in (("front", (0.9, 0.1, 0.6)), ("left", (0.2, 0.9, 0.5))):
        camera = Camera.look_at(torch.tensor(eye), torch.zeros(3), 0.9, SIZE)
        views.append(View(name, FramesInMemory(video), camera))
    with DatasetWriter(path, fps=20) as writer:
        writer.add(Episode("long", "wait", 20.0, tuple(views), tool))


if __name__ == "__main__":
    main()
