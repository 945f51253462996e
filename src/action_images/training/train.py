"""The training loop: read it downward."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from action_images.data.loader import Batch, load
from action_images.data.mixture import Mixture, fingerprint
from action_images.model.door import CanvasDenoiser
from action_images.model.models import Clips, Models
from action_images.pipeline import Pipeline
from action_images.training import checkpoint
from action_images.training.average import Average
from action_images.training.batches import Noised, layout_kind, losses, noised_batches
from action_images.training.checkpoint import Progress
from action_images.training.log import Log
from action_images.training.optimizer import build_optimizer, choose_trainable, learning_rate
from action_images.training.recipe import Recipe, differences
from action_images.training.setup import Budget, clips_of, open_mixture, prepare_models
from action_images.training.validation import Judged, Validation

CHECKPOINTS, MODEL = "checkpoints", "model"
Show = Callable[[int, Judged], None]
"""Called after each validation with the step and what was judged, to make pictures of it."""


class NotFiniteError(ValueError):
    """The loss was no number."""


def train(recipe: Recipe, out: Path, show: Show | None = None, trackers: tuple[str, ...] = ("tensorboard",)) -> Path:
    """Run a recipe to its end, or on from where `out` stands, and return the folder of the finished models.

    Interrupted (SIGINT, SIGTERM) it saves and raises KeyboardInterrupt. Raises ValueError where `out` holds a run of
    another recipe, naming what differs, and NotFiniteError, with the addresses of its samples in `out`, at a loss that
    is no number.
    """
    run = Run.start(recipe, out, trackers)
    validation = Validation.of(recipe, run.clips) if recipe.validation else None
    with interruptible() as interrupted:
        for step, batches in run.steps():
            loss, norm = run.learn(step, batches)
            run.log.step(step, loss, norm, learning_rate(step, recipe), recipe.batch_size)
            stop = interrupted() or step + 1 == recipe.num_steps
            if validation is not None and (run.due("validate", recipe.validate_minutes) or step + 1 == recipe.num_steps):
                run.validate(step, validation, show)
            if run.due("save", recipe.save_minutes) or stop:
                run.save()
            if interrupted():
                raise KeyboardInterrupt
    return run.finish()


@dataclass
class Run:
    """A run under way: what learns, and where it stands."""

    recipe: Recipe
    out: Path
    accelerator: Accelerator
    clips: Clips
    mixture: Mixture
    models: Models
    pipeline: Pipeline
    module: nn.Module
    optimizer: Any
    average: Average
    progress: Progress
    log: Log
    began: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(cls, recipe: Recipe, out: Path, trackers: tuple[str, ...] = ()) -> "Run":
        """Everything ready for the next step; goes on from the newest checkpoint in `out` if there is one."""
        accelerator = Accelerator(mixed_precision=recipe.mixed_precision, log_with=list(trackers) or None, project_dir=out)
        clips = clips_of(recipe)
        mixture = open_mixture(recipe.sources, recipe, clips, recipe.seed)
        found = _newest(out, recipe)
        models = Models.load(out / MODEL) if found else prepare_models(recipe, clips, mixture)
        if not found and accelerator.is_main_process:
            models.save(out / MODEL)  # the fitted autoencoder and the configs, before anything is learnt
        accelerator.wait_for_everyone()
        transformer = models.denoiser.transformer
        choose_trainable(transformer, recipe)
        if recipe.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        models = models.to(accelerator.device)
        module, optimizer = accelerator.prepare(models.denoiser, build_optimizer(models.denoiser, recipe))
        progress = Progress(0, fingerprint(mixture))
        average = Average(module, recipe.ema_decay)
        if found:
            tensors, _, progress = found
            if progress.fingerprint != fingerprint(mixture):
                raise ValueError(f"{out}: the data has changed since this run began; restore it, or begin another run in another folder")
            average.load(checkpoint.restore(tensors, module, optimizer.optimizer))
        log = Log(accelerator, recipe.num_steps, progress.step, recipe.as_json() if trackers else None)
        return cls(recipe, out, accelerator, clips, mixture, models, Pipeline.of(models), module, optimizer, average, progress, log)

    def steps(self) -> Iterator[tuple[int, tuple[Batch, ...]]]:
        """The steps that are left, each with this process's samples."""
        start, ranks = self.progress.step, self.accelerator.num_processes
        budget = Budget.of(self.recipe, ranks)
        batches = load(
            self.mixture, budget.per_process, self.recipe.num_steps - start, start, self.clips.size, self.accelerator.process_index,
            ranks, self.recipe.num_workers, self.accelerator.device, layout_kind,
        )  # fmt: skip
        self.began = dict.fromkeys(("validate", "save", "clock"), time.monotonic())
        return enumerate(batches, start)

    def learn(self, step: int, batches: tuple[Batch, ...]) -> tuple[float, float]:
        """One step; returns the mean loss over all processes and the norm of its gradient."""
        recipe, accelerator = self.recipe, self.accelerator
        # Sharded weights are gathered in every pass, so all processes must make the same number of them.
        sharded = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
        size = 1 if sharded else recipe.micro_batch_size
        parts = list(noised_batches(self.pipeline, batches, recipe, size, self.clips.num_frames))
        num_samples = sum(len(part.draws) for part in parts)
        total = torch.zeros((), device=accelerator.device)
        for number, part in enumerate(parts, 1):
            synced = nullcontext() if number == len(parts) else accelerator.no_sync(self.module)
            with synced, accelerator.autocast():
                loss = losses(self.module, part, recipe).sum() / num_samples
                accelerator.backward(loss)
            total += loss.detach()
        norm = accelerator.clip_grad_norm_(self.module.parameters(), recipe.clip_gradient)
        self._check_finite(step, total, parts)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.module)
        self.progress = replace(self.progress, step=step + 1)
        return self._over_processes(total, "mean"), float(norm) if norm is not None else math.nan

    def due(self, what: str, minutes: float) -> bool:
        """Whether so many minutes have passed since it was last due, by the clock of the first process."""
        now = time.monotonic()
        passed = self.accelerator.is_main_process and now - self.began[what] > 60 * minutes
        is_due = self._over_processes(torch.tensor(float(passed), device=self.accelerator.device), "sum") > 0
        if is_due:
            self.began[what] = now
        return is_due

    def _over_processes(self, value: Tensor, reduction: Literal["mean", "sum"]) -> float:
        reduced = self.accelerator.reduce(value, reduction)
        assert isinstance(reduced, Tensor)
        return reduced.item()

    def validate(self, step: int, validation: Validation, show: Show | None) -> None:
        """Judge the averaged weights on held-out windows; the best so far are kept in a folder of their own."""
        with self.averaged() as models:
            judged = validation.judge(Pipeline.of(models))
            self.log.validated(step, judged.figures)
            if show is not None and self.accelerator.is_main_process:
                show(step, judged)
            if self.progress.best is None or judged.score < self.progress.best:
                self.progress = replace(self.progress, best=judged.score)
                if self.accelerator.is_main_process:
                    models.save(self.out / "best")

    @contextmanager
    def averaged(self) -> Iterator[Models]:
        """The models with the averaged weights in the place of the last ones, for as long as this lasts."""
        with self.average.in_place_of(self.module):
            denoiser = self.accelerator.unwrap_model(self.module)
            assert isinstance(denoiser, CanvasDenoiser)
            denoiser.eval()
            yield replace(self.models, denoiser=denoiser)
            denoiser.train()

    def save(self) -> None:
        """A checkpoint of now."""
        now = time.monotonic()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self.began["clock"])
        self.began["clock"] = now
        tensors = checkpoint.gather(self.module, self.optimizer.optimizer, self.average.named())
        if self.accelerator.is_main_process:
            checkpoint.save(self.out / CHECKPOINTS, tensors, self.recipe, self.progress, self.recipe.keep_last)
        self.accelerator.wait_for_everyone()

    def finish(self) -> Path:
        """Save the averaged weights as finished models."""
        with self.averaged() as models:
            if self.accelerator.is_main_process:
                models.save(self.out / MODEL)
        self.log.close()
        return self.out / MODEL

    def _check_finite(self, step: int, loss: Tensor, parts: list[Noised]) -> None:
        if torch.isfinite(loss):
            return
        path = self.out / f"not_finite_step_{step}_rank_{self.accelerator.process_index}.txt"
        path.write_text("\n".join(f"{draw.source} {draw.window} {draw.task}" for part in parts for draw in part.draws) + "\n")
        raise NotFiniteError(
            f"step {step}: the loss is {loss.item()}; its samples are listed in {path}: look at them with 'action-images check', "
            "or take a lower learning rate; the last checkpoint is as it was"
        )


def _newest(out: Path, recipe: Recipe) -> tuple[dict[str, Tensor], Recipe, Progress] | None:
    found = checkpoint.checkpoints(out / CHECKPOINTS)
    if not found:
        return None
    tensors, old, progress = checkpoint.load(found[-1])
    changed = differences(old, recipe)
    if changed:
        raise ValueError(f"{out}: holds a run of another recipe; begin in another folder, or keep these as they were: {'; '.join(changed)}")
    return tensors, old, progress


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM has come; a second one ends the process as ever."""
    came: list[int] = []
    before = {}

    def remember(number: int, _: Any) -> None:
        came.append(number)
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
