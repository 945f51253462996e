"""What every command owes, whatever it is given: an end, in time, in one sentence, within memory."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from forked import Ended

MAX_MB = 2500.0
"""What a command may take, its packages included, whatever a small file claims."""
LIMIT_S = 240.0
"""By the clock on the wall, of a machine that others may share: large pictures take their time."""
LONGEST_SENTENCE = 4000
RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
"""What a terminal obeys."""


@dataclass(frozen=True)
class Attempt:
    """One attack: its kind, what exactly was done, and what is wrong with how the command took it."""

    kind: str
    what: str
    wrong: str | None
    code: int
    seconds: float
    peak_mb: float


def judged(
    kind: str, what: str, ended: Ended, codes: Collection[int] = (0, 1, 2), *, secret: str = ""
) -> Attempt:
    """The verdict on one command; `codes` are those that are right, `secret` must not be said."""
    wrong = _wrong(ended, codes, secret)
    return Attempt(kind, what, wrong, ended.code, round(ended.seconds, 2), round(ended.peak_mb))


def _wrong(ended: Ended, codes: Collection[int], secret: str) -> str | None:
    lines = ended.errors.strip().splitlines()
    if ended.late:
        return f"had not ended after {LIMIT_S:g} s"
    if ended.code < 0:
        return f"died of signal {-ended.code}"
    if "Traceback" in ended.said + ended.errors:
        return f"a traceback: {lines[-2][:200] if len(lines) > 1 else lines}"
    if ended.code not in codes:
        return f"code {ended.code}: {(lines or [''])[-1][:200]}"
    if ended.code == 2 and not (lines and lines[-1].startswith("action-images ")):
        return f"no sentence of its own at the end: {(lines or [''])[-1][:200]}"
    if max(map(len, lines), default=0) > LONGEST_SENTENCE:
        return "a sentence without end"
    if RAW.search(ended.said + ended.errors):
        return "control characters reach the terminal"
    if secret and secret in ended.said + ended.errors:
        return "tells what another file holds"
    if ended.peak_mb > MAX_MB:
        return f"takes {ended.peak_mb:.0f} MB"
    return f"leaves {', '.join(ended.leftovers)}" if ended.leftovers else None
