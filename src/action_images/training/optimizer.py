"""Trainable parameters, optimizer and learning rate."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from action_images.errors import ActionImagesError
from action_images.model.conditioning.conditioned import Conditioned
from action_images.training.recipe import LoraRecipe, Recipe
from action_images.training.schedule import Fall

if TYPE_CHECKING:
    from peft import LoraConfig

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers with weight decay."""


def choose_trainable(transformer: Conditioned, recipe: Recipe) -> None:
    """Mark the trainable parameters: all, or low-rank adapters of a frozen network (peft)."""
    transformer.requires_grad_(recipe.trainable == "full")
    if recipe.trainable == "lora":
        # The same adapters at every start, so that a resumed run is the same run.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            transformer.add_adapter(lora_config(recipe.lora))
    for parameter in transformer.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_config(recipe: LoraRecipe) -> "LoraConfig":
    """Peft's configuration of the adapters."""
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(recipe.targets), init_lora_weights=True
    )


def build_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for all trainable parameters.

    Only weights of layers decay, not biases, norms, tables or embeddings.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trained:
        raise ActionImagesError(
            "nothing is marked as trainable; check the recipe's `trainable` and the names of LoRA's targets"
        )
    decaying = {id(layer.weight) for layer in module.modules() if isinstance(layer, LAYERS)}
    weights = [parameter for parameter in trained if id(parameter) in decaying]
    others = [parameter for parameter in trained if id(parameter) not in decaying]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # One loop over all tensors: a step of `tiny` on two CPU cores takes a quarter of the time.
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], recipe.learning_rate, betas=recipe.betas, fused=True
    )


def learning_rate(step: int, recipe: Recipe, fall: Fall | None) -> float:
    """The rate of a step (counted from 0): a rise, a plateau, and a linear fall to zero."""
    rise = min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
    return recipe.learning_rate * rise * (1.0 if fall is None else fall.share(step))
