"""Draws docs/images/architecture.svg: the rooms of the package, and who may import whom.

    python scripts/draw_architecture.py

The table of docs/architecture.md is drawn. An arrow points from a room to one that it may import. Arrows that
follow from others are left out (A -> C where A -> B -> C). So are `structs`, `errors`, `extras` and
`device`, which any room may import.
"""

import re
from itertools import pairwise
from pathlib import Path

import matplotlib
import networkx as nx

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
FIGURE = ROOT / "docs" / "images" / "architecture.svg"

COLOURS = {
    "space and actions": "#d7e8fa",
    "data": "#dcefdc",
    "model": "#fbe3cf",
    "acting and judging": "#ece0f5",
    "people": "#eeeeee",
}
"""Kind of room -> colour of its box."""
KINDS = {
    "geometry": "space and actions",
    "codec": "space and actions",
    "canvas": "model",
    "files": "data",
    "parallel": "data",
    "episodes": "data",
    "samples": "data",
    "calibration": "data",
    "model": "model",
    "diffusion": "model",
    "pipeline": "model",
    "inference": "model",
    "training": "model",
    "reports": "people",
    "terminal": "people",
    "cli": "people",
}
"""Room -> its kind; the rest act and judge."""


def allowed_imports(page: str) -> dict[str, set[str] | None]:
    """Room -> rooms that it may import (None: any), read from the table of the page."""
    table = page.split("## Who may import whom")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", table, re.MULTILINE)[1:]
    allowed: dict[str, set[str] | None] = {}
    for rooms, imports in rows:
        names = None if imports == "anything" else set(imports.replace(" ", "").split(",")) - {"-"}
        for room in rooms.replace(" ", "").split(","):
            allowed[room] = names
    return allowed


def graph_of(allowed: dict[str, set[str] | None]) -> nx.DiGraph:
    """The rooms as a graph, without the arrows that follow from others."""
    graph = nx.DiGraph()
    bounded = [room for room, names in allowed.items() if names is not None]
    graph.add_nodes_from(allowed)
    for room, names in allowed.items():
        graph.add_edges_from((room, other) for other in (bounded if names is None else names))
    if "cli" in allowed and "reports" in allowed:
        graph.add_edge("cli", "reports")
    return nx.transitive_reduction(graph)


def layers_of(graph: nx.DiGraph) -> list[list[str]]:
    """The rooms by height. A room stands just above the highest room that it imports."""
    generations = list(nx.topological_generations(graph.reverse()))
    layers = [sorted(generation) for generation in generations]
    for below, layer in pairwise(layers):
        places = {room: number for number, room in enumerate(below)}
        layer.sort(key=lambda room: _mean_place(graph, room, places))
    return layers


def _mean_place(graph: nx.DiGraph, room: str, places: dict[str, int]) -> float:
    """Where the imported rooms of the layer below stand on average, so that few arrows cross."""
    below = [places[other] for other in graph.successors(room) if other in places]
    return sum(below) / len(below) if below else 0.0


def draw(graph: nx.DiGraph, path: Path) -> None:
    """Write the figure."""
    layers = layers_of(graph)
    width = max(len(layer) for layer in layers)
    figure, axis = plt.subplots(figsize=(1.9 * width, 1.05 * len(layers)))
    places = {}
    for height, layer in enumerate(layers):
        gap = width / len(layer)
        for number, room in enumerate(layer):
            places[room] = ((number + 0.5) * gap, float(height))
    boxes = {room: _box(axis, room, x, y) for room, (x, y) in places.items()}
    for room, other in graph.edges:
        _arrow(axis, boxes[room], boxes[other], places[room], places[other])
    _legend(axis)
    axis.set_xlim(-0.2, width + 0.2)
    axis.set_ylim(-0.5, len(layers) - 0.3)
    axis.axis("off")
    figure.tight_layout()
    # Without a date and with fixed ids, so that the same table draws the same bytes.
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _arrow(axis, box, other_box, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow between two boxes. Long arrows are bent, so that they pass beside the boxes between."""
    bend = 0.12 if abs(start[1] - end[1]) > 1.5 else 0.0
    style = {"arrowstyle": "-|>", "color": "#888888", "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    ends = {"patchA": box, "patchB": other_box, "connectionstyle": f"arc3,rad={bend}"}
    axis.annotate("", xy=end, xytext=start, arrowprops={**style, **ends}, zorder=1)


def _box(axis, room: str, x: float, y: float) -> FancyBboxPatch:
    colour = COLOURS[KINDS.get(room, "acting and judging")]
    shape = FancyBboxPatch(
        (x - 0.38, y - 0.16),
        0.76,
        0.32,
        boxstyle="round,pad=0.04",
        facecolor=colour,
        edgecolor="#555555",
        lw=0.8,
        zorder=2,
    )
    axis.add_patch(shape)
    axis.text(x, y, room, ha="center", va="center", fontsize=10, zorder=3)
    return shape


def _legend(axis) -> None:
    patches = [
        FancyBboxPatch((0, 0), 1, 1, facecolor=colour, edgecolor="#555555") for colour in COLOURS.values()
    ]
    axis.legend(patches, COLOURS, loc="upper left", fontsize=8, frameon=False)


def main() -> None:
    """Draw the figure from the page."""
    matplotlib.rcParams["svg.hashsalt"] = "action-images"
    matplotlib.rcParams["svg.fonttype"] = "none"
    FIGURE.parent.mkdir(exist_ok=True)
    draw(graph_of(allowed_imports(PAGE.read_text())), FIGURE)


if __name__ == "__main__":
    main()
