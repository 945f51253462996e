"""Which commands belong together, in the order in which a newcomer meets them."""

GROUPS = {
    "start": ("doctor", "envs", "tasks", "info", "demo", "watch"),
    "data": ("draw", "read", "calibrate", "cameras", "import", "check", "view", "record", "label"),
    "model": ("describe", "fetch-weights", "convert-weights", "generate", "imagine", "simulate"),
    "train": ("train", "encode", "train-autoencoder"),
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
"""Group -> its commands. A test demands that every command stands in one of them."""
OTHERS = "more"
"""The group of commands that stand in none."""


def grouped(commands: list[str]) -> dict[str, list[str]]:
    """The commands that there are, by their group, empty groups left out."""
    left, groups = list(commands), {}
    for group, names in GROUPS.items():
        groups[group] = [name for name in names if name in left]
        left = [name for name in left if name not in names]
    groups[OTHERS] = left
    return {group: names for group, names in groups.items() if names}
