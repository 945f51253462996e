"""What one episode showed to the checks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from action_images.episodes.checks.evidence import Evidence
from action_images.episodes.checks.report_file import DEADLY, Finding

__all__ = ["DEADLY", "Examined", "Finding", "Say", "Span"]

Say = Callable[[str, str, str], None]
"""level, kind, message"""


class Span(NamedTuple):
    """Where an episode's pictures lie in a video file."""

    path: str
    num_pictures: int
    stop: int
    """One more than the index of its last picture there."""


@dataclass
class Examined:
    """What one episode showed."""

    id: str
    num_frames: int
    findings: list[Finding] = field(default_factory=list)
    signature: np.ndarray | None = None
    """Small grey pictures of the first view, to find duplicates by."""
    path: np.ndarray | None = None
    """Where the tool is in each frame (m), for the same."""
    opening: float | None = None
    """Where the gripper stays in all frames; None where it moves or nothing is known of it."""
    has_words: bool = True
    has_path: bool = True
    """Whether an instruction, and the tool's poses, are known."""
    openings: tuple[float, float] | None = None
    """From the smallest to the largest opening; None where nothing is known of it."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """What the pictures of each calibrated view say about cameras, times and tool."""
    is_spread: bool = True
    """Whether it is among the episodes in which alternatives are tried, however well they fit."""

    spans: dict[str, Span] = field(default_factory=dict)
    """Where the pictures of each view lie in their files."""

    @property
    def is_tried(self) -> bool:
        """Whether other conventions were tried against its pictures."""
        return any(found.is_tried for found in self.evidence.values())

    def say(self, level: str, kind: str, message: str) -> None:
        """Note a finding of this episode."""
        self.findings.append(Finding(level, kind, self.id, message))
