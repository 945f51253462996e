"""Which commands belong together, in the order in which a newcomer meets them."""

GROUPS = {
    "start": ("doctor", "tasks", "info", "demo", "watch"),
    "data": ("draw", "read", "calibrate", "cameras", "import", "check", "view", "record", "label"),
    "model": ("describe", "fetch-weights", "convert-weights", "generate", "imagine", "simulate"),
    "train": ("train", "encode"),
    "judge": (
        "evaluate",
        "compare",
        "report",
        "judge-plans",
        "judge-clips",
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
    groups = {group: [name for name in names if name in commands] for group, names in GROUPS.items()}
    known = [name for names in groups.values() for name in names]
    groups[OTHERS] = [name for name in commands if name not in known]
    return {group: names for group, names in groups.items() if names}
