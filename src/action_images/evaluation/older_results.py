"""Complete results folders of earlier versions, so that trials can be added to them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from action_images.control import Execution, Guard
from action_images.evaluation.latency import Latency
from action_images.files.atomic import write_json
from action_images.files.settings import load_settings


def complete_settings(path: Path) -> None:
    """Add the settings that earlier versions did not write to a file, if it is there."""
    if not path.is_file():
        return
    settings = load_settings(path)
    complete = completed(settings)
    if complete != settings:
        write_json(path, complete)


def completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with those that earlier versions did not write.

    Settings without a benchmark's name are of the embedded world's version 1. Settings without latency are of
    a world that waits, where joining late plans and jerk limits change nothing.
    """
    complete = {"benchmark": ["tabletop", "1"], **settings}
    if "rollout_config" in settings:
        complete["rollout_config"] = _complete_rollout_config(settings["rollout_config"])
    return complete


def _complete_rollout_config(config: dict[str, Any]) -> dict[str, Any]:
    guard, execution = Guard(), Execution()
    jerks = {"max_jerk": guard.max_jerk, "max_turning_jerk": guard.max_turning_jerk}
    return {
        "latency": asdict(Latency()),
        **config,
        "execution": {"join": execution.join, **config["execution"]},
        "guard": {**jerks, **config["guard"]},
    }
