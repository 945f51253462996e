"""A set's own cameras held against its motion: right ones are right, a turned one is off, a moved one is not
known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from action_images.calibration.from_motion.compare import compare_cameras, compare_gathered
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.tracks import Followed
from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_rotation_vector
from motion_scene import hand, paths, tracks, truth

SIZE = (160, 160)
PINHOLE = truth(SIZE, fov_deg=34)
POSES = paths(8, num_frames=40)


def video(path: np.ndarray) -> torch.Tensor:
    """Frames (frame 3 h w): a dot at each point of the hand before a still ground."""
    ground = np.kron(np.random.default_rng(0).uniform(30, 60, (8, 8)), np.ones((20, 20)))
    frames = np.repeat(ground[None], len(path), axis=0)
    ticks = np.arange(SIZE[0]) + 0.5
    for number, point in enumerate(1.6 * hand(24, seed=3)):
        pixels, _ = PINHOLE.project(path[:, :3, :3] @ point + path[:, :3, 3])
        across, down = (np.exp(-((ticks - pixels[:, place, None]) ** 2) / 3.4) for place in (0, 1))
        frames += (50 + 6 * number) * down[:, :, None] * across[:, None]
    grey = torch.from_numpy(frames.clip(0, 255).round().astype(np.uint8))
    return grey[:, None].repeat(1, 3, 1, 1)


def turned(camera: Camera, degrees: float) -> Camera:
    turn = from_rotation_vector(math.radians(degrees) * torch.tensor([1.0, 0.0, 0.0]))
    pose = camera.world_from_camera
    return replace(camera, world_from_camera=replace(pose, rotation=pose.rotation @ turn))


@pytest.fixture(scope="module")
def videos() -> list[FramesInMemory]:
    return [FramesInMemory(video(path)) for path in POSES]


def compared(folder, videos, cameras):
    with DatasetWriter(folder / "set", 20.0) as writer:
        for number, (path, frames) in enumerate(zip(POSES, videos, strict=True)):
            pose = Pose.from_matrix(torch.from_numpy(path).float())
            views = tuple(View(name, frames, of(number)) for name, of in cameras.items())
            trajectory = Trajectory(pose, torch.ones(len(path)))
            writer.add(Episode(f"task/{number}", "move", 20.0, views, trajectory))
    found = compare_cameras(folder / "set", folder / "tracks", most=8, num_workers=0)
    return {one.view: one for one in found}


def test_right_cameras_agree_with_motion_and_a_turned_one_is_off(tmp_path, videos):
    right = PINHOLE.camera(SIZE)
    found = compared(
        tmp_path,
        videos,
        {
            "right": lambda _: right,
            "turned": lambda _: turned(right, 3),
            "moved": lambda number: turned(right, number),
        },
    )
    assert found["right"].why_not is None
    assert found["right"].off_px < 1
    assert not found["right"].is_off
    assert found["turned"].is_off
    assert "its camera draws the tool" in found["turned"].sentence()
    assert "differs from episode to episode" in found["moved"].sentence()


def gathered(camera: Pinhole) -> Gathered:
    """Episodes before a camera, with tracks that nobody rendered."""
    episodes = []
    for number, path in enumerate(POSES):
        (mine,) = tracks(camera, [path], hand(12), noise_px=0.2, wrong=0.2, size=SIZE, seed=number)
        speed = np.linalg.norm(np.diff(path[:, :3, 3], axis=0, prepend=path[:1, :3, 3]), axis=1)
        seen = Followed(tuple(mine), np.arange(len(path)), speed)
        episodes.append(Seen(f"e{number}", 20.0, path, {"left": SIZE}, {"left": seen}))
    return Gathered(episodes, num_episodes=len(episodes))


def test_cameras_of_squeezed_pictures_agree_with_motion_if_their_fx_and_fy_are_those_of_the_pictures():
    squeezed = replace(PINHOLE, aspect=0.8)
    found, own = gathered(squeezed), squeezed.camera(SIZE)
    (right,) = compare_gathered(found, {"left": own}, num_workers=0)
    assert right.why_not is None
    assert right.off_px < 0.5
    assert not right.is_off
    (off,) = compare_gathered(found, {"left": turned(own, 3)}, num_workers=0)
    assert off.is_off
    assert off.shape is None
    (square,) = compare_gathered(found, {"left": replace(squeezed, aspect=1.0).camera(SIZE)}, num_workers=0)
    assert square.is_off
    assert square.shape.found == pytest.approx(0.8, abs=0.02)
    assert "fx / fy of its camera is 1.000, and by motion 0.8" in square.sentence()
    assert "squeezed" in square.cure()
