"""Train the painter of models on windows whose actions are known: imagined frames against recorded ones."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from action_images.device import place_of, sent, to_cpu
from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.files.atomic import remove_leftovers, whole_folder, write_json
from action_images.files.lock import alone_in
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Clips, Models
from action_images.model.painter import Painter
from action_images.samples.loader import Batch, load
from action_images.samples.mixture import Mixture
from action_images.samples.sample import Sample
from action_images.samples.stateless_random import random_bits
from action_images.training.ranges import ABOVE_0, AT_LEAST_0, AT_LEAST_1, WITHIN_0_AND_1, check_ranges
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.run_data import checked_data
from action_images.training.setup import open_mixture, whole_samples
from action_images.training.small_run import SmallRun, check_split

MODE = "simulate"
"""The mode whose frames are painted in training: the actions are known, so each frame has one truth."""
MODEL, FIGURES, CARD = "model", "painter.json", "README.md"
"""The models with their painter in a run's folder, the evaluation, and the card of models."""
PRACTICAL = frozenset({"num_workers", "save_minutes", "judged", "frames_cache"})
"""Fields that a resumed run may change."""
CHANGED, CHANGED_WEIGHT = 0.16, 5.0
"""Pixels that differ by more than this (of a range of 2) from the given image weigh so much."""
EDGE_WEIGHT, ABSOLUTE_WEIGHT = 0.1, 0.1
"""Weights of the absolute errors of neighbours' differences, and of pixels, beside squared errors."""
WARMUP, FALL = 100, 0.6
"""Steps in which the learning rate rises, and the last share of the run over which it falls to zero."""

RANGES = {
    **dict.fromkeys(("num_steps", "batch_size", "frames_each", "judged"), AT_LEAST_1),
    **dict.fromkeys(("num_workers", "save_minutes"), AT_LEAST_0),
    "learning_rate": ABOVE_0,
    "held_out": WITHIN_0_AND_1,
}
"""Field of a run -> its range."""


@dataclass(frozen=True)
class PainterTraining:
    """A run: the models that imagine, the data, and the settings."""

    models: Path
    """The folder of models; they stay as they are."""
    data: tuple[Path, ...]
    """Data sets with tool poses and calibrated views."""
    num_steps: int = 5_000
    """Steps of the optimizer."""
    batch_size: int = 4
    """Windows in a step; each is imagined once, from two views."""
    frames_each: int = 2
    """Frames of each view of a window that are painted in a step."""
    learning_rate: float = 1.5e-3
    """Learning rate at its highest."""
    held_out: float = 0.1
    """About this share of the episodes is held out for evaluation."""
    mirror: float = 0.5
    """Probability that a window is mirrored."""
    seed: int = 0
    """Seed of the weights, of the noise, and of the choice of windows and frames."""
    num_workers: int = 2
    """Processes that decode data."""
    save_minutes: float = 5.0
    """Minutes between checkpoints."""
    judged: int = 64
    """Number of held-out windows in the evaluation."""
    frames_cache: Path | None = None
    """Folder of frames decoded once, see `Recipe.frames_cache`."""

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)

    def recipe(self, clips: Clips, part: str) -> Recipe:
        """The same data in the form of a recipe, at the rate of the models' clips."""
        sources = tuple(
            SourceRecipe(
                path,
                ratio=float(len(Dataset(path))),
                modes={MODE: 1.0},
                drop_text=1.0,
                stride=max(1, round(Dataset(path).fps / clips.fps)),
                part=part,  # type: ignore[arg-type]
                held_out=self.held_out,
                held_out_by="episode",
                mirror=self.mirror if part == "train" else 0.0,
            )
            for path in self.data
        )
        return Recipe(
            preset="tiny",
            sources=sources,
            size=clips.size,
            num_frames=clips.num_frames,
            seed=self.seed,
            frames_cache=self.frames_cache,
        )


def train_painter(
    run: PainterTraining,
    out: Path,
    device: torch.device | str = "cpu",
    told: Callable[[int, float], None] = lambda step, loss: None,  # noqa: ARG005
) -> dict[str, float]:
    """Train, write the models with their painter to `out/model`, and return the evaluation.

    After an interruption, the same call continues. Raises ActionImagesError for models that do not simulate
    or do not say their clips, for data that does not fit them, and if the loss is not finite.
    """
    if run.models.resolve() == (out / MODEL).resolve():
        raise ActionImagesError(f"{run.models}: is where the models with a painter go; name another --out")
    if (out / MODEL).exists() and not (out / FIGURES).is_file():
        raise ActionImagesError(
            f"{out / MODEL}: holds models that no painter was learnt for; name another --out"
        )
    if not run.data:
        raise ActionImagesError("no data to learn from; name at least one data set")
    models = Models.load(run.models).to(place_of(device).device)
    if models.clips is None:
        raise ActionImagesError(f"{run.models}: does not say what clips it was trained on; train it again")
    generator = ClipGenerator.of(replace(models, painter=None))
    recipe, held_out = run.recipe(models.clips, "train"), run.recipe(models.clips, "held_out")
    whole = run.recipe(models.clips, "all")
    check_split(open_mixture(whole.sources, whole, models.clips, run.seed), run.held_out)
    say = _silent if run.frames_cache is not None else None
    mixture = open_mixture(recipe.sources, recipe, models.clips, run.seed, say)
    judged = open_mixture(held_out.sources, held_out, models.clips, run.seed, say)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        painter = Painter()
    torch.nn.Module.to(painter, generator.device)
    with alone_in(out):
        remove_leftovers(out)
        _learn(run, out, mixture, generator, painter, told)
        figures = judge(generator, painter, judged, run.judged)
        write_json(out / FIGURES, {"run": _plain(run), **figures})
        with whole_folder(out / MODEL) as unfinished:
            replace(models, painter=painter).save(unfinished)
            (unfinished / CARD).write_text(_card(run, figures), encoding="utf-8")
    return figures


def judge(generator: ClipGenerator, painter: Painter, mixture: Mixture, num: int) -> dict[str, float]:
    """PSNR (dB) of held-out windows, the mean over windows and views.

    Of the last frame and of all later ones, and of the pixels that change; painted, as the transformer has
    them, and standing still.
    """
    ways: dict[str, list[Tensor]] = {"painted": [], "imagined": [], "still": []}
    changes: list[Tensor] = []
    for sample in whole_samples(mixture, generator.clips, num):
        frames = _frames(generator, sample, [0])
        changes.append(frames.changed)
        for name, shown in (
            ("painted", painter.paint(frames.given, frames.actions, frames.imagined)),
            ("imagined", frames.imagined),
            ("still", frames.real[:, :, :1].expand_as(frames.real)),
        ):
            error = (shown - frames.real)[:, :, 1:].square().mean(-3)
            ways[name].append(to_cpu(error, "painter"))
    changed = torch.cat([to_cpu(one, "painter") for one in changes])
    figures: dict[str, float] = {"windows": float(len(changed))}
    for name, errors in ways.items():
        error = torch.cat(errors)
        each = -10 * error.mean((-2, -1)).clamp_min(1e-10).log10()
        figures[f"{name}, last frame dB"] = each[..., -1].mean().item()
        figures[f"{name}, all frames dB"] = each.mean().item()
        figures[f"{name}, changed pixels dB"] = -10 * math.log10(max(error[changed].mean().item(), 1e-10))
    return figures


@dataclass(frozen=True)
class _Frames:
    """A batch of windows as a painter sees them."""

    given: Tensor
    """(b view 3 h w) in [-1, 1]"""
    actions: Tensor
    """(b view frame 3 h w) in [0, 1], through the autoencoder, as on a canvas."""
    imagined: Tensor
    """The same axes, in [0, 1]."""
    real: Tensor
    """The same axes, in [0, 1]."""

    @property
    def changed(self) -> Tensor:
        """Pixels (b view later h w) that differ from the first frame."""
        return (self.real[:, :, 1:] - self.real[:, :, :1]).abs().amax(-3) > CHANGED / 2


@torch.no_grad()
def _frames(generator: ClipGenerator, sample: Sample, seeds: list[int]) -> _Frames:
    pipeline = generator.pipeline
    imagined = generator.generate(sample, MODE, seeds, wanted=("video",)).video
    sample = sent(sample.normalised(), generator.device)
    drawn = pipeline.draw(sample.trajectory, sample.cameras)
    autoencoder = pipeline.models.autoencoder
    actions = autoencoder.decode(autoencoder.encode(drawn)).add(1).div(2).clamp(0, 1)
    assert imagined is not None
    real = sample.video.add(1).div(2)
    return _Frames(sample.video[:, :, 0], actions, sent(imagined, generator.device), real)


def _learn(
    run: PainterTraining,
    out: Path,
    mixture: Mixture,
    generator: ClipGenerator,
    painter: Painter,
    told: Callable[[int, float], None],
) -> None:
    painter.train()
    optimizer = torch.optim.AdamW(
        painter.parameters(), run.learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    small = SmallRun(out, painter, optimizer, _plain(run), run.save_minutes)
    first = small.restore(PRACTICAL)
    checked_data(out, mixture, (), begun=first > 0).save(out)
    batches = load(
        mixture,
        batch_size=run.batch_size,
        num_steps=run.num_steps - first,
        start=first,
        size=generator.clips.size,
        num_workers=run.num_workers,
        device=generator.device,
    )

    def loss_of(batch: Batch, step: int) -> Tensor:
        return _loss(run, generator, painter, batch.sample, step)

    small.learn(batches, first, loss_of, lambda step: run.learning_rate * _share(step, run.num_steps), told)
    painter.eval()


def _share(step: int, num_steps: int) -> float:
    """The learning rate's share of its highest."""
    return min(1.0, (step + 1) / WARMUP, (1 - step / num_steps) / FALL)


def _loss(
    run: PainterTraining, generator: ClipGenerator, painter: Painter, sample: Sample, step: int
) -> Tensor:
    """Squared errors, those of changed pixels with more weight, and absolute errors of pixels and edges."""
    seeds = [random_bits(run.seed, step, number) >> 1 for number in range(len(sample.video))]
    frames = _frames(generator, sample, seeds)
    choice = torch.Generator().manual_seed(random_bits(run.seed, step, "frames") >> 1)
    num_later = frames.real.shape[2] - 1
    places = 1 + torch.randperm(num_later, generator=choice)[: run.frames_each].sort().values
    taken = torch.cat([torch.zeros(1, dtype=torch.long), places])
    given = frames.given[:, :, None].expand_as(frames.real[:, :, places])
    images = 2 * frames.actions[:, :, taken] - 1
    first = images[:, :, :1].expand_as(images[:, :, 1:])
    shown = 2 * frames.imagined[:, :, places] - 1
    painted = painter(*(part.flatten(0, 2) for part in (given, first, images[:, :, 1:], shown)))
    real = (2 * frames.real[:, :, places] - 1).flatten(0, 2)
    changed = frames.changed[:, :, places - 1].flatten(0, 2)[:, None]
    error = (painted - real) * torch.where(changed, CHANGED_WEIGHT, 1.0)
    edges = [(painted - real).diff(dim=axis).abs().mean() for axis in (-1, -2)]
    return error.square().mean() + ABSOLUTE_WEIGHT * error.abs().mean() + EDGE_WEIGHT * sum(edges) / 2


def _plain(run: PainterTraining) -> dict[str, Any]:
    values = asdict(run)
    cache = None if run.frames_cache is None else str(run.frames_cache)
    return {
        **values,
        "models": str(run.models),
        "data": [str(path) for path in run.data],
        "frames_cache": cache,
    }


def _card(run: PainterTraining, figures: dict[str, float]) -> str:
    """The card of the models, if they have one, with a part on their painter."""
    card = run.models / CARD
    before = card.read_text(encoding="utf-8") if card.is_file() else "# Models with a painter\n"
    told = f"{run.num_steps} steps of {run.batch_size} windows of {', '.join(path.name for path in run.data)}"
    rows = [f"- {name}: {value:.4g}" for name, value in figures.items()]
    return "\n".join(
        [before, "## Painter", f"It paints imagined frames. {told}; held-out windows:", "", *rows, ""]
    )


def _silent(_: str) -> None:
    """Says nothing: the progress of decoding is not told."""
