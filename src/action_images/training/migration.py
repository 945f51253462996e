"""Recipes that earlier versions saved, in the words of this one."""

from collections.abc import Callable
from typing import Any

from action_images.errors import ActionImagesError

VERSION = 3
"""Of `recipe.json`. Files of version 1 do not say so."""

Values = dict[str, Any]


def migrated(saved: Values) -> Values:
    """The values of a recipe as this version names them, from a file of any earlier version.

    Raises ValueError for a file of a later version.
    """
    values = dict(saved)
    version = values.pop("version", 1)
    if version > VERSION:
        raise ActionImagesError(
            f"it was saved by a newer Action Images (version {version}, this one knows {VERSION}); "
            "update the package"
        )
    for step in MIGRATIONS[version - 1 :]:
        values = step(values)
    return values


def _to_version_2(values: Values) -> Values:
    """What a model is asked was called a task; the first recipes had no objective, mirror or axis length."""
    both = ("sources", "validation")
    renamed = {name: list(map(_with_modes, values.get(name, ()))) for name in both}
    return {"learns": "action-images", "mirror": 0.0, "axis_length": None, **values, **renamed}


def _to_version_3(values: Values) -> Values:
    """Nothing was kept of frames or of what frozen parts made, and steps alone said when a run ends.

    New models fitted their autoencoders.
    """
    kept = {"frames_cache": None, "latents": None, "fill_latents": True}
    return {**kept, "minutes": None, "autoencoder": None, **values}


def _with_modes(source: Values) -> Values:
    return {("modes" if name == "tasks" else name): value for name, value in source.items()}


MIGRATIONS: tuple[Callable[[Values], Values], ...] = (_to_version_2, _to_version_3)
"""The first makes version 2 of version 1, and so on."""
