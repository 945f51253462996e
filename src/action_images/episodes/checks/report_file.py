"""The findings of a check, stored beside the data set for viewers; needs no torch."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from action_images.episodes.lerobot_layout import read_json
from action_images.files.atomic import write_json

NAME, FORMAT, VERSION = "check.json", "action-images/check", 1
DEADLY = "deadly"
"""The kind of finding after which an episode may be opened only in a process of its own."""


class Finding(NamedTuple):
    """One finding: `error` makes an episode unusable as it is, `warning` should be examined."""

    level: str
    kind: str
    episode: str
    message: str


@dataclass(frozen=True)
class CheckReport:
    """The findings of a check; without a check it is empty and does not `exist`."""

    num_episodes: int = 0
    findings: Sequence[Finding] = ()
    conclusion: str = ""
    exists: bool = field(default=False)

    @cached_property
    def _by_episode(self) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            found[finding.episode].append(finding)
        return found

    def of(self, episode_id: str) -> Sequence[Finding]:
        """The findings of one episode, or of the whole set for an empty id."""
        return self._by_episode.get(episode_id, ())


def save_report(path: Path, report: CheckReport) -> None:
    """Write the report as JSON, completely or not at all."""
    write_json(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "num_episodes": report.num_episodes,
            "conclusion": report.conclusion,
            "findings": [list(finding) for finding in report.findings],
        },
    )


def load_report(folder: Path) -> CheckReport:
    """The report in a data set's folder; one that does not `exist` if there is none of ours."""
    path = folder / NAME
    if not path.is_file():
        return CheckReport()
    content = read_json(path)
    listed = content.get("findings")
    if content.get("format") != FORMAT or content.get("version") != VERSION or not isinstance(listed, list):
        return CheckReport()
    findings = [Finding(*map(str, one)) for one in listed if isinstance(one, list) and len(one) == 4]
    count = content.get("num_episodes")
    num_episodes = count if type(count) is int else 0
    conclusion = str(content.get("conclusion", ""))
    return CheckReport(num_episodes, findings, conclusion, exists=True)
