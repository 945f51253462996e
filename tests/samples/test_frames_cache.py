"""Decoded frames on disk give the same samples bit for bit, whoever made them, after however many stops."""

import multiprocessing
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, EpisodeError, FramesInMemory, View
from action_images.errors import ActionImagesError
from action_images.files.lock import alone_in
from action_images.geometry import Pose
from action_images.samples import frames_cache, stored_frames
from action_images.samples.frames_cache import FramesCache
from action_images.samples.loader import load
from action_images.samples.mixture import Decisions, Mixture, Source
from action_images.samples.sample import Sample
from action_images.samples.window import Cutting
from action_images.structs import concatenate
from small_scenes import scenes

LENGTHS = (9, 7, 12, 9)
SIZE = (16, 24)


def write(
    folder: Path, lengths: tuple[int, ...] = LENGTHS, first: int = 0, *, commands: bool = False
) -> Path:
    """Episodes of two views of 32 x 40 px; the camera of the second moves."""
    with DatasetWriter(folder, fps=5) as writer:
        for number, length in enumerate(lengths, first):
            scene = scenes(1, 2, length, (32, 40), number)[0]
            pixels = torch.randint(0, 256, (2, length, 3, 32, 40), dtype=torch.uint8)
            still, seen = scene.cameras[0, 0], scene.cameras[1]
            shift = torch.zeros(length, 3)
            shift[:, 0] = torch.linspace(0, 0.1, length)
            moved = Pose(seen.world_from_camera.rotation, seen.world_from_camera.translation + shift)
            cameras = still, replace(seen, world_from_camera=moved)
            views = tuple(
                View(f"view{view}", FramesInMemory(pixels[view]), camera)
                for view, camera in enumerate(cameras)
            )
            path = scene.trajectory
            told = concatenate([path[:1], path[:-1]]) if commands and path is not None else None
            writer.add(Episode(f"move/{number:04d}", "go there", 5.0, views, path, told=told))
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("recorded") / "demonstrations")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(frames_cache, "PART_BYTES", 40_000)  # two episodes or so


def silent(_: str) -> None:
    pass


def made(recorded: Path, folder: Path) -> FramesCache:
    cache = FramesCache(Dataset(recorded), folder, SIZE, ("view0", "view1"))
    cache.make(silent, 1)
    return cache


def mixture(recorded: Path, folder: Path | None = None) -> Mixture:
    """Windows of every length, mirrored or not, of which some show the first frame alone."""
    decisions = Decisions({"policy": 0.5, "label": 0.5}, mirror=0.5, first_frame_modes=frozenset({"policy"}))
    source = Source("demonstrations", Dataset(recorded), Cutting(5, 1, 1), num_views=2, decisions=decisions)
    if folder is not None:
        source.cache = made(recorded, folder)
    return Mixture([source], seed=3)


def bits(sample: Sample) -> list[torch.Tensor]:
    tensors: list[torch.Tensor] = []
    sample.map(lambda one: tensors.append(one.contiguous()) or one)
    return tensors


def assert_same(one: Sample, other: Sample) -> None:
    assert one.instruction == other.instruction
    assert one.video.stride() == other.video.stride()
    first, second = bits(one), bits(other)
    assert len(first) == len(second) == 8  # pixels, cameras (3), path (3), valid
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_samples_are_the_same_bit_for_bit(recorded, tmp_path, num_workers):
    plain = load(mixture(recorded), 4, 6, size=SIZE, num_workers=num_workers)
    cached = load(mixture(recorded, tmp_path), 4, 6, size=SIZE, num_workers=num_workers)
    for one, other in zip(plain, cached, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.draws == b.draws
            assert_same(a.pixels, b.pixels)


def test_commanded_poses_are_the_same_bit_for_bit(tmp_path):
    dataset = Dataset(write(tmp_path / "demonstrations", (9,), commands=True), told=True)
    source = Source("demonstrations", dataset, Cutting(5, 1, 1), draws_actions=True)
    plain = Mixture([source], seed=3).sample(Mixture([source], seed=3)[0], SIZE)
    source.cache = FramesCache(dataset, tmp_path / "frames", SIZE, source.views)
    source.cache.make(silent, 1)
    cached = Mixture([source], seed=3)
    assert_same(cached.sample(cached[0], SIZE), plain)
    assert source.cache.episode(0).told is not None


def test_no_video_is_opened_once_frames_are_stored(recorded, tmp_path):
    here = shutil.copytree(recorded, tmp_path / "demonstrations")
    stored = mixture(here, tmp_path / "frames")
    shutil.rmtree(here / "videos")
    assert_same(stored.sample(stored[0], SIZE), mixture(recorded).sample(stored[0], SIZE))


def test_several_processes_make_the_same_files_as_one(recorded, tmp_path):
    one = made(recorded, tmp_path / "one")
    other = FramesCache(Dataset(recorded), tmp_path / "other", SIZE, ("view0", "view1"))
    said: list[str] = []
    other.make(said.append, 2)
    assert len(one.parts) > 1
    assert f"{one.num_bytes / 1e9:.2f} GB" in said[0]
    for a, b in zip(one.parts, other.parts, strict=True):
        assert a.pixels_path.read_bytes() == b.pixels_path.read_bytes()


def test_what_a_killed_process_made_is_not_made_again(recorded, tmp_path):
    whole = made(recorded, tmp_path)
    kept, lost = whole.parts[0].pixels_path, whole.parts[1].made_from_path
    before = kept.stat().st_mtime_ns
    lost.unlink()
    told: list[str] = []
    again = FramesCache(Dataset(recorded), tmp_path, SIZE, ("view0", "view1"))
    again.make(told.append, 1)
    assert kept.stat().st_mtime_ns == before
    assert f"decoding {len(again.parts[1].episodes)} of {len(LENGTHS)} episodes" in told[0]
    again.make(told.append, 1)
    assert len(told) == 2, "what is whole is not made again"


def test_other_recordings_make_frames_stale_and_copies_do_not(recorded, tmp_path):
    here = shutil.copytree(recorded, tmp_path / "demonstrations", copy_function=shutil.copyfile)
    folder = tmp_path / "frames"
    first = made(here, folder)
    for path in here.glob("videos/*/*/*"):
        os.utime(path, ns=(1, 1))
    assert all(part.is_made(Dataset(here)) for part in first.parts)
    videos = sorted(here.glob("videos/observation.images.view1/*/*"))
    shutil.copyfile(videos[3], videos[0])  # as long as the first, with other pictures
    assert [part.is_made(Dataset(here)) for part in first.parts] == [False, *[True] * (len(first.parts) - 1)]
    stored = mixture(here, folder)
    for index in range(12):
        assert_same(stored.sample(stored[index], SIZE), mixture(here).sample(stored[index], SIZE))


def test_more_episodes_leave_the_first_parts(recorded, tmp_path):
    here = shutil.copytree(recorded, tmp_path / "demonstrations")
    before = made(here, tmp_path / "frames")
    times = [part.pixels_path.stat().st_mtime_ns for part in before.parts]
    write(here, (9, 9), first=len(LENGTHS))
    grown = mixture(here, tmp_path / "frames")
    assert_same(grown.sample(grown[7], SIZE), mixture(here).sample(grown[7], SIZE))
    assert len(times) > 1


def test_a_damaged_file_is_named_with_a_cure(recorded, tmp_path):
    cache = made(recorded, tmp_path)
    path = cache.parts[0].pixels_path
    path.write_bytes(b"\0" * len(path.read_bytes()))
    with pytest.raises(EpisodeError, match=f"{path.name}.*delete the folder"):
        cache.episode(0)
    path.write_bytes(b"\0" * 100)
    again = made(recorded, tmp_path)  # one that is too short is made anew
    assert torch.equal(
        again.episode(0).views[0].frames.read([0]),
        made(recorded, tmp_path).episode(0).views[0].frames.read([0]),
    )


def test_a_disk_that_is_too_full_is_said_before_anything_is_made(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(frames_cache, "SPARE_BYTES", 1 << 60)
    with pytest.raises(ActionImagesError, match=r"GB are free.*--frames-cache None"):
        made(recorded, tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def hold(folder: Path, has_it, let_go) -> None:
    with alone_in(folder):
        has_it.set()
        let_go.wait(10)


def test_a_second_run_waits_for_the_first(recorded, tmp_path):
    cache = FramesCache(Dataset(recorded), tmp_path, SIZE, ("view0", "view1"))
    fork = multiprocessing.get_context("fork")
    has_it, let_go = fork.Event(), fork.Event()
    other = fork.Process(target=hold, args=(cache.folder, has_it, let_go))
    other.start()
    assert has_it.wait(10)
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        let_go.set()

    cache.make(say, 1)
    other.join()
    assert "waiting" in told[0]
    assert all(part.is_made(cache.dataset) for part in cache.parts)


def test_a_cache_crosses_to_other_processes_without_its_memory(recorded, tmp_path):
    cache = made(recorded, tmp_path)
    frames = cache.episode(2).views[1].frames.read([3, 0, 3])
    sent = pickle.dumps(cache)
    assert len(sent) < 100_000
    there = pickle.loads(sent)
    assert torch.equal(there.episode(2).views[1].frames.read([3, 0, 3]), frames)
    with pytest.raises(EpisodeError, match="was asked for"):
        there.episode(2).views[1].frames.read([12])


def test_files_of_another_version_are_made_anew(recorded, tmp_path, monkeypatch):
    cache = made(recorded, tmp_path)
    monkeypatch.setattr(stored_frames, "VERSION", stored_frames.VERSION + 1)
    assert not cache.parts[0].is_made(cache.dataset)
