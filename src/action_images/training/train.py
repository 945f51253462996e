"""The training loop: read it downward."""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_json
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.shipped import INDEX
from action_images.pipeline import Pipeline
from action_images.samples.loader import Batch, load
from action_images.samples.mixture import Mixture, fingerprint
from action_images.training import checkpoint
from action_images.training import deepspeed as zero
from action_images.training.batches import layout_kind, noised_batches
from action_images.training.card import model_card
from action_images.training.checkpoint import OptimizerState, Progress, Stored, TorchState
from action_images.training.ema import Average
from action_images.training.export import put_in_place, whole_transformer
from action_images.training.fsdp import forget_whole_weights, whole
from action_images.training.interruption import interruptible
from action_images.training.log import Log, check_trackers
from action_images.training.objective import ACTION_IMAGES, Objective
from action_images.training.optimizer import build_optimizer, choose_trainable, learning_rate
from action_images.training.processes import join_processes
from action_images.training.recipe import Recipe, differences
from action_images.training.setup import clips_of, open_mixture, read_models, share_of
from action_images.training.validation import Judged, Validation

RECIPE, START, CHECKPOINTS, BEST, MODEL = "recipe.json", "start", "checkpoints", "best", "model"
"""What a run's folder holds: the recipe, the models it began with, and what it learnt."""
Show = Callable[[int, Judged], None]
"""Called after each validation with the number of steps done and what was judged, to make pictures of it."""


class NotFiniteError(ActionImagesError):
    """The loss or its gradient was no number."""


def train(
    recipe: Recipe,
    out: Path,
    show: Show | None = None,
    trackers: tuple[str, ...] = (),
    objective: Objective = ACTION_IMAGES,
) -> Path:
    """Run a recipe to its end, or on from where `out` stands, and return the folder of the finished models.

    `objective` is what the recipe's `learns` names (see `recipes.objective_of`).

    Interrupted (SIGINT, SIGTERM) it saves and raises KeyboardInterrupt. Raises ValueError where `out` holds a run of
    another recipe, naming what differs, and NotFiniteError, with the addresses of its samples in `out`, at a loss that
    is no number.
    """
    # Opened first: what is wrong with it must not leave a run behind that has not begun.
    validation = Validation.of(recipe, clips_of(recipe), objective) if recipe.validation else None
    run = Run.start(recipe, out, trackers, objective)
    with interruptible() as interrupted:
        for step, batches in run.steps():
            loss, norm = run.learn(step, batches)
            run.log.step(step, loss, norm, learning_rate(step, recipe), recipe.batch_size)
            last = step + 1 == recipe.num_steps
            stop, validate, save = run.agreed(interrupted(), run.due("validate"), run.due("save"))
            better = (
                validation is not None and (validate or last) and not stop and run.validate(validation, show)
            )
            if save or stop or last or better:
                run.save()
            if stop:
                raise KeyboardInterrupt
    return run.finish()


def saved_recipe(out: Path) -> Recipe:
    """The recipe of the run in a folder; raises ValueError where there is none or it cannot be read."""
    path = out / RECIPE
    if not path.is_file():
        raise ActionImagesError(
            f"{out}: holds no run ({RECIPE} is not there); begin one with 'action-images train RECIPE --out {out}'"
        )
    try:
        return Recipe.from_json(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ActionImagesError(f"{path}: is no recipe that this version can read ({error})") from error


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
    module: Any
    """The denoiser as it is called in training, an nn.Module; around `models.denoiser` where there are many processes."""
    optimizer: Any
    state: OptimizerState
    average: Average
    progress: Progress
    log: Log
    objective: Objective = ACTION_IMAGES
    began: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(
        cls, recipe: Recipe, out: Path, trackers: tuple[str, ...] = (), objective: Objective = ACTION_IMAGES
    ) -> "Run":
        """Everything ready for the next step; goes on from the newest checkpoint in `out` if there is one."""
        check_trackers(trackers)
        if recipe.learns != objective.name:
            raise ActionImagesError(
                f"the recipe learns {recipe.learns}, the objective given is {objective.name}; pass objective=recipes.objective_of(recipe)"
            )
        accelerator = join_processes(recipe.mixed_precision, log_with=list(trackers) or None, project_dir=out)
        share_of(recipe, accelerator.num_processes)
        _check_same(recipe, out)
        clips = clips_of(recipe)
        mixture = open_mixture(recipe.sources, recipe, clips, recipe.seed)
        found = _newest(out, mixture)
        models = _models_to_start_from(recipe, out, clips, mixture, accelerator, objective)
        transformer = models.denoiser.transformer
        choose_trainable(transformer, recipe)
        if recipe.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        # Weights that are shared out go to their GPUs block by block, as FSDP takes them: whole they might not fit.
        sharded = accelerator.distributed_type is DistributedType.FSDP
        models = models.others_to(accelerator.device) if sharded else models.to(accelerator.device)
        models.denoiser.train()
        optimizer = build_optimizer(models.denoiser, recipe)
        if zero.wanted():
            module = zero.prepare(accelerator, models.denoiser, optimizer, recipe.clip_gradient)
            network, optimizer, state = models.denoiser, module.optimizer, zero.ZeroState(module)
        else:
            module, optimizer = accelerator.prepare(models.denoiser, optimizer)
            network, state = accelerator.unwrap_model(module), TorchState(optimizer.optimizer)
        assert isinstance(network, CanvasDenoiser)
        models, average, progress = (
            replace(models, denoiser=network),
            Average(network, recipe.ema_decay),
            Progress(0, fingerprint(mixture)),
        )
        if found:
            tensors, progress = found
            average.load(checkpoint.restore(tensors, network, state))
        log = Log(accelerator, out, recipe.num_steps, progress.step, recipe.as_json() if trackers else None)
        pipeline = Pipeline.of(models)
        for source in mixture.sources:
            if source.bare:
                log.console.print(
                    f"{source.name}: {len(source.bare)} episodes have no tool poses or an uncalibrated view, and are left out"
                )
        return cls(
            recipe,
            out,
            accelerator,
            clips,
            mixture,
            models,
            pipeline,
            module,
            optimizer,
            state,
            average,
            progress,
            log,
            objective,
        )

    @property
    def sharded(self) -> bool:
        """Whether the weights lie in pieces on several processes."""
        return isinstance(self.module, FSDPModule)  # accelerate forgets it on CPUs

    @property
    def by_deepspeed(self) -> bool:
        """Whether steps are DeepSpeed's: every process has the weights, and a share of the optimizer's state."""
        return isinstance(self.state, zero.ZeroState)

    def steps(self) -> Iterator[tuple[int, tuple[Batch, ...]]]:
        """The steps that are left, each with this process's samples."""
        start, ranks = self.progress.step, self.accelerator.num_processes
        batches = load(
            self.mixture, share_of(self.recipe, ranks), self.recipe.num_steps - start, start, self.clips.size,
            self.accelerator.process_index, ranks, self.recipe.num_workers, self.accelerator.device, layout_kind,
        )  # fmt: skip
        self.began = dict.fromkeys(("validate", "save", "clock"), time.monotonic())
        return enumerate(batches, start)

    def learn(self, step: int, batches: tuple[Batch, ...]) -> tuple[float, float]:
        """One step; returns the mean loss over all processes and the norm of its gradient."""
        recipe, accelerator = self.recipe, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        # Sharded weights are gathered in every pass, shares of gradients sent; so all processes must make the same number of them.
        size = 1 if self.sharded or self.by_deepspeed else recipe.micro_batch_size
        num_parts = sum(math.ceil(len(batch.draws) / size) for batch in batches)
        num_samples = sum(len(batch.draws) for batch in batches)
        total = torch.zeros((), device=accelerator.device)
        # One part is made when the one before it is done with: no more than `size` samples are held as floats.
        for number, part in enumerate(
            noised_batches(self.pipeline, batches, recipe, size, self.clips.num_frames), 1
        ):
            # Sharded gradients are shared out at once: whole ones would not fit.
            synced = (
                nullcontext()
                if self.sharded or self.by_deepspeed or number == num_parts
                else accelerator.no_sync(self.module)
            )
            with synced:
                # A model of one process casts by itself (accelerate wraps it), one that is shared out does not.
                with self._cast():
                    loss = self.objective.losses(self.module, part, recipe).sum() / num_samples
                self.module.backward(loss) if self.by_deepspeed else accelerator.backward(loss)
            total += loss.detach()
        loss = self._sum(total) / accelerator.num_processes
        if self.by_deepspeed:
            self.module.step()  # no step is taken where the norm is no number
            self._check_finite(step, loss, norm := float(self.module.get_global_grad_norm()), batches)
        else:
            clipped = accelerator.clip_grad_norm_(self.module.parameters(), recipe.clip_gradient)
            assert isinstance(clipped, Tensor)
            self._check_finite(step, loss, norm := float(whole(clipped)), batches)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.average.update()
        self.progress = replace(self.progress, step=step + 1)
        return loss, norm

    def due(self, what: str) -> bool:
        """Whether it is time again for 'validate' or 'save', by the clock of this process."""
        minutes = {"validate": self.recipe.validate_minutes, "save": self.recipe.save_minutes}[what]
        is_due = time.monotonic() - self.began[what] > 60 * minutes
        if is_due:
            self.began[what] = time.monotonic()
        return is_due

    def agreed(self, stop: bool, *first: bool) -> list[bool]:
        """The same decisions in all processes: to stop where any of them is to, the others as the first process says."""
        said = [stop, *(one and self.accelerator.is_main_process for one in first)]
        if self.accelerator.num_processes == 1:
            return said
        votes = self.accelerator.reduce(
            torch.tensor(said, dtype=torch.float32, device=self.accelerator.device), "sum"
        )
        assert isinstance(votes, Tensor)
        return [vote > 0 for vote in votes.tolist()]

    def validate(self, validation: Validation, show: Show | None) -> bool:
        """Judge the averaged weights on held-out windows; the best so far are kept in a folder of their own. Returns whether these are."""
        with self.averaged() as models:
            judged = validation.judge(ClipGenerator.of(models))
            self.log.validated(self.progress.step, judged.figures)
            if show is not None and self.accelerator.is_main_process:
                show(self.progress.step, judged)
            score = self._sum(
                torch.tensor(
                    judged.score if self.accelerator.is_main_process else 0.0, device=self.accelerator.device
                )
            )
            better = self.progress.best is None or score < self.progress.best
            if better:
                self.progress = replace(self.progress, best=score)
                self._export(models, self.out / BEST)
        return better

    @contextmanager
    def averaged(self) -> Iterator[Models]:
        """The models with the averaged weights in the place of the last ones, for as long as this lasts."""
        forget_whole_weights(self.module)
        with self.average.in_place():
            self.models.denoiser.eval()
            yield self.models
            self.models.denoiser.train()
        forget_whole_weights(self.module)

    def save(self) -> None:
        """A checkpoint of now."""
        now = time.monotonic()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self.began["clock"])
        self.began["clock"] = now
        main = self.accelerator.is_main_process
        tensors = checkpoint.gather(self.models.denoiser, self.state, self.average.named(), keep=main)
        if tensors is not None:
            checkpoint.save(self.out / CHECKPOINTS, tensors, self.progress, self.recipe.keep_last)
        self.accelerator.wait_for_everyone()

    def finish(self) -> Path:
        """Save the averaged weights as finished models."""
        with self.averaged() as models:
            self._export(models, self.out / MODEL)
        self.log.close()
        return self.out / MODEL

    def _export(self, models: Models, folder: Path) -> None:
        """Write models with their card, whole or not at all."""
        transformer = whole_transformer(models.denoiser.transformer, self.accelerator.is_main_process)
        if transformer is not None:
            unfinished = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            models = replace(models, denoiser=models.denoiser.around(transformer))
            models.save(unfinished)
            card = model_card(
                self.recipe, self.mixture, self.progress, models.denoiser, self.log.last_validation
            )
            (unfinished / "README.md").write_text(card)
            put_in_place(unfinished, folder)
        self.accelerator.wait_for_everyone()

    def _cast(self) -> AbstractContextManager[Any]:
        if self.sharded or self.by_deepspeed:
            return torch.autocast(
                self.accelerator.device.type, torch.bfloat16, enabled=self.recipe.mixed_precision == "bf16"
            )
        return nullcontext()

    def _sum(self, value: Tensor) -> float:
        reduced = self.accelerator.reduce(value, "sum")
        assert isinstance(reduced, Tensor)
        return reduced.item()

    def _check_finite(self, step: int, loss: float, norm: float, batches: tuple[Batch, ...]) -> None:
        # All processes see the same two numbers, so all of them stop.
        if math.isfinite(loss) and math.isfinite(norm):
            return
        path = self.out / f"not_finite_step_{step}_process_{self.accelerator.process_index}.txt"
        path.write_text(
            "\n".join(f"{draw.source} {draw.window} {draw.mode}" for batch in batches for draw in batch.draws)
            + "\n"
        )
        raise NotFiniteError(
            f"step {step}: the loss is {loss}, the norm of its gradient {norm}; the samples are listed in {path}: look at their episodes "
            "with 'action-images check', or take a lower learning rate; the last checkpoint is as it was"
        )


def _check_same(recipe: Recipe, out: Path) -> None:
    if not (out / RECIPE).is_file():
        return
    changed = differences(saved_recipe(out), recipe)
    if changed:
        raise ActionImagesError(
            f"{out}: holds a run of another recipe; begin in another folder, or keep these as they were: {'; '.join(changed)}"
        )


def _newest(out: Path, mixture: Mixture) -> tuple[Stored, Progress] | None:
    found = checkpoint.checkpoints(out / CHECKPOINTS)
    if not found:
        return None
    tensors, progress = checkpoint.load(found[-1])
    if progress.fingerprint != fingerprint(mixture):
        raise ActionImagesError(
            f"{out}: the data has changed since this run began; restore it, or begin another run in another folder"
        )
    return tensors, progress


def _models_to_start_from(
    recipe: Recipe, out: Path, clips: Clips, mixture: Mixture, accelerator: Accelerator, objective: Objective
) -> Models:
    """Read from the folder that the recipe goes on from, or made once by the first process and read by all."""
    if accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        if objective.goes_on_from(recipe) is None and not (out / START / INDEX).is_file():
            objective.new_models(recipe, clips, mixture).save(out / START)
        write_json(out / RECIPE, recipe.as_json())
    accelerator.wait_for_everyone()
    return read_models(
        objective.goes_on_from(recipe) or out / START, recipe, clips, mixture, objective.denoiser
    )
