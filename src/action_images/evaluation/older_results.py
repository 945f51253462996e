"""Results folders of earlier versions, completed so that they can be added to."""

from pathlib import Path

from action_images.files.atomic import write_json
from action_images.files.settings import load_settings


def name_benchmark(path: Path) -> None:
    """Complete settings from before benchmarks had names: they are of the embedded world's version 1."""
    if not path.is_file():
        return
    settings = load_settings(path)
    if "benchmark" not in settings:
        write_json(path, {**settings, "benchmark": ["tabletop", "1"]})
