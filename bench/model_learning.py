"""What a tiny model needs to learn: short trainings with and without each aid, on synthetic reaches."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from model_scenes import Scenes, fitted

from action_images.canvas import MODES
from action_images.diffusion import flow
from action_images.diffusion.sampler import Sampling, sample
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.build import build
from action_images.model.presets import PRESETS, Preset
from action_images.pipeline import Pipeline

Row = dict[str, Any]


def learn(name: str, preset: Preset, *, named: bool, core_seconds: float, autoencoder: PcaAutoencoder) -> Row:
    """Train a policy on scenes for some seconds; error of the last pose on held-out scenes."""
    torch.manual_seed(0)
    scenes, generator = Scenes(preset.size, preset.num_frames, named), torch.Generator().manual_seed(0)
    pipeline = Pipeline(build(preset, autoencoder=autoencoder))
    network = pipeline.models.denoiser.transformer
    if network.output_bias is not None:
        network.set_output_bias(_mean_latents(pipeline, scenes, network.config["bias_frames"]))
    optimizer = torch.optim.AdamW(
        pipeline.models.denoiser.parameters(), 1.5e-3, betas=(0.9, 0.95), weight_decay=0.01
    )
    began, steps, batch = time.process_time(), 0, 16
    while time.process_time() - began < core_seconds:
        scene, _ = scenes.batch(batch, generator)
        pipeline.rigs._maps.clear()
        canvas, condition = pipeline.encode(scene, MODES["policy"], scenes.num_frames)
        noise = torch.randn(canvas.latents.shape, generator=generator)
        level = flow.shifted(1 - torch.rand(batch, generator=generator), 5.0)
        velocity = pipeline.models.denoiser(
            replace(canvas, latents=flow.noised(canvas, noise, level)), level, condition
        )
        loss = flow.loss(velocity, canvas, noise).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pipeline.models.denoiser.parameters(), 1.0)
        done = (time.process_time() - began) / core_seconds
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * min(1.0, (steps + 1) / 50) * max(1 - done, 0.02)
        optimizer.step()
        steps += 1
    error, right = _judge(pipeline, scenes)
    return {
        "model": name,
        "core s": core_seconds,
        "samples": steps * batch,
        "loss": loss.item(),
        "last position cm": 100 * error,
        "right ball": right,
    }


def _mean_latents(pipeline: Pipeline, scenes: Scenes, num_frames: int) -> torch.Tensor:
    scene, _ = scenes.batch(64, torch.Generator().manual_seed(5))
    still = replace(
        scene,
        video=scene.video.expand(-1, -1, scenes.num_frames, -1, -1, -1),
        valid=scene.valid.expand(-1, scenes.num_frames),
    )
    canvas, _ = pipeline.encode(still, MODES["joint"])
    parts = canvas.layout.unpack(canvas.latents)
    means = torch.zeros(2, num_frames, canvas.latents.shape[1])
    for row, stream in enumerate(("video", "action")):
        frames = (
            torch.stack([part for segment, part in parts.items() if segment.stream == stream])
            .mean((0, 1, 4, 5))
            .mT
        )
        means[row] = torch.cat([frames, frames[-1:].expand(max(num_frames - len(frames), 0), -1)])[
            :num_frames
        ]
    return means


def _judge(pipeline: Pipeline, scenes: Scenes) -> tuple[float, float]:
    """Median distance (m) of the last position to the named ball, and how often that is the nearer ball."""
    scene, balls = scenes.batch(96, torch.Generator().manual_seed(77))
    observed = replace(scene, trajectory=scene.trajectory[:, :1])
    canvas, condition = pipeline.encode(observed, MODES["policy"], scenes.num_frames)
    done = sample(pipeline.models.denoiser, canvas, condition, Sampling(4), torch.Generator().manual_seed(0))
    trajectory = pipeline.decode(done, None, scene.cameras, ["action"]).trajectory
    distance = (trajectory.world_from_tool.translation[:, -1:] - balls).norm(dim=-1).nan_to_num(1.0)
    return distance[:, 0].median().item(), (distance[:, 0] < distance[:, 1]).float().mean().item()


def plans() -> dict[str, tuple[Preset, bool]]:
    """Name -> the model, and whether the ball to reach is named among two."""
    debug, tiny = PRESETS["debug"], PRESETS["tiny"]
    without = lambda **changes: replace(debug, transformer=debug.transformer | changes)  # noqa: E731
    return {
        "debug": (debug, False),
        "debug, no stem": (without(stem_channels=None), False),
        "debug, no output bias": (without(bias_frames=None), False),
        "debug, no segment embeddings": (without(max_views=None), False),
        "debug, given frames not marked clean": (without(per_frame_noise_level=False), False),
        "debug, no cameras": (without(camera=None), False),
        "debug, velocity": (without(prediction="velocity"), False),
        "debug, two balls, one named": (debug, True),
        "tiny": (tiny, False),
    }


def learning(*, long: bool = False, core_seconds: float = 15.0) -> Iterator[Row]:
    """What each aid is worth to a small policy after equal time on one core; one seed.

    `long` adds the preset `tiny`, with eight times that time.
    """
    _, balls = Scenes().batch(96, torch.Generator().manual_seed(77))
    mean = (balls[:, 0] - balls[:, 0].mean(0)).norm(dim=-1).median().item()
    yield {
        "model": "predicting the mean",
        "core s": 0,
        "samples": 0,
        "loss": 0.0,
        "last position cm": 100 * mean,
        "right ball": 0.5,
    }
    for name, (preset, named) in plans().items():
        if name != "tiny" or long:
            autoencoder = fitted(preset.transformer["in_channels"], Scenes(preset.size, preset.num_frames))
            yield learn(
                name,
                preset,
                named=named,
                core_seconds=core_seconds * (8 if name == "tiny" else 1),
                autoencoder=autoencoder,
            )
