"""The board as a sheet to print: black rectangles at true scale, as pdf or png."""

import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.calibration.board import Board
from action_images.calibration.opencv import CalibrationError, opencv
from action_images.files.atomic import whole_file

PAPERS = {"A4": (0.297, 0.210), "A3": (0.420, 0.297), "A2": (0.594, 0.420)}
"""Width and height (m) of sheets in landscape."""

MARGIN = 0.008
"""White around the board (m): most printers cannot reach it, and detecting the outer markers needs it."""

CAPTION = 0.012
"""Height (m) of the strip below the board that holds the ruler and the text."""

POINTS_PER_METRE = 72 / 0.0254


@dataclass(frozen=True)
class Rectangle:
    """A black or white rectangle on the board: left, top, right, bottom in m, y down."""

    left: float
    top: float
    right: float
    bottom: float
    black: bool = True


def rectangles(board: Board) -> list[Rectangle]:
    """The board's black rectangles, and after them the white ones inside markers."""
    found: list[Rectangle] = []
    made = board.in_opencv()
    first = board.rows % 2 == 0 if board.legacy else False
    fields = product(range(board.rows), range(board.columns))
    places = [(column, row) for row, column in fields if (row + column + first) % 2 == 0]
    squares = [(column * board.square, row * board.square) for column, row in places]
    found += [Rectangle(left, top, left + board.square, top + board.square) for left, top in squares]
    side = made.getDictionary().markerSize + 2
    for number, corners in zip(made.getIds().ravel(), made.getObjPoints(), strict=True):
        left, top = (float(x) for x in corners[:, :2].min(0))
        cells = opencv().aruco.generateImageMarker(made.getDictionary(), int(number), side)
        cell = board.marker / side
        found.append(Rectangle(left, top, left + board.marker, top + board.marker))
        for row, column in np.argwhere(cells > 0):
            x, y = left + float(column) * cell, top + float(row) * cell
            found.append(Rectangle(x, y, x + cell, y + cell, black=False))
    return found


def picture(board: Board, pixels_per_metre: float) -> UInt8[Tensor, "h w"]:
    """The board alone, without margin, seen from straight above: 0 black, 255 white."""
    height, width = (round(n * board.square * pixels_per_metre) for n in (board.rows, board.columns))
    image = np.full((height, width), 255, np.uint8)
    for part in rectangles(board):
        left, top, right, bottom = (
            round(x * pixels_per_metre) for x in (part.left, part.top, part.right, part.bottom)
        )
        image[top:bottom, left:right] = 0 if part.black else 255
    return torch.from_numpy(image)


def save_sheet(path: Path, board: Board) -> str:
    """Write the board as .pdf or .png; returns what to do with it.

    The pdf is the smallest paper of `PAPERS` that holds the board, else a page of its own size; it has a
    ruler of 100 mm and the board's numbers. The png (needs pillow) has board and margin, with its resolution
    written into the file.
    """
    if path.suffix not in (".pdf", ".png"):
        raise CalibrationError(f"{path}: a board is written as .pdf or .png")
    with whole_file(path) as temporary:
        size = _save_png(temporary, board) if path.suffix == ".png" else _save_pdf(temporary, board)
    return (
        f"{path}: {board}, on {size}. Print at 100 % ('actual size'), glue it to something flat, "
        "measure a row of squares and give what you measured as --square."
    )


def _save_png(path: Path, board: Board) -> str:
    """Write the picture; returns its size in words."""
    from PIL import Image

    # Whole pixels for each square keep all squares equal.
    per_metre = max(50, min(300, 12_000 // max(board.columns, board.rows))) / board.square
    margin = round(MARGIN * per_metre)
    padded = torch.nn.functional.pad(picture(board, per_metre), (margin, margin, margin, margin), value=255)
    dpi = per_metre * 0.0254
    Image.fromarray(padded.numpy()).save(path, format="PNG", dpi=(dpi, dpi))
    width_mm = (board.columns * board.square + 2 * MARGIN) * 1e3
    height_mm = (board.rows * board.square + 2 * MARGIN) * 1e3
    return f"{width_mm:.0f} x {height_mm:.0f} mm"


def _save_pdf(path: Path, board: Board) -> str:
    width, height = board.columns * board.square, board.rows * board.square
    needed = (width + 2 * MARGIN, height + 2 * MARGIN + CAPTION)
    name, paper = next(
        ((name, paper) for name, paper in PAPERS.items() if needed[0] <= paper[0] and needed[1] <= paper[1]),
        (f"a page of {needed[0] * 1e3:.0f} x {needed[1] * 1e3:.0f} mm", needed),
    )
    left, top = (paper[0] - width) / 2, (paper[1] + height + CAPTION) / 2
    lines = [f"{POINTS_PER_METRE:.9g} 0 0 {POINTS_PER_METRE:.9g} 0 0 cm"]
    for part in rectangles(board):
        corner = f"{left + part.left:.7f} {top - part.bottom:.7f}"
        size = f"{part.right - part.left:.7f} {part.bottom - part.top:.7f}"
        lines.append(f"{0 if part.black else 1} g {corner} {size} re f")
    below = top - height - CAPTION / 2
    lines.append(
        f"0 g {left:.7f} {below:.7f} 0.1 0.0005 re f {left:.7f} {below - 0.0015:.7f} 0.0003 0.0035 re f"
    )
    lines.append(f"{left + 0.0997:.7f} {below - 0.0015:.7f} 0.0003 0.0035 re f")
    lines.append(
        f"BT /F 0.0028 Tf {left:.7f} {below - 0.0045:.7f} Td (100 mm  |  {board}  |  action-images) Tj ET"
    )
    path.write_bytes(_pdf("\n".join(lines).encode("ascii"), paper))
    return f"{name} (on its side)" if name in PAPERS else name


def _pdf(drawing: bytes, paper: tuple[float, float]) -> bytes:
    """A pdf file of one page (m). Source: ISO 32000-1, sections 7.5 (structure) and 8 (graphics)."""
    box = " ".join(f"{side * POINTS_PER_METRE:.4f}" for side in paper)
    packed = zlib.compress(drawing)
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 "
        + box.encode()
        + b"] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
        b"<< /Length "
        + str(len(packed)).encode()
        + b" /Filter /FlateDecode >>\nstream\n"
        + packed
        + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    file, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(file))
        file += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(file)
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    file += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}".encode()
    file += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(file)
