"""Save a run: checkpoints to go on from, and models to use."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from accelerate import Accelerator

from action_images.model.bundle import Clips, Models
from action_images.model.familiarity import Familiarity
from action_images.model.shipped import INDEX
from action_images.samples.mixture import Mixture
from action_images.training import checkpoint
from action_images.training.card import model_card
from action_images.training.checkpoint import Progress
from action_images.training.ema import EMA
from action_images.training.engine import Engine
from action_images.training.export import ADAPTERS, save_adapters, whole_adapters, whole_transformer
from action_images.training.objective import Objective
from action_images.training.processes import raised_together
from action_images.training.recipe import Recipe
from action_images.training.run_folder import START, write_recipe
from action_images.training.setup import familiarity_of
from action_images.training.shares import Shares, can_share
from action_images.training.written import written


def write_start(recipe: Recipe, out: Path, clips: Clips, mixture: Mixture, objective: Objective) -> None:
    """Write the recipe, and new models to start from if the run does not start from existing ones."""
    if objective.goes_on_from(recipe) is None and not (out / START / INDEX).is_file():
        with written(out / START, "the models to start from") as unfinished:
            objective.new_models(recipe, clips, mixture).save(unfinished)
    write_recipe(out, recipe)


@dataclass
class Saving:
    """Writes the checkpoints and the models of a run. Every process takes part in every call."""

    recipe: Recipe
    accelerator: Accelerator
    clips: Clips
    mixture: Mixture
    engine: Engine
    ema: EMA
    _shares: Shares = field(init=False)

    def __post_init__(self) -> None:
        self._shares = Shares(self.accelerator)

    def checkpoint(self, folder: Path, progress: Progress) -> None:
        """Write a checkpoint below a folder. If weights are sharded, `settle` completes it."""
        engine, averages = self.engine, self.ema.named()
        if engine.sharded and can_share():
            learnt = checkpoint.learnt(engine.network, engine.state, averages)
            self._shares.begin(folder, learnt, progress, self.recipe.keep_last)
            return
        is_main = self.accelerator.is_main_process
        tensors = checkpoint.gather(engine.network, engine.state, averages, keep=is_main)
        with raised_together(self.accelerator):
            if tensors is not None:
                checkpoint.save(folder, tensors, progress, self.recipe.keep_last)

    @property
    def is_written(self) -> bool:
        """Whether this process has a checkpoint that can be settled without waiting."""
        return self._shares.is_written

    def settle(self) -> None:
        """Wait until the checkpoint that is being written is complete, if there is one."""
        self._shares.settle()

    def models(
        self,
        folder: Path,
        models: Models,
        progress: Progress,
        figures: Mapping[str, Mapping[str, float]],
    ) -> None:
        """Write models with their card, completely or not at all; adapters are also written separately.

        `figures` are those of the last validation.
        """
        network, is_main = models.denoiser.transformer, self.accelerator.is_main_process
        transformer = whole_transformer(network, keep=is_main)
        adapters = whole_adapters(network, keep=is_main)
        with raised_together(self.accelerator):
            if transformer is not None:
                around = models.denoiser.around(transformer)
                # Measurements of the models that training started from do not apply to these.
                models = replace(models, denoiser=around, familiarity=self._familiarity, reliability=None)
                card = model_card(self.recipe, self.mixture, progress, models.denoiser, figures)
                with written(folder, "the models") as unfinished:
                    if adapters:
                        save_adapters(unfinished / ADAPTERS, adapters, self.recipe.lora)
                    models.save(unfinished)
                    (unfinished / "README.md").write_text(card)

    @cached_property
    def _familiarity(self) -> Familiarity | None:
        """Statistics of the training pictures; None if there are too few."""
        return familiarity_of(self.mixture, self.clips)
