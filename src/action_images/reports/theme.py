"""The colour key: the meaning of each colour in films, thumbnails and pages."""

BACKGROUND, PANEL, FLOOR = "#0f1216", "#161a20", "#1d222b"
TEXT, MUTED, LINE = "#f2f4f7", "#9aa4b2", "#333b47"
GOOD, BAD = "#3fb968", "#ef5b4c"

RED, GREEN, BLUE = "#ff5a52", "#52d869", "#6f8cff"
SPOTS = (RED, GREEN, BLUE)
"""The tool as an action image shows it (codec/format.py): its position, and points along +x and -z."""
EXECUTED, EXECUTED_SHADOW = "#ffb347", "#5a4a2e"
"""The tool's executed path, and its shadow on the floor."""
PLANNED, GOAL = "#5cc8ff", "#e879f9"
"""A policy's plan or a model's labels, and the expert's end."""
OPENING = "#8fa3ff"

SPOT_KEY = {"where the tool is": RED, "along its x axis": GREEN, "against its z axis": BLUE}
"""Drawn part of a tool -> its colour, the same in action images, stills, films and pages."""
TOOL_KEY = SPOT_KEY | {"path": EXECUTED}
"""The same with the path, for stills."""
FILM_KEY = SPOT_KEY | {"executed": EXECUTED, "planned": PLANNED, "where the expert ends": GOAL}
"""Drawn part in a film's action images and paths -> its colour."""
