"""Small drawings for a page, as SVG text: an interval, shares of a whole, a curve. Colours are the page's variables."""

from collections.abc import Sequence
from html import escape

BAR_WIDTH, BAR_HEIGHT = 150, 18


def interval_bar(rate: float, low: float, high: float, ceilings: Sequence[float] = ()) -> str:
    """A rate in [0, 1] as a dot on its interval; ceilings are upright strokes."""
    inner = BAR_WIDTH - 10

    def x(value: float) -> str:
        return f"{5 + inner * value:.1f}"

    label = f"{100 * rate:.0f} %, interval {100 * low:.0f} to {100 * high:.0f} %"
    middle = BAR_HEIGHT / 2
    strokes = "".join(
        f'<line class="ceiling" x1="{x(one)}" x2="{x(one)}" y1="2" y2="{BAR_HEIGHT - 2}"/>'
        for one in ceilings
    )
    return (
        f'<svg class="interval" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<line class="axis" x1="5" x2="{BAR_WIDTH - 5}" y1="{middle}" y2="{middle}"/>'
        f'<line class="tick" x1="{x(0.5)}" x2="{x(0.5)}" y1="{middle - 3}" y2="{middle + 3}"/>'
        f'<line class="range" x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>{strokes}'
        f'<circle class="rate" cx="{x(rate)}" cy="{middle}" r="4"/></svg>'
    )


def stacked_bar(parts: Sequence[tuple[str, int]], whole: int, width: int = 420, height: int = 16) -> str:
    """Counts of named parts beside each other, as long as their share of the whole; class `part-NAME` gives the colour."""
    label = escape(", ".join(f"{count} {name}" for name, count in parts) + f", of {whole}")
    x, drawn = 0.0, []
    for name, count in parts:
        length = width * count / whole
        box = f'x="{x:.2f}" y="0" width="{length:.2f}" height="{height}"'
        drawn.append(f'<rect class="part-{escape(name)}" {box}><title>{escape(name)}: {count}</title></rect>')
        x += length
    box = f'viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
    return f'<svg class="stack" {box} role="img" aria-label="{label}">{"".join(drawn)}</svg>'


def curve(points: Sequence[tuple[float, float]], name: str, width: int = 300, height: int = 150) -> str:
    """One line through (x, y), with the least and greatest of each axis written beside it."""
    left, bottom, top = 46, 22, 24
    xs, ys = [x for x, _ in points], [y for _, y in points]
    (x0, x1), (y0, y1) = (min(xs), max(xs)), (min(ys), max(ys))

    def place(x: float, y: float) -> str:
        across = left + (width - left - 8) * ((x - x0) / (x1 - x0) if x1 > x0 else 0.5)
        down = top + (height - top - bottom) * (1 - (y - y0) / (y1 - y0) if y1 > y0 else 0.5)
        return f"{across:.1f},{down:.1f}"

    line = " ".join(place(x, y) for x, y in points)
    floor = height - bottom
    return (
        f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">'
        f'<text class="name" x="{left}" y="14">{escape(name)}</text>'
        f'<path class="axis" d="M{left} {top}V{floor}H{width - 8}" fill="none"/>'
        f'<polyline class="line" points="{line}" fill="none"/>'
        f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{y1:.3g}</text>'
        f'<text x="{left - 4}" y="{floor}" text-anchor="end">{y0:.3g}</text>'
        f'<text x="{left}" y="{height - 6}">{x0:g}</text><text x="{width - 8}" y="{height - 6}" text-anchor="end">{x1:g}</text></svg>'
    )
