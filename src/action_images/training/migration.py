"""Migration of recipes that earlier versions saved."""

from collections.abc import Callable
from typing import Any

from action_images.errors import ActionImagesError

VERSION = 4
"""The version of `recipe.json`. Files of version 1 have no version."""

Values = dict[str, Any]


def migrated(saved: Values) -> Values:
    """The values of a recipe with this version's names, from a file of any earlier version.

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
    """Modes were called tasks; the first recipes had no objective, mirror or axis length."""
    both = ("sources", "validation")
    renamed = {name: list(map(_with_modes, values.get(name, ()))) for name in both}
    return {"learns": "action-images", "mirror": 0.0, "axis_length": None, **values, **renamed}


def _to_version_3(values: Values) -> Values:
    """There were no caches of frames or latents, and steps alone determined the end of a run.

    New models fitted their autoencoders.
    """
    kept = {"frames_cache": None, "latents": None, "fill_latents": True}
    return {**kept, "minutes": None, "autoencoder": None, **values}


def _to_version_4(values: Values) -> Values:
    """Steps took the next samples of the mixture."""
    return {"sorted_steps": 1, **values}


def _with_modes(source: Values) -> Values:
    return {("modes" if name == "tasks" else name): value for name, value in source.items()}


MIGRATIONS: tuple[Callable[[Values], Values], ...] = (_to_version_2, _to_version_3, _to_version_4)
"""The first converts version 1 to version 2, and so on."""
