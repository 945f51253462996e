"""The models that come with this package."""

from pathlib import Path

import action_images

SHIPPED = "shipped"
"""What they are called wherever a folder of models is asked for."""


def models_folder(name: str) -> Path:
    """The folder that is meant: of the shipped models, or the one of this name; raises ValueError where none were shipped."""
    if name != SHIPPED:
        return Path(name)
    folder = Path(action_images.__file__).parent / "weights" / "tiny"
    if not folder.is_dir():
        raise ValueError("this installation has no shipped models (action_images/weights/tiny); name a folder of models instead")
    return folder
