"""The training loop: read it downward."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Clips, Models
from action_images.pipeline import Pipeline
from action_images.samples.loader import Batch, load
from action_images.samples.mixture import Mixture, fingerprint
from action_images.training import checkpoint
from action_images.training.batches import Noised, draw_kind, layout_kind, noised_batches
from action_images.training.checkpoint import Progress
from action_images.training.ema import EMA
from action_images.training.engine import Engine, engine_of
from action_images.training.finite import check_finite
from action_images.training.frozen import FrozenCache, frozen_of, with_cache
from action_images.training.fsdp import forget_whole_weights
from action_images.training.interruption import interruptible
from action_images.training.interval import Interval
from action_images.training.log import Log, check_trackers, plain_console
from action_images.training.objective import ACTION_IMAGES, Objective, check_objective
from action_images.training.optimizer import learning_rate
from action_images.training.processes import agreed, join_processes, raised_together, summed
from action_images.training.recipe import Recipe
from action_images.training.room import check_room
from action_images.training.run_data import check_same_data, checked_data, judged_on
from action_images.training.run_folder import (
    BEST,
    CHECKPOINTS,
    MODEL,
    PLATEAU,
    START,
    alone_with_run,
    back_to_the_plateau,
    check_minutes,
    check_recipe,
    clean,
    is_begun,
    newest_checkpoint,
)
from action_images.training.same_start import check_same_start
from action_images.training.saving import Saving, write_start
from action_images.training.schedule import Fall, fall_from_now, planned_fall
from action_images.training.setup import (
    clips_of,
    learnt_and_judged,
    left_out,
    open_mixture,
    read_models,
    share_of,
    warning_of_rate,
)
from action_images.training.validation import Judged, Validation

Show = Callable[[int, Judged], None]
"""Called after each validation with the number of steps done and its results, to make pictures of them."""


def train(
    recipe: Recipe,
    out: Path,
    show: Show | None = None,
    trackers: tuple[str, ...] = (),
    objective: Objective = ACTION_IMAGES,
    *,
    device: str = "auto",
) -> Path:
    """Run a recipe to its end, or continue the run in `out`, and return the folder of the finished models.

    `objective` is the one that the recipe's `learns` names (see `recipes.objective_of`), `device` one that
    `device.place_of` takes; each of several processes has its own of that kind.

    When interrupted (see `interruption.ASKING`), it saves and raises KeyboardInterrupt. Raises
    ActionImagesError if another process trains in `out`, or if `out` holds a run of another recipe, naming
    the differences. Raises NotFiniteError if the loss is not finite, with the addresses of its samples in
    `out`.
    """
    # Opened first, so that an error in it leaves no folder of a run that has not begun.
    clips = clips_of(recipe)
    validation = Validation.of(recipe, clips, objective) if recipe.validation else None
    accelerator = joined(recipe, out, trackers, objective, device=device)
    is_sharded = accelerator.distributed_type is DistributedType.FSDP
    check_room(recipe, clips, accelerator.device, accelerator.num_processes, sharded=is_sharded)
    with alone_with_run(accelerator, out):
        run = Run.start(recipe, out, trackers, objective, validation, accelerator=accelerator)
        if validation is not None:
            for warning in learnt_and_judged(run.mixture, validation.mixtures.values()):
                run.log.console.print(warning, style="yellow")
        with interruptible() as interrupted, run.log:
            for step, batches in run.steps():
                loss, norm = run.learn(step, batches)
                run.log.step(step, loss, norm, learning_rate(step, recipe, run.fall), recipe.batch_size)
                stop, validate, save = run.agreed(stop=interrupted())
                is_last = step + 1 == run.end
                judge = validation is not None and (validate or is_last) and not stop
                if save or stop or is_last or judge:
                    run.save()
                if validation is not None and judge:
                    run.validate(validation, show)
                if stop:
                    run.saving.settle()
                    raise KeyboardInterrupt
                if is_last:
                    break
            if validation is not None and run.progress.judged != run.progress.step:
                # An earlier process was stopped between the last step and its validation.
                run.validate(validation, show)
        return run.finish()


def joined(
    recipe: Recipe,
    out: Path,
    trackers: tuple[str, ...] = (),
    objective: Objective = ACTION_IMAGES,
    *,
    device: str = "auto",
) -> Accelerator:
    """Join the processes of the run; raises ActionImagesError if they cannot run the recipe, or if the device
    does not exist."""
    check_trackers(trackers)
    check_objective(objective, recipe)
    accelerator = join_processes(
        recipe.mixed_precision, device, log_with=list(trackers) or None, project_dir=out
    )
    share_of(recipe, accelerator.num_processes)
    return accelerator


@dataclass
class Run:
    """A run under way: its models and its progress."""

    recipe: Recipe
    out: Path
    accelerator: Accelerator
    clips: Clips
    mixture: Mixture
    models: Models
    pipeline: Pipeline
    frozen: FrozenCache | None
    """The cache of the frozen parts' outputs, if the recipe has one."""
    engine: Engine
    ema: EMA
    progress: Progress
    log: Log
    objective: Objective = ACTION_IMAGES
    validations: Interval = field(init=False)
    checkpoints: Interval = field(init=False)
    saving: Saving = field(init=False)
    resumed: float = field(init=False, default=0.0)
    """The start of the time that `progress` does not include yet."""

    def __post_init__(self) -> None:
        self.saving = Saving(self.recipe, self.accelerator, self.clips, self.mixture, self.engine, self.ema)

    @classmethod
    def start(
        cls,
        recipe: Recipe,
        out: Path,
        trackers: tuple[str, ...] = (),
        objective: Objective = ACTION_IMAGES,
        validation: Validation | None = None,
        *,
        accelerator: Accelerator | None = None,
    ) -> "Run":
        """Prepare everything for the next step, from the newest checkpoint in `out` if there is one.

        If the data of `validation` has changed, the best score so far is dropped. `accelerator` is the result
        of `joined`. Raises ActionImagesError in all processes if they would start from different states, or
        if the data that the run learns from has changed.
        """
        accelerator = accelerator or joined(recipe, out, trackers, objective)
        with raised_together(accelerator):
            check_recipe(out, recipe)
            clips = clips_of(recipe)
            mixture = open_mixture(recipe.sources, recipe, clips, recipe.seed, _say(accelerator))
            judged = () if validation is None else validation.mixtures.values()
            is_main = accelerator.is_main_process
            if is_main:
                clean(out)
            # Every process reads its own copy: its machine may have other files under the same paths.
            begun = is_main and is_begun(out)
            data = checked_data(out, mixture, judged, begun=begun, say=_say(accelerator))
            if is_main and (moved := back_to_the_plateau(out, recipe)):
                _say(accelerator)(moved)
        check_same_data(accelerator, data)
        if recipe.pretrained is not None and recipe.autoencoder is not None:
            _say(accelerator)(f"{recipe.autoencoder}: is not read, as {recipe.pretrained} has an autoencoder")
        with raised_together(accelerator):
            tensors, progress = newest_checkpoint(out, mixture, recipe.num_steps) or (
                None,
                Progress(0, fingerprint(mixture)),
            )
            check_minutes(out, recipe, progress)
        with raised_together(accelerator):
            if is_main:
                data.save(out)
                write_start(recipe, out, clips, mixture, objective)
        if validation is not None:
            digest = data.judged_digest(recipe.validation_windows)
            progress = judged_on(progress, digest, out, _say(accelerator))
        with raised_together(accelerator):
            folder = objective.goes_on_from(recipe) or out / START
            models = read_models(folder, recipe, clips, mixture, objective.denoiser)
            frozen = frozen_of(recipe, folder, models, (mixture,))
            models = models if frozen is None else with_cache(models, frozen)
        check_same_start(accelerator, progress, tensors, models)
        engine = engine_of(models, accelerator, recipe)
        models = replace(models, denoiser=engine.network)
        ema = EMA(engine.network, recipe.ema_decay)
        if tensors is not None:
            ema.load(checkpoint.restore(tensors, engine.network, engine.state))
        told = recipe.as_json() if trackers else None
        log = Log(accelerator, out, progress.end or recipe.num_steps, progress.step, told)
        if recipe.minutes is not None and progress.end is None:
            log.ends_at(60 * recipe.minutes - progress.seconds)
        for remark in left_out(mixture):
            log.console.print(remark)
        if too_fast := warning_of_rate(clips):
            log.console.print(too_fast, style="yellow")
        return cls(
            recipe=recipe,
            out=out,
            accelerator=accelerator,
            clips=clips,
            mixture=mixture,
            models=models,
            pipeline=Pipeline.of(models),
            frozen=frozen,
            engine=engine,
            ema=ema,
            progress=progress,
            log=log,
            objective=objective,
        )

    def steps(self) -> Iterator[tuple[int, tuple[Batch, ...]]]:
        """The remaining steps, each with this process's samples."""
        recipe, first, num_processes = self.recipe, self.progress.step, self.accelerator.num_processes
        batches = load(
            self.mixture,
            batch_size=share_of(recipe, num_processes),
            num_steps=(self.end or recipe.num_steps) - first,
            start=first,
            size=self.clips.size,
            rank=self.accelerator.process_index,
            num_ranks=num_processes,
            num_workers=recipe.num_workers,
            device=self.accelerator.device,
            group=layout_kind,
            block=recipe.sorted_steps,
            draw_kind=draw_kind,
        )
        self.validations = Interval(recipe.validate_minutes)
        self.checkpoints = Interval(recipe.save_minutes)
        self.resumed = time.monotonic()
        return enumerate(batches, first)

    def learn(self, step: int, batches: tuple[Batch, ...]) -> tuple[float, float]:
        """Take one step; returns the mean loss over all processes and the norm of its gradient."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.recipe, self.fall)
        loss = self._accumulate_gradient(batches)
        norm = self.engine.update(loss)
        process = self.accelerator.process_index
        check_finite(self.out, step, loss=loss, norm=norm, batches=batches, process=process)
        self.ema.update()
        self.progress = replace(self.progress, step=step + 1)
        return loss, norm

    def _accumulate_gradient(self, batches: tuple[Batch, ...]) -> float:
        """Compute the gradient of the step's mean loss in passes of a few samples; returns that loss."""
        size = 1 if self.engine.one_sample_a_pass else self.recipe.micro_batch_size
        num_parts = sum(math.ceil(len(batch.draws) / size) for batch in batches)
        num_samples = sum(len(batch.draws) for batch in batches)
        total = torch.zeros((), device=self.accelerator.device)
        # A part is made after the previous one is done, so at most `size` samples are held as floats.
        parts = noised_batches(self.pipeline, batches, self.recipe, size, self.clips.num_frames, self.frozen)
        for number, part in enumerate(parts, 1):
            compute = partial(self._share_of_loss, part, num_samples)
            total += self.engine.accumulate(compute, last=number == num_parts)
        return summed(self.accelerator, total, "loss") / self.accelerator.num_processes

    def _share_of_loss(self, part: Noised, num_samples: int) -> Tensor:
        """The contribution of some samples to the mean loss of all samples of this process."""
        return self.objective.losses(self.engine.module, part, self.recipe).sum() / num_samples

    @property
    def fall(self) -> Fall | None:
        """The fall of the learning rate and the end of the run; None if that is not decided yet."""
        end, length = self.progress.end, self.progress.fall
        return planned_fall(self.recipe) if end is None or length is None else Fall(end, length)

    @property
    def end(self) -> int | None:
        """The number of steps after which the run ends, if known."""
        return None if self.fall is None else self.fall.end

    def seconds(self) -> float:
        """The duration of the run so far, including all resumed parts."""
        return self.progress.seconds + time.monotonic() - self.resumed

    def agreed(self, *, stop: bool) -> tuple[bool, bool, bool]:
        """Whether to stop, to validate and to save: the same in all processes.

        At the end of the plateau of a run with minutes, its fall is decided here.
        """
        fall = (
            None if self.fall is not None else fall_from_now(self.recipe, self.progress.step, self.seconds())
        )
        due = [
            self.validations.is_due(),
            self.checkpoints.is_due(),
            fall is not None,
            self.saving.is_written,
        ]
        stop, (validate, save, falls, settles) = agreed(self.accelerator, stop=stop, due=due)
        if settles or stop:
            self.saving.settle()
        if falls:
            self._begin_fall(fall)
        return stop, validate, save or falls

    def _begin_fall(self, fall: Fall | None) -> None:
        """Save the run's current state beside its checkpoints; the first process decides the fall."""
        self.save(PLATEAU)
        said = fall.length if self.accelerator.is_main_process and fall is not None else 0
        mine = torch.tensor(float(said), device=self.accelerator.device)
        length = round(summed(self.accelerator, mine, "fall"))
        self.progress = replace(self.progress, end=self.progress.step + length, fall=length)
        self.log.ends_after(self.progress.step + length)

    def validate(self, validation: Validation, show: Show | None) -> None:
        """Validate the EMA on held-out windows, and write it to `best/` if it is the best so far.

        A checkpoint of this step exists already, as a validation may fail; its progress is updated.
        """
        is_main = self.accelerator.is_main_process
        self.saving.settle()
        with self.averaged() as models:
            judged = validation.judge(ClipGenerator.of(models))
            if self.frozen is not None:
                # Validation decodes and embeds; training does not need the memory of these parts.
                models.release()
            self.log.validated(self.progress.step, judged.figures)
            if show is not None and is_main:
                show(self.progress.step, judged)
            mine = torch.tensor(judged.score if is_main else 0.0, device=self.accelerator.device)
            score = summed(self.accelerator, mine, "score")  # the first process's score, in all
            best = self.progress.best
            is_better = math.isfinite(score) and (best is None or score < best)
            self.progress = replace(self.progress, judged=self.progress.step)
            if is_better:
                self.progress = replace(self.progress, best=score)
                self.saving.models(self.out / BEST, models, self.progress, self.log.last_validation)
            if is_main:
                checkpoint.note(self.out / CHECKPOINTS, self.progress)

    @contextmanager
    def averaged(self) -> Iterator[Models]:
        """The models with the EMA in place of the last weights, within this context."""
        forget_whole_weights(self.engine.module)
        with self.ema.in_place():
            self.models.denoiser.eval()
            yield self.models
            self.models.denoiser.train()
        forget_whole_weights(self.engine.module)

    def save(self, folder: str = CHECKPOINTS) -> None:
        """Write a checkpoint; see `Saving.checkpoint`."""
        now = time.monotonic()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self.resumed)
        self.resumed = now
        self.saving.checkpoint(self.out / folder, self.progress)

    def finish(self) -> Path:
        """Save the EMA as finished models."""
        self.saving.settle()
        with self.averaged() as models:
            self.saving.models(self.out / MODEL, models, self.progress, self.log.last_validation)
        self.log.close()
        return self.out / MODEL


def _say(accelerator: Accelerator) -> Callable[[str], None]:
    """A printer for sentences before there is a log, in the first process alone."""
    return partial(plain_console(accelerator).print, soft_wrap=True)
