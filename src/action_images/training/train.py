"""The training loop: read it downward."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Clips, Models
from action_images.model.familiarity import Familiarity
from action_images.model.shipped import INDEX
from action_images.pipeline import Pipeline
from action_images.samples.loader import Batch, load
from action_images.samples.mixture import Mixture, fingerprint
from action_images.training import checkpoint, deepspeed
from action_images.training.batches import Noised, layout_kind, noised_batches
from action_images.training.card import model_card
from action_images.training.checkpoint import Progress
from action_images.training.ema import EMA
from action_images.training.engine import Engine, TorchEngine
from action_images.training.export import ADAPTERS, save_adapters, whole_adapters, whole_transformer
from action_images.training.frozen import FrozenCache, frozen_of, with_cache
from action_images.training.fsdp import forget_whole_weights
from action_images.training.interruption import interruptible
from action_images.training.interval import Interval
from action_images.training.log import Log, check_trackers, plain_console
from action_images.training.objective import ACTION_IMAGES, Objective
from action_images.training.optimizer import choose_trainable, learning_rate
from action_images.training.processes import agreed, gathered, join_processes, raised_together, summed
from action_images.training.recipe import Recipe
from action_images.training.room import check_room
from action_images.training.run_data import RunData, checked_data
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
    write_recipe,
)
from action_images.training.same_start import check_same_start
from action_images.training.schedule import Fall, fall_from_now, planned_fall
from action_images.training.setup import (
    clips_of,
    familiarity_of,
    learnt_and_judged,
    open_mixture,
    read_models,
    share_of,
)
from action_images.training.shares import Shares, can_share
from action_images.training.validation import Judged, Validation
from action_images.training.written import written

Show = Callable[[int, Judged], None]
"""Called after each validation with the number of steps done and its results, to make pictures of them."""


FASTEST_FPS = 8.0
"""A run warns of clips with more frames a second, which show too little motion for plans."""


class NotFiniteError(ActionImagesError):
    """The loss or its gradient was not finite."""


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
                    run.shares.settle()
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
    _check_objective(objective, recipe)
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
    shares: Shares = field(init=False)
    resumed: float = field(init=False, default=0.0)
    """The start of the time that `progress` does not include yet."""

    def __post_init__(self) -> None:
        self.shares = Shares(self.accelerator)

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
            data: RunData | None = None
            if accelerator.is_main_process:
                clean(out)
                judged = () if validation is None else validation.mixtures.values()
                data = checked_data(out, mixture, judged, begun=is_begun(out), say=_say(accelerator))
                if moved := back_to_the_plateau(out, recipe):
                    _say(accelerator)(moved)
        if recipe.pretrained is not None and recipe.autoencoder is not None:
            _say(accelerator)(f"{recipe.autoencoder}: is not read, as {recipe.pretrained} has an autoencoder")
        with raised_together(accelerator):
            tensors, progress = newest_checkpoint(out, mixture, recipe.num_steps) or (
                None,
                Progress(0, fingerprint(mixture)),
            )
            check_minutes(out, recipe, progress)
        with raised_together(accelerator):
            if data is not None:
                data.save(out)
                _write_start(recipe, out, clips, mixture, objective)
        if validation is not None:
            digest = None if data is None else data.judged_digest(recipe.validation_windows)
            progress = judged_on(progress, gathered(accelerator, digest)[0], out, _say(accelerator))
        with raised_together(accelerator):
            folder = objective.goes_on_from(recipe) or out / START
            models = read_models(folder, recipe, clips, mixture, objective.denoiser)
            frozen = frozen_of(recipe, folder, models, (mixture,))
            models = models if frozen is None else with_cache(models, frozen)
        check_same_start(accelerator, progress, tensors, models)
        engine = _engine_of(models, accelerator, recipe)
        models = replace(models, denoiser=engine.network)
        ema = EMA(engine.network, recipe.ema_decay)
        if tensors is not None:
            ema.load(checkpoint.restore(tensors, engine.network, engine.state))
        told = recipe.as_json() if trackers else None
        log = Log(accelerator, out, progress.end or recipe.num_steps, progress.step, told)
        if recipe.minutes is not None and progress.end is None:
            log.ends_at(60 * recipe.minutes - progress.seconds)
        _say_what_is_left_out(log, mixture, clips)
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
        end = self.end or recipe.num_steps
        batches = load(
            self.mixture,
            batch_size=share_of(recipe, num_processes),
            num_steps=end - first,
            start=first,
            size=self.clips.size,
            rank=self.accelerator.process_index,
            num_ranks=num_processes,
            num_workers=recipe.num_workers,
            device=self.accelerator.device,
            group=layout_kind,
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
        self._check_finite(step, loss, norm, batches)
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
        num_frames = self.clips.num_frames
        parts = noised_batches(self.pipeline, batches, self.recipe, size, num_frames, self.frozen)
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
        due = [self.validations.is_due(), self.checkpoints.is_due(), fall is not None, self.shares.is_written]
        stop, (validate, save, falls, settles) = agreed(self.accelerator, stop=stop, due=due)
        if settles or stop:
            self.shares.settle()
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
        self.shares.settle()
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
                self._export(models, self.out / BEST)
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
        """Write a checkpoint. With sharded weights it is complete once it was settled."""
        now = time.monotonic()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self.resumed)
        self.resumed = now
        if self.engine.sharded and can_share():
            learnt = checkpoint.learnt(self.engine.network, self.engine.state, self.ema.named())
            self.shares.begin(self.out / folder, learnt, self.progress, self.recipe.keep_last)
            return
        is_main = self.accelerator.is_main_process
        tensors = checkpoint.gather(self.engine.network, self.engine.state, self.ema.named(), keep=is_main)
        with raised_together(self.accelerator):
            if tensors is not None:
                checkpoint.save(self.out / folder, tensors, self.progress, self.recipe.keep_last)

    def finish(self) -> Path:
        """Save the EMA as finished models."""
        self.shares.settle()
        with self.averaged() as models:
            self._export(models, self.out / MODEL)
        self.log.close()
        return self.out / MODEL

    def _export(self, models: Models, folder: Path) -> None:
        """Write models with their card, completely or not at all; adapters are also written separately."""
        network, is_main = models.denoiser.transformer, self.accelerator.is_main_process
        transformer = whole_transformer(network, keep=is_main)
        adapters = whole_adapters(network, keep=is_main)
        with raised_together(self.accelerator):
            if transformer is not None:
                around = models.denoiser.around(transformer)
                # Measurements of the models that training started from do not apply to these.
                models = replace(models, denoiser=around, familiarity=self.familiarity, reliability=None)
                figures = self.log.last_validation
                card = model_card(self.recipe, self.mixture, self.progress, models.denoiser, figures)
                with written(folder, "the models") as unfinished:
                    if adapters:
                        save_adapters(unfinished / ADAPTERS, adapters, self.recipe.lora)
                    models.save(unfinished)
                    (unfinished / "README.md").write_text(card)

    @cached_property
    def familiarity(self) -> Familiarity | None:
        """Statistics of the training pictures; None if there are too few."""
        return familiarity_of(self.mixture, self.clips)

    def _check_finite(self, step: int, loss: float, norm: float, batches: tuple[Batch, ...]) -> None:
        # All processes see the same two numbers, so all of them stop.
        if math.isfinite(loss) and math.isfinite(norm):
            return
        path = self.out / f"not_finite_step_{step}_process_{self.accelerator.process_index}.txt"
        lines: list[str] = []
        for batch in batches:
            lines += [f"{draw.source} {draw.window} {draw.mode}\n" for draw in batch.draws]
        path.write_text("".join(lines))
        raise NotFiniteError(
            f"step {step}: the loss is {loss}, the norm of its gradient {norm}; the samples are listed in "
            f"{path}: look at their episodes with 'action-images check', or take a lower learning rate; "
            "the last checkpoint is as it was"
        )


def _say(accelerator: Accelerator) -> Callable[[str], None]:
    """A printer for sentences before there is a log, in the first process alone."""
    return partial(plain_console(accelerator).print, soft_wrap=True)


def _check_objective(objective: Objective, recipe: Recipe) -> None:
    if recipe.learns != objective.name:
        raise ActionImagesError(
            f"the recipe learns {recipe.learns}, the objective given is {objective.name}; "
            "pass objective=objectives.objective_of(recipe)"
        )


def judged_on(progress: Progress, digest: str | None, out: Path, say: Callable[[str], None]) -> Progress:
    """The progress on this validation data: a best score on other data is dropped, and that is said."""
    if progress.best is not None and progress.judged_on not in (None, digest):
        say(
            f"{out}: the validation has changed, so its scores are not compared with earlier ones; the next "
            f"validation replaces {BEST}/, copy that folder to keep it"
        )
        progress = replace(progress, best=None)
    return replace(progress, judged_on=digest)


def _write_start(recipe: Recipe, out: Path, clips: Clips, mixture: Mixture, objective: Objective) -> None:
    """Write the recipe, and new models to start from if the run does not start from existing ones."""
    if objective.goes_on_from(recipe) is None and not (out / START / INDEX).is_file():
        with written(out / START, "the models to start from") as unfinished:
            objective.new_models(recipe, clips, mixture).save(unfinished)
    write_recipe(out, recipe)


def _engine_of(models: Models, accelerator: Accelerator, recipe: Recipe) -> Engine:
    """Move the models to their devices, mark the trainable weights, and make the engine."""
    transformer = models.denoiser.transformer
    choose_trainable(transformer, recipe)
    if recipe.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if accelerator.distributed_type is DistributedType.FSDP:
        # FSDP moves weights to the GPUs block by block, as all together might not fit.
        models.others_to(accelerator.device)
    else:
        models.to(accelerator.device)
    models.denoiser.train()
    engine: Any = deepspeed.DeepSpeedEngine if deepspeed.wanted() else TorchEngine
    return engine.around(models.denoiser, accelerator, recipe)


def _say_what_is_left_out(log: Log, mixture: Mixture, clips: Clips) -> None:
    """Log episodes that give no window, and warn of clips with so many frames a second that they show almost
    no motion."""
    for source in mixture.sources:
        if source.bare:
            log.console.print(
                f"{source.name}: {len(source.bare)} episodes have no tool poses or an uncalibrated view, "
                "and are left out"
            )
        if source.too_short:
            log.console.print(
                f"{source.name}: {len(source.too_short)} episodes are too short for a clip, and are left out"
            )
    if clips.fps > FASTEST_FPS:
        seconds = (clips.num_frames - 1) / clips.fps
        log.console.print(
            f"warning: clips have {clips.fps:g} frames a second, so their {clips.num_frames} frames show "
            f"{seconds:.1f} s of motion; about 5 a second is better: raise the stride of the sources",
            style="yellow",
        )
