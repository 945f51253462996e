"""Results of the checks for one episode."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from action_images.episodes.checks.evidence import Evidence
from action_images.episodes.checks.report_file import DEADLY, Finding

__all__ = ["DEADLY", "Examined", "Finding", "Say", "Span", "Tilts"]

Say = Callable[[str, str, str], None]
"""level, kind, message"""


class Span(NamedTuple):
    """The range of an episode's pictures in a video file."""

    path: str
    num_pictures: int
    stop: int
    """One more than the index of its last picture there."""


class Tilts(NamedTuple):
    """Degrees of the tool's z axis from the vertical in some frames."""

    declared: np.ndarray
    other_order: np.ndarray
    """With the quaternion's w at the other end."""


@dataclass
class Examined:
    """Results for one episode."""

    id: str
    num_frames: int
    findings: list[Finding] = field(default_factory=list)
    signature: np.ndarray | None = None
    """Small grey pictures of the first view, for finding duplicates."""
    path: np.ndarray | None = None
    """The tool's position in each frame (m), for finding duplicates."""
    opening: float | None = None
    """The gripper's constant opening; None if it moves or is unknown."""
    has_words: bool = True
    has_path: bool = True
    """`has_words`: an instruction is known; `has_path`: the tool's poses are known."""
    openings: tuple[float, float] | None = None
    """Smallest and largest opening; None if unknown."""
    starts: float | None = None
    """The opening in the first frame; None if unknown."""
    tilts: Tilts | None = None
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """Evidence about cameras, times and tool from the pictures of each calibrated view."""
    is_spread: bool = True
    """Whether the episode is one of those in which alternatives are always tried."""

    spans: dict[str, Span] = field(default_factory=dict)
    """The ranges of each view's pictures in their files."""

    @property
    def is_tried(self) -> bool:
        """Whether other conventions were tried against its pictures."""
        return any(found.is_tried for found in self.evidence.values())

    def say(self, level: str, kind: str, message: str) -> None:
        """Add a finding of this episode."""
        self.findings.append(Finding(level, kind, self.id, message))
