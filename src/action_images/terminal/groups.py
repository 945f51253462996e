"""The groups of commands, in the order in which a newcomer needs them."""

GROUPS = {
    "start": ("doctor", "envs", "tasks", "info", "demo", "watch"),
    "data": ("draw", "read", "calibrate", "cameras", "import", "check", "view", "record", "label"),
    "model": ("describe", "fetch-weights", "convert-weights", "generate", "imagine", "simulate"),
    "train": ("train", "encode", "train-autoencoder", "train-painter"),
    "judge": (
        "evaluate",
        "compare",
        "report",
        "judge-plans",
        "judge-clips",
        "judge-confidence",
        "judge-simulator",
        "replay",
        "inspect-codec",
    ),
    "deploy": ("serve",),
}
"""Group -> its commands. A test requires every command to be in one group."""
OTHERS = "more"
"""The group of all other commands."""


def grouped(commands: list[str]) -> dict[str, list[str]]:
    """The given commands by group, without empty groups."""
    left, groups = list(commands), {}
    for group, names in GROUPS.items():
        groups[group] = [name for name in names if name in left]
        left = [name for name in left if name not in names]
    groups[OTHERS] = left
    return {group: names for group, names in groups.items() if names}
