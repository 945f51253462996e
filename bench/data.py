"""Samples a second from a data set on disk against plain decoding of the same frames; memory over time.

Everything reads the same H.264 files: two views, windows of 41 frames. `ours` is the loader as training uses
it: worker processes, calibrated samples, batches of one (`by four`: of four). `raw` decodes the same frames
to RGB with PyAV in as many processes, as fast as that goes, from the keyframe before the window, and throws
them away: the limit. `one clip` is one clip at a time in one process: PyAV as it is mostly used, from the
file's beginning; torchcodec and decord by index with one thread, where they are installed (pip install
decord==0.6.0 torchcodec==0.13.0; the latter needs FFmpeg's libraries, Debian's libavdevice59 for one).
"""

import argparse
import multiprocessing
import os
import pickle
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from rich.console import Console
from rich.table import Table

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, EpisodeError, FramesInMemory, View
from action_images.episodes.readers.unpickle import read_pickle
from action_images.episodes.video import VideoFrames
from action_images.files.atomic import write_json
from action_images.geometry import Camera, Pose, Trajectory
from action_images.samples.loader import load
from action_images.samples.mixture import Mixture, Source
from action_images.samples.window import Cutting, Window

NUM_FRAMES = 41
EPISODE_FRAMES = 120
WORKERS = 2
TURNS = 5


def moving_pictures(size: int, seed: int, num_frames: int = EPISODE_FRAMES) -> torch.Tensor:
    """A textured square crosses textured, still ground: about as hard to code as a fixed camera's video."""
    noise = torch.Generator().manual_seed(seed)
    ground = torch.nn.functional.interpolate(
        torch.rand(1, 3, 24, 24, generator=noise), (size, size), mode="bicubic"
    )[0].clamp(0, 1)
    square = torch.rand(3, size // 4, size // 4, generator=noise)
    frames = ground.repeat(num_frames, 1, 1, 1)
    for i, frame in enumerate(frames):
        left = (size - size // 4) * i // num_frames
        frame[:, size // 3 : size // 3 + size // 4, left : left + size // 4] = square
    return (255 * frames).to(torch.uint8)


def write_set(path: Path, size: int, num_episodes: int) -> Dataset:
    """Episodes with two calibrated views; those that an earlier run left there are taken."""
    if path.exists():
        return Dataset(path)
    eyes = (torch.tensor([1.0, 0.3, 0.8]), torch.tensor([0.3, 1.0, 0.8]))
    cameras = [Camera.look_at(eye, torch.zeros(3), 0.9, (size, size)) for eye in eyes]
    positions = torch.linspace(-0.2, 0.2, EPISODE_FRAMES)[:, None] * torch.ones(3)
    path_of_tool = Trajectory(
        Pose(torch.eye(3).expand(EPISODE_FRAMES, 3, 3), positions), torch.ones(EPISODE_FRAMES)
    )
    with DatasetWriter(path, fps=20) as writer:
        for number in range(num_episodes):
            frames = [FramesInMemory(moving_pictures(size, 2 * number + view)) for view in range(2)]
            views = tuple(
                View(f"camera{i}", part, camera)
                for i, (part, camera) in enumerate(zip(frames, cameras, strict=True))
            )
            writer.add(Episode(f"e{number}", "move", 20.0, views, path_of_tool))
    return Dataset(path)


def windows_of(mixture: Mixture, count: int) -> list[Window]:
    return [mixture[index].window for index in range(count)]


def video_paths(root: Path, window: Window) -> list[Path]:
    number = int(window.episode_id[1:])
    return [
        root / f"videos/observation.images.{view}/chunk-000/file-{number:03d}.mp4" for view in window.views
    ]


def decode_plainly(root: Path, window: Window, *, from_keyframe: bool) -> None:
    """The window's frames as RGB: as fast as PyAV goes (`from_keyframe`), or as it is mostly used."""
    converter = VideoReformatter()
    for path in video_paths(root, window):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            step = round(1 / stream.average_rate / stream.time_base)
            if from_keyframe:
                container.seek(window.start * step, stream=stream)
            seen = 0
            for frame in container.decode(stream):
                if frame.pts >= window.start * step:
                    converter.reformat(
                        frame, format="rgb24", threads=1
                    ) if from_keyframe else frame.to_ndarray(format="rgb24")
                    seen += 1
                if seen == NUM_FRAMES:
                    break


def decode_many(root: Path, windows: list[Window]) -> None:
    for window in windows:
        decode_plainly(root, window, from_keyframe=True)


def in_processes(root: Path, windows: list[Window]) -> float:
    """Seconds that plain decoding takes when the windows are dealt out to processes that already run."""
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(abs, range(WORKERS))
        begun = time.perf_counter()
        pool.starmap(decode_many, [(root, windows[worker::WORKERS]) for worker in range(WORKERS)])
        return time.perf_counter() - begun


def read_each(root: Path, windows: list[Window], read: Callable[[Path, Window], object]) -> None:
    """Read every window of every view, one after the other."""
    for window in windows:
        for path in video_paths(root, window):
            read(path, window)


def read_frames(path: Path, window: Window) -> object:
    """A window of one view, as our readers do it."""
    return VideoFrames(path).read(range(window.start, window.start + NUM_FRAMES))


def seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def loading(mixture: Mixture, count: int, *, batch_size: int = 1, normalise: bool = False) -> float:
    """Seconds for `count` samples once the workers run: uint8 as for a GPU, or float32 (`normalise`)."""
    warm = 4 * WORKERS
    stream = load(mixture, batch_size, count // batch_size + warm, num_workers=WORKERS)
    for _ in range(warm):
        next(stream)
    begun = time.perf_counter()
    for batches in stream:
        sample = batches[0].sample if normalise else batches[0].pixels
        assert sample.video.shape[:2] == (batch_size, 2)
    return time.perf_counter() - begun


def decode_with(library: str, root: Path, windows: list[Window]) -> float | None:
    """Seconds with another library, one clip at a time; None where it is not installed or does not run."""
    try:
        if library == "torchcodec":
            from torchcodec.decoders import VideoDecoder

            def read(path: Path, window: Window) -> object:
                return (
                    VideoDecoder(str(path), num_ffmpeg_threads=1)
                    .get_frames_in_range(window.start, window.start + NUM_FRAMES)
                    .data
                )
        else:
            from decord import VideoReader, cpu

            def read(path: Path, window: Window) -> object:
                return (
                    VideoReader(str(path), ctx=cpu(0), num_threads=1)
                    .get_batch(range(window.start, window.start + NUM_FRAMES))
                    .asnumpy()
                )

        return seconds(lambda: read_each(root, windows, read))
    except Exception as error:  # an absent or broken library is a result, not a failure
        print(f"{library}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return None


def memory_mb(field: str) -> float:
    """Memory of this process and its workers: `Rss` counts pages that they share in each, `Pss` once."""
    family = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
    rollups = "".join(Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in family)
    lines = [line.split() for line in rollups.splitlines()]
    return sum(int(line[1]) for line in lines if line[0] == f"{field}:") / 1024


def throughput(root: Path, size: int, count: int) -> dict[str, float | None]:
    dataset = write_set(root / str(size), size, 12)
    mixture = Mixture([Source("bench", dataset, Cutting(NUM_FRAMES))], seed=0)
    windows = windows_of(mixture, count)
    decode_many(dataset.path, windows)  # the files are in memory from here on
    # In turns, so that both meet the same machine; the best of each is what is least disturbed.
    turns = []
    for turn in range(TURNS):
        raw, ours = in_processes(dataset.path, windows), loading(mixture, count)
        turns.append((raw, ours))
        rates = f"raw {count / raw:.4g}, ours {count / ours:.4g} samples/s"
        print(f"{size} px, turn {turn + 1} of {TURNS}: {rates}", flush=True)
    raw, ours = (min(times) for times in zip(*turns, strict=True))
    by_four = min(loading(mixture, count, batch_size=4) for _ in range(TURNS))
    as_float = loading(mixture, count, normalise=True)
    alone = seconds(lambda: [decode_plainly(dataset.path, window, from_keyframe=False) for window in windows])
    single = seconds(lambda: read_each(dataset.path, windows, read_frames))
    figures = {
        "ours": ours,
        "by four": by_four,
        "ours, float32": as_float,
        "raw": raw,
        "our frames, 1 process": single,
        "one clip, PyAV": alone,
    }
    figures |= {
        f"one clip, {library}": decode_with(library, dataset.path, windows)
        for library in ("torchcodec", "decord")
    }
    per_second = {name: None if value is None else count / value for name, value in figures.items()}
    return {"size_px": size, **per_second, "times raw": ours / raw}


def memory(root: Path, num_samples: int, size: int = 64) -> list[dict[str, float]]:
    """Memory (MB, with workers) after 1/20, 1/4, 1/2 and all of `num_samples`; printed as it is measured."""
    dataset = write_set(root / f"memory{size}", size, 40)
    mixture = Mixture([Source("bench", dataset, Cutting(9))], seed=0)
    marks = {max(1, num_samples * part // 20) for part in (1, 5, 10, 20)}
    track: list[dict[str, float]] = []
    for number, _ in enumerate(load(mixture, 1, num_samples, num_workers=WORKERS), start=1):
        if number in marks:
            track.append(
                {"samples": number, "rss_mb": round(memory_mb("Rss")), "pss_mb": round(memory_mb("Pss"))}
            )
            print("memory:", ", ".join(f"{name} {value}" for name, value in track[-1].items()), flush=True)
    return track


def fuzz(minutes: float) -> dict[str, int]:
    """Feed mutated files to every entry point; anything but one clear error ends it with a traceback."""
    rng, counts = random.Random(time.time_ns()), {"opened": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_set(Path(folder) / "set", 32, 2)
        files = [
            path
            for path in dataset.path.rglob("*")
            if path.is_file() and path.suffix in (".json", ".parquet", ".mp4")
        ]
        pickle_path = Path(folder) / "x.pkl"
        numbers = {"state": np.zeros((5, 7)), "names": ["a", None], "scalar": np.float32(1)}
        originals = {path: path.read_bytes() for path in files} | {pickle_path: pickle.dumps(numbers, 2)}
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            path = rng.choice(list(originals))
            content = bytearray(originals[path])
            for _ in range(rng.randrange(1, 12)):
                content[rng.randrange(len(content))] = rng.randrange(256)
            path.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)
            try:
                if path == pickle_path:
                    read_pickle(path)
                else:
                    for episode in Dataset(dataset.path):
                        for view in episode.check().views:
                            view.frames.read(range(episode.num_frames))
                counts["opened"] += 1
            except EpisodeError:
                counts["refused"] += 1
            path.write_bytes(originals[path])
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="keep the data sets in this folder, for another run")
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 256, 512])
    parser.add_argument(
        "--samples", type=int, default=24, help="at 512 px; smaller pictures are timed over more"
    )
    parser.add_argument("--memory-samples", type=int, default=10_000)
    parser.add_argument("--fuzz-minutes", type=float, default=0.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, object] = {
        "cores": os.cpu_count(),
        "workers": WORKERS,
        "frames": NUM_FRAMES,
        "views": 2,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or temporary
        results["throughput"] = rows = [
            throughput(Path(folder), size, options.samples * max(1, 512 // size)) for size in options.sizes
        ]
        if rows:
            what = f"2 views x {NUM_FRAMES} frames, {WORKERS} workers on {os.cpu_count()} cores"
            table = Table(*rows[0], title=f"samples/s: {what}")
            for row in rows:
                table.add_row(*["-" if value is None else f"{value:.4g}" for value in row.values()])
            Console().print(table)
        if options.memory_samples:
            results["memory"] = memory(Path(folder), options.memory_samples)
    if options.fuzz_minutes:
        results["fuzz"] = fuzz(options.fuzz_minutes)
        print("fuzz:", results["fuzz"])
    if options.json:
        write_json(options.json, results)


if __name__ == "__main__":
    main()
