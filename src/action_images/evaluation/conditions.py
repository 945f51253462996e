"""The conditions of two folders of trials: whether their scenes are the same, and what else differs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from action_images.evaluation.older_results import completed
from action_images.evaluation.trial import SETTINGS
from action_images.files.settings import load_settings

Conditions = Mapping[str, Any]
"""A folder's settings without the policy's name; empty if they are not known."""
WORDS = ("policy", "claim")
"""Settings that name things, and change nothing in a trial."""
LONGEST = 40
"""Characters of a value that is printed."""


def load_conditions(folder: Path) -> Conditions:
    """The conditions of a folder's trials, complete if an earlier version wrote them."""
    path = folder / SETTINGS
    settings = completed(load_settings(path)) if path.is_file() else {}
    return {name: value for name, value in settings.items() if name != "policy"}


def same_scenes(first: Conditions, second: Conditions) -> bool:
    """Whether a task and a seed mean the same scene: a world and its version decide it."""
    return not first or not second or first.get("benchmark") == second.get("benchmark")


def world_of(conditions: Conditions) -> str:
    """The world and its version in words."""
    return " ".join(map(str, conditions.get("benchmark", ["unknown"])))


def differences(first: Conditions, second: Conditions) -> list[str]:
    """The other settings that differ, each with both values if they are short; none if they are not known.

    A policy's clips count only if both state them.
    """
    if not first or not second:
        return []
    some, others = _flat(first), _flat(second)
    names = [name for name in {**some, **others} if name not in WORDS and name != "benchmark"]
    if "clips" not in some or "clips" not in others:
        names = [name for name in names if name != "clips"]
    return [
        _told(name, some.get(name), others.get(name)) for name in names if some.get(name) != others.get(name)
    ]


def _flat(conditions: Conditions) -> dict[str, Any]:
    """Settings by name; the way of driving is told setting by setting: `execution.num_steps`."""
    flat = {name: value for name, value in conditions.items() if name != "rollout_config"}
    for name, value in conditions.get("rollout_config", {}).items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{part}".rstrip("."): one for part, one in inner.items()}
    return flat


def _told(name: str, first: Any, second: Any) -> str:
    values = [json.dumps(value) for value in (first, second)]
    return f"{name} ({' and '.join(values)})" if max(map(len, values)) <= LONGEST else name
