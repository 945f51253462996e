"""Train a convolutional autoencoder on videos and action images, and evaluate its reconstructions."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from action_images.device import place_of, sent, to_cpu
from action_images.errors import ActionImagesError
from action_images.files.atomic import remove_leftovers, write_json
from action_images.files.lock import alone_in
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.build import build_transformer
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import Preset, preset_named
from action_images.model.text import HashedWords
from action_images.pipeline import Pipeline, Prediction
from action_images.samples.loader import Batch, load
from action_images.samples.mixture import Mixture
from action_images.samples.sample import Sample, collate
from action_images.samples.stateless_random import random_bits
from action_images.training.ranges import ABOVE_0, AT_LEAST_0, AT_LEAST_1, WITHIN_0_AND_1, check_ranges
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.run_data import checked_data
from action_images.training.setup import clips_of, open_mixture
from action_images.training.small_run import SmallRun, check_split

FIGURES = "figures.json"
"""The evaluation in a run's folder."""
PRACTICAL = frozenset({"num_workers", "save_minutes", "judged"})
"""Fields that a resumed run may change."""
KL_WEIGHT = 1e-6
"""Weight of the KL divergence of the latents, which only need to stay bounded."""
MOMENT_CLIPS = 256
"""The number of clips for the latents' means and deviations."""

RANGES = {
    **dict.fromkeys(("size", "num_frames", "num_steps", "batch_size", "judged"), AT_LEAST_1),
    **dict.fromkeys(("action_weight", "num_workers", "save_minutes"), AT_LEAST_0),
    "learning_rate": ABOVE_0,
    "held_out": WITHIN_0_AND_1,
}
"""Field of a run -> its range."""


@dataclass(frozen=True)
class AutoencoderTraining:
    """A run: its data and its settings."""

    data: tuple[Path, ...]
    """Data sets with tool poses and calibrated views."""
    preset: str = "base"
    """The preset of the autoencoder, and of the size and length of clips."""
    size: tuple[int, int] | None = None
    """Height and width in px; None takes the preset's."""
    num_frames: int | None = None
    """Frames of a clip; None takes the preset's."""
    num_steps: int = 50_000
    """Steps of the optimizer."""
    batch_size: int = 8
    """Clips of video in a step, and as many of action images."""
    learning_rate: float = 2e-4
    """Learning rate at its highest; it falls to zero along a cosine."""
    action_weight: float = 4.0
    """Weight of an action image against a video, as most of its pixels are black."""
    held_out: float = 0.1
    """About this share of the episodes is held out for evaluation."""
    seed: int = 0
    """Seed of the weights, the order of the data and the noise."""
    num_workers: int = 2
    """Processes that decode data."""
    save_minutes: float = 10.0
    """Minutes between checkpoints."""
    judged: int = 48
    """Number of held-out windows in the evaluation."""

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)

    def recipe(self, part: str) -> Recipe:
        """The same data in the form of a recipe."""
        sources = tuple(
            SourceRecipe(
                path,
                modes={"joint": 1.0},
                part=part,  # type: ignore[arg-type]
                held_out=self.held_out,
                held_out_by="episode",
            )
            for path in self.data
        )
        return Recipe(
            preset=self.preset, sources=sources, size=self.size, num_frames=self.num_frames, seed=self.seed
        )


def train_autoencoder(
    run: AutoencoderTraining,
    out: Path,
    device: torch.device | str = "cpu",
    told: Callable[[int, float], None] = lambda step, loss: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Train, write the autoencoder to `out` in diffusers' layout, and return the evaluation.

    After an interruption, the same call continues. Raises ActionImagesError for presets without such an
    autoencoder, and if the loss is not finite.
    """
    preset = preset_named(run.preset)
    if preset.autoencoder_kind != WanAutoencoder.kind:
        raise ActionImagesError(
            f"{run.preset}: its autoencoder is not learnt but fitted when training begins; take one with "
            "a convolutional one, such as base"
        )
    recipe, held_out = run.recipe("train"), run.recipe("held_out")
    clips = clips_of(recipe)
    whole = run.recipe("all")
    check_split(open_mixture(whole.sources, whole, clips, run.seed), run.held_out)
    mixture = open_mixture(recipe.sources, recipe, clips, run.seed)
    judged = open_mixture(held_out.sources, held_out, clips, run.seed)
    autoencoder = _new(preset, run.seed).to(place_of(device).device)
    pipeline = _around(autoencoder, preset, clips)
    with alone_in(out):
        remove_leftovers(out)
        _learn(run, out, mixture, pipeline, told)
        _set_statistics(pipeline, mixture, clips)
        figures = judge(pipeline, judged, clips, run.judged)
        autoencoder.save(out)
        write_json(out / FIGURES, {"run": _plain(run), **figures})
    return figures


def judge(pipeline: Pipeline, mixture: Mixture, clips: Clips, num: int) -> dict[str, Any]:
    """The reconstruction quality of held-out clips, and the errors of poses read from action images.

    PSNR in dB is over all clips; errors are over all frames with a pose: medians, and the 95th percentile.
    """
    errors, metres, radians, valid = [], [], [], []
    for sample in _samples(mixture, clips, num):
        sample = sent(sample, _device_of(pipeline))
        assert sample.trajectory is not None
        errors.append((_there_and_back(pipeline, sample.video) - sample.video).div(2).square().mean())
        drawn = pipeline.draw(sample.trajectory, sample.cameras)
        shown = _there_and_back(pipeline, drawn).add(1).div(2).clamp(0, 1)
        reading = pipeline.read(Prediction(None, shown, None), sample.cameras).reading
        if reading is None:
            raise ActionImagesError("reading a path back takes at least two calibrated views in each sample")
        near = sample.trajectory.world_from_tool.distance(reading.trajectory.world_from_tool)
        metres.append(to_cpu(near[0][reading.valid], "autoencoder"))
        radians.append(to_cpu(near[1][reading.valid], "autoencoder"))
        valid.append(reading.valid.float().mean())
    far, turned = torch.cat(metres), torch.cat(radians)
    known = len(far) > 0
    return {
        "windows": len(errors),
        "video PSNR dB": -10 * math.log10(torch.stack(errors).mean().item()),
        "position mm": 1e3 * far.median().item() if known else None,
        "p95 mm": 1e3 * far.quantile(0.95).item() if known else None,
        "rotation deg": math.degrees(turned.median().item()) if known else None,
        "valid": torch.stack(valid).mean().item(),
    }


def _new(preset: Preset, seed: int) -> WanAutoencoder:
    channels = preset.autoencoder.get("z_dim", 16)
    statistics = {"latents_mean": [0.0] * channels, "latents_std": [1.0] * channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WanAutoencoder.new(**{**preset.autoencoder, **statistics})


def _around(autoencoder: WanAutoencoder, preset: Preset, clips: Clips) -> Pipeline:
    """A pipeline for drawing and reading, with a network without weights."""
    with torch.device("meta"):
        network = build_transformer(preset)
    text = HashedWords(**(preset.hashed_words or {"dim": network.config["text_dim"]}))
    return Pipeline.of(Models(CanvasDenoiser(network), autoencoder, text, clips))


def _learn(
    run: AutoencoderTraining,
    out: Path,
    mixture: Mixture,
    pipeline: Pipeline,
    told: Callable[[int, float], None],
) -> None:
    vae: Any = pipeline.models.autoencoder.vae  # type: ignore[attr-defined]
    vae.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(vae.parameters(), run.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    small = SmallRun(out, vae, optimizer, _plain(run), run.save_minutes)
    first = small.restore(PRACTICAL)
    checked_data(out, mixture, (), begun=first > 0).save(out)
    batches = load(
        mixture,
        batch_size=run.batch_size,
        num_steps=run.num_steps - first,
        start=first,
        size=clips_size(pipeline),
        num_workers=run.num_workers,
        device=_device_of(pipeline),
    )

    def loss_of(batch: Batch, step: int) -> Tensor:
        return _loss(run, pipeline, vae, batch.sample, step)

    def rate_of(step: int) -> float:
        return run.learning_rate * 0.5 * (1 + math.cos(math.pi * step / run.num_steps))

    small.learn(batches, first, loss_of, rate_of, told)
    vae.requires_grad_(False).eval()


def _loss(run: AutoencoderTraining, pipeline: Pipeline, vae: Any, sample: Sample, step: int) -> Tensor:
    """The absolute error of one view of each sample, as video and as action images, and the latents' KL."""
    view = random_bits(run.seed, step, "view") % sample.video.shape[1]
    drawn = pipeline.draw(sample.trajectory, sample.cameras)[:, view]
    clips = torch.cat([sample.video[:, view], drawn]).transpose(1, 2)
    noise = torch.Generator().manual_seed(random_bits(run.seed, step, "noise") >> 1)
    parts = [_error(vae, clip[None], noise) for clip in clips]
    number = len(sample.video)
    errors, distances = map(torch.stack, zip(*parts, strict=True))
    error = errors[:number].mean() + run.action_weight * errors[number:].mean()
    return error + KL_WEIGHT * distances.mean()


def _error(vae: Any, clip: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The reconstruction error of one clip (1 3 frame height width), and the KL of its latents."""
    posterior = vae.encode(clip).latent_dist
    noise = sent(torch.randn(posterior.mean.shape, generator=generator), clip.device)
    shown = vae.decode(posterior.mean + posterior.std * noise).sample
    return F.l1_loss(shown, clip), posterior.kl().mean()


@torch.no_grad()
def _set_statistics(pipeline: Pipeline, mixture: Mixture, clips: Clips) -> None:
    """Set the config's statistics, so that latents of videos and action images have zero mean and unit
    variance."""
    autoencoder: Any = pipeline.models.autoencoder
    number, sums = 0, torch.zeros(2, autoencoder.channels, dtype=torch.float64)
    for sample in _samples(mixture, clips, MOMENT_CLIPS):
        sample = sent(sample, _device_of(pipeline))
        both = torch.cat([sample.video, pipeline.draw(sample.trajectory, sample.cameras)], 1)
        latents = to_cpu(autoencoder.encode(both), "autoencoder").movedim(-4, 0).flatten(1).double()
        number += latents.shape[1]
        sums += torch.stack([latents.sum(1), latents.square().sum(1)])
    mean = sums[0] / number
    std = (sums[1] / number - mean.square()).clamp_min(1e-12).sqrt()
    autoencoder.vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    for name, value in (("mean", mean), ("std", std)):
        getattr(autoencoder, name).copy_(value[:, None, None, None])


def _samples(mixture: Mixture, clips: Clips, num: int) -> Iterator[Sample]:
    """The mixture's first windows with all their frames, in batches of one."""
    for index in range(min(num, sum(len(source) for source in mixture.sources))):
        draw = replace(mixture[index], mode=None)
        yield collate([mixture.sample(draw, clips.size)]).normalised()


@torch.no_grad()
def _there_and_back(pipeline: Pipeline, video: Tensor) -> Tensor:
    autoencoder = pipeline.models.autoencoder
    return autoencoder.decode(autoencoder.encode(video))


def _device_of(pipeline: Pipeline) -> torch.device:
    return pipeline.models.autoencoder.mean.device  # type: ignore[attr-defined]


def clips_size(pipeline: Pipeline) -> tuple[int, int]:
    """Height and width of the clips that a pipeline's models are for."""
    assert pipeline.models.clips is not None
    return pipeline.models.clips.size


def _plain(run: AutoencoderTraining) -> dict[str, Any]:
    values = asdict(run)
    return {**values, "data": [str(path) for path in run.data]}
