"""What an autoencoder costs action images: the error of tool poses read after a round trip through it."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from model_scenes import Scenes, clip_of, fitted
from torch import Tensor

from action_images.codec import draw, read
from action_images.model.autoencoders import load_autoencoder
from action_images.model.autoencoders.autoencoder import Autoencoder, check_size, num_latent_frames
from action_images.samples.sample import Sample

Row = dict[str, Any]


def autoencoders(*, long: bool = False) -> Iterator[Row]:
    """Reconstruction of held-out clips, and the tool poses read back from reconstructed action images."""
    wide = ((None, 0.0), (32, 10.0), (48, 10.0), (64, 1.0), (64, 10.0), (64, 100.0), (96, 10.0))
    plans = (
        {(64, 64): wide, (128, 128): wide}
        if long
        else {(64, 64): ((None, 0.0), (48, 10.0), (64, 1.0), (64, 10.0), (64, 100.0))}
    )
    for size, choices in plans.items():
        scenes = Scenes(size)
        scene, _ = scenes.batch(48, torch.Generator().manual_seed(99))
        for channels, weight in choices:
            autoencoder = None if channels is None else fitted(channels, scenes, weight)
            yield {
                "px": size[0],
                "channels": channels or "none",
                "weight of action images": weight,
                **round_trip(scene, autoencoder),
            }


def of_folder(folder: Path, size: tuple[int, int], num_frames: int, num_scenes: int) -> Iterator[Row]:
    """The same of a saved autoencoder, Wan2.2's for one, clip by clip."""
    autoencoder = load_autoencoder(folder)
    check_size(size, autoencoder.spatial_factor)
    num_latent_frames(autoencoder, num_frames)
    generator = torch.Generator().manual_seed(99)
    for number in range(num_scenes):
        scene, _ = Scenes(size, num_frames).batch(1, generator)
        began = time.perf_counter()
        row = round_trip(scene, autoencoder)
        yield {"clip": number, "px": size[0], "frames": num_frames, **row, "s": time.perf_counter() - began}


def round_trip(scene: Sample, autoencoder: Autoencoder | None) -> Row:
    """How well the video comes back, and how far the poses read from the action images lie from the truth.

    Distances are medians over all frames with a pose; None where no frame has one. `autoencoder` None: no
    round trip.
    """
    assert scene.trajectory is not None
    assert scene.cameras is not None
    images, psnr = draw(scene.trajectory, scene.cameras), math.inf
    if autoencoder is not None:
        clip = clip_of(scene)
        psnr = -10 * math.log10((there_and_back(autoencoder, clip) - clip).div(2).square().mean())
        images = (there_and_back(autoencoder, images * 2 - 1) / 2 + 0.5).clamp(0, 1)
    reading = read(images, scene.cameras)
    metres, radians = (
        part[reading.valid]
        for part in scene.trajectory.world_from_tool.distance(reading.trajectory.world_from_tool)
    )
    known = len(metres) > 0
    return {
        "video PSNR dB": psnr,
        "position mm": 1e3 * metres.median().item() if known else None,
        "p95 mm": 1e3 * metres.quantile(0.95).item() if known else None,
        "rotation deg": math.degrees(radians.median().item()) if known else None,
        "valid": reading.valid.float().mean().item(),
    }


def there_and_back(autoencoder: Autoencoder, video: Tensor) -> Tensor:
    """A video in [-1, 1] as the autoencoder shows it again."""
    return autoencoder.decode(autoencoder.encode(video))
