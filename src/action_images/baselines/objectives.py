"""The objective of a recipe: the method's own, or a baseline's."""

from action_images.baselines.objective import VECTORS
from action_images.training.objective import ACTION_IMAGES, Objective
from action_images.training.recipe import Recipe


def objective_of(recipe: Recipe) -> Objective:
    """The objective that the recipe names in `learns`, for `training.train.train`."""
    return {"action-images": ACTION_IMAGES, "vectors": VECTORS}[recipe.learns]
