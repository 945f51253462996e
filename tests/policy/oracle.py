"""A denoiser that knows the truth: the exact velocity to the canvas of what the expert did."""

from dataclasses import replace

import torch

from action_images.canvas import MODES
from action_images.codec import draw
from action_images.evaluation.expert import demonstrated
from action_images.geometry import Trajectory
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.build import build
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import PRESETS
from action_images.pipeline import Pipeline
from action_images.samples.sample import Sample
from action_images.sim import Tabletop

CLIPS = Clips((64, 64), 9, 5.0, "four-steps")
DEBUG = replace(
    PRESETS["debug"],
    transformer={**PRESETS["debug"].transformer, "in_channels": 64, "out_channels": 64},
    autoencoder={"channels": 64},
)


def fitted_models(environment: Tabletop, seed: int, clips: Clips = CLIPS) -> Models:
    """Random weights behind an autoencoder that is fitted to one expert's action images and its views."""
    seen = environment.reset(seed)
    recorded, _ = demonstrated(environment, seed)
    windows = [
        recorded[[min(start + 4 * i, recorded.num_frames - 1) for i in range(clips.num_frames)]]
        for start in range(0, 24, 3)
    ]
    cameras = seen.cameras.resize(*clips.size)
    pictures = [(draw(window, cameras) * 2 - 1, 10.0) for window in windows]
    still = seen.images[:, None].expand(-1, clips.num_frames, -1, -1, -1) / 127.5 - 1
    autoencoder = PcaAutoencoder(**DEBUG.autoencoder).fit([*pictures, (still, 1.0)])
    models = replace(build(DEBUG, autoencoder=autoencoder), clips=clips)
    # A new network's last layer is zero, which would make its canvas the same whatever the noise.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in models.denoiser.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return models


class Oracle(CanvasDenoiser):
    """Knows the recorded path of the trial under way in `environment`, and where its clock stands."""

    def __init__(self, models: Models, environment: Tabletop, recorded: Trajectory) -> None:
        super().__init__(models.denoiser.transformer)
        self.pipeline, self.environment, self.recorded = Pipeline.of(models), environment, recorded
        self.num_calls = 0

    def forward(self, canvas, noise_level, condition, branch="conditional"):  # noqa: ARG002 (a Denoiser's arguments)
        self.num_calls += 1
        clips = self.pipeline.models.clips
        now, last = self.environment.num_steps, self.recorded.num_frames - 1
        frames = [min(now + 4 * i, last) for i in range(clips.num_frames)]
        cameras = self.environment.cameras.resize(*clips.size)[None, :, None]
        blank = torch.zeros(1, 2, 1, 3, *clips.size)
        truth = Sample(blank, cameras, self.recorded[frames][None], torch.ones(1, 1, dtype=torch.bool), ("",))
        clean, _ = self.pipeline.encode(truth, MODES["policy"], clips.num_frames)
        return (canvas.latents - clean.latents) / noise_level.view(-1, 1, 1, 1, 1)
