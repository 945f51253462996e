"""The ChArUco board: its corners in metres, and their detection in pictures."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from typing_extensions import Self

from action_images.calibration.opencv import CalibrationError, opencv

LEAST_CORNERS = 6
"""A picture with fewer corners, or with all corners on one line, counts as showing none."""


@dataclass(frozen=True)
class Found:
    """The corners found in one picture: their numbers and their pixels (centres at +0.5)."""

    ids: Int64[Tensor, "corner"]
    pixels: Float[Tensor, "corner 2"]


@dataclass(frozen=True)
class Board:
    """A chessboard with an ArUco marker in each white square; the top left square is black.

    `columns` and `rows` count squares, `square` and `marker` are side lengths in m, and `dictionary` is
    OpenCV's name of the marker dictionary. `legacy` is the pattern of OpenCV before 4.6, which differs for an
    even number of `rows`.

    The board's frame: origin at the outer corner of the top left square, x to the right, y down, z into the
    paper.
    """

    columns: int
    rows: int
    square: float
    marker: float
    dictionary: str = "DICT_5X5_100"
    legacy: bool = False

    def __post_init__(self):
        if min(self.columns, self.rows) < 3 or max(self.columns, self.rows) > 100:
            raise CalibrationError(
                f"a board of {self.columns} x {self.rows} squares cannot be used; it has 3 to 100 in each "
                "direction"
            )
        if not 0 < self.marker < self.square:
            raise CalibrationError(
                f"markers ({self.marker:g} m) must be smaller than squares ({self.square:g} m), both above "
                "0; measure the print"
            )
        if self.square > 1:
            raise CalibrationError(f"squares of {self.square:g} m? Lengths are in metres: 30 mm is 0.03")
        known = dictionaries()
        if self.dictionary not in known:
            raise CalibrationError(
                f"there is no dictionary '{self.dictionary}'; there are: {', '.join(known)}"
            )
        wanted, held = self.columns * self.rows // 2, len(self._dictionary().bytesList)
        if wanted > held:
            raise CalibrationError(
                f"this board needs {wanted} markers, {self.dictionary} holds {held}; choose a larger "
                "dictionary"
            )

    @classmethod
    def from_text(
        cls, squares: str, square: float, marker: float, dictionary: str, *, legacy: bool = False
    ) -> Self:
        """A board from `squares` such as "7x5": columns x rows."""
        match = re.fullmatch(r"(\d{1,3})x(\d{1,3})", squares)
        if match is None:
            raise CalibrationError(f"squares are given as columns x rows, such as 7x5, got '{squares}'")
        return cls(int(match[1]), int(match[2]), square, marker, dictionary, legacy=legacy)

    @property
    def corners(self) -> Float[Tensor, "corner 3"]:
        """The inner corners (m, board frame) by number: left to right, then down."""
        y, x = torch.meshgrid(torch.arange(1, self.rows), torch.arange(1, self.columns), indexing="ij")
        flat = torch.stack([x, y, torch.zeros_like(x)], -1).flatten(0, 1)
        return flat.double() * self.square

    def find(self, picture: UInt8[Tensor, "3 h w"]) -> Found | None:
        """The corners in a picture; None for fewer than `LEAST_CORNERS`, or if all lie on a line."""
        cv2 = opencv()
        grey = cv2.cvtColor(np.ascontiguousarray(picture.movedim(0, -1).numpy()), cv2.COLOR_RGB2GRAY)
        pixels, ids, _, _ = cv2.aruco.CharucoDetector(self.in_opencv()).detectBoard(grey)
        if ids is None or len(ids) < LEAST_CORNERS or self.in_opencv().checkCharucoCornersCollinear(ids):
            return None
        # OpenCV's pixel centres are integers, ours are at +0.5: all pixels from here on are ours.
        return Found(
            torch.from_numpy(ids.ravel().astype(np.int64)),
            torch.from_numpy(pixels.reshape(-1, 2).astype(np.float64)) + 0.5,
        )

    def count_markers(self, picture: UInt8[Tensor, "3 h w"]) -> int:
        """Number of the dictionary's markers in a picture, wherever they are."""
        grey = np.ascontiguousarray(picture.float().mean(0).to(torch.uint8).numpy())
        _, ids, _ = opencv().aruco.ArucoDetector(self._dictionary()).detectMarkers(grey)
        return 0 if ids is None else len(ids)

    def in_opencv(self) -> Any:
        """The board as a `cv2.aruco.CharucoBoard`."""
        return _in_opencv(self)

    def _dictionary(self) -> Any:
        cv2 = opencv()
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))

    def __str__(self) -> str:
        legacy = ", legacy pattern" if self.legacy else ""
        sizes = f"squares of {self.square * 1e3:g} mm, markers of {self.marker * 1e3:g} mm"
        return f"{self.columns}x{self.rows} {sizes}, {self.dictionary}{legacy}"


def dictionaries() -> list[str]:
    """The names of OpenCV's marker dictionaries."""
    return [name for name in dir(opencv().aruco) if re.fullmatch(r"DICT_[A-Z0-9_]+", name)]


@cache
def _in_opencv(board: Board) -> Any:
    made = opencv().aruco.CharucoBoard(
        (board.columns, board.rows), board.square, board.marker, board._dictionary()
    )
    made.setLegacyPattern(board.legacy)
    return made
