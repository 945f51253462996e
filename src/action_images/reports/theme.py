"""The one colour key: what each colour means in films, thumbnails and pages."""

BACKGROUND, PANEL, FLOOR = "#0f1216", "#161a20", "#1d222b"
TEXT, MUTED, LINE = "#f2f4f7", "#9aa4b2", "#333b47"
GOOD, BAD = "#3fb968", "#ef5b4c"

RED, GREEN, BLUE = "#ff5a52", "#52d869", "#6f8cff"
AXES = (RED, GREEN, BLUE)
"""The tool's x, y and z axis on stills, as most viewers have them."""
SPOTS = (RED, GREEN, BLUE)
"""The three spots of an action image (codec/format.py): the tool's position, and points along +x and -z."""
EXECUTED, EXECUTED_SHADOW = "#ffb347", "#5a4a2e"
"""The path that a tool really took, and its shadow on the floor."""
PLANNED, GOAL = "#5cc8ff", "#e879f9"
"""What a policy planned, and where the expert ends."""
OPENING = "#8fa3ff"

TOOL_KEY = {"x axis": AXES[0], "y axis": AXES[1], "z axis": AXES[2], "path": EXECUTED}
"""What is drawn of a tool on stills -> its colour."""
FILM_KEY = {
    "tool's position": SPOTS[0],
    "its x axis": SPOTS[1],
    "its -z axis": SPOTS[2],
    "executed": EXECUTED,
    "planned": PLANNED,
    "where the expert ends": GOAL,
}
"""What is drawn in action images and paths of a film -> its colour."""
