"""Names that options take, known without loading what they name; a test compares them with the originals."""

from pathlib import Path
from typing import Literal

import action_images

Preset = Literal["debug", "tiny", "base", "wan2.2-5b", "wan2.2-5b-rays", "wan2.1-1.3b"]
"""A size of the model."""
Sampling = Literal[
    "fifty-steps",
    "release",
    "release-cached",
    "release-first-block",
    "one-step",
    "two-steps",
    "four-steps",
    "one-step-averaged",
    "two-steps-averaged",
]
"""How clips are generated."""
TASK_NAMES = tuple(
    sorted(
        path.stem
        for path in (Path(action_images.__file__).parent / "sim" / "tasks").glob("*.py")
        if path.stem != "__init__"
    )
)
"""The tasks of the embedded world: each is a file."""
