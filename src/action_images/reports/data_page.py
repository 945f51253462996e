"""A data set on one HTML page: its findings, and a thumbnail of each episode."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from action_images.episodes.checks.check import DEADLY, Finding, Verdict, summary
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.reports.inlined import data_uri
from action_images.reports.pages import write_page
from action_images.reports.thumbnails import jpeg, thumbnail


@dataclass(frozen=True)
class EpisodeThumbnail:
    """One episode as the page shows it; `picture` is None if nothing of it can be decoded.

    `only_views` names the views in the picture if some are missing; `findings` are (level, message).
    """

    id: str
    num_frames: int
    findings: list[tuple[str, str]]
    instruction: str | None = None
    only_views: tuple[str, ...] = ()
    picture: Markup | None = None


def write_data_page(path: Path, dataset: Dataset, verdict: Verdict, most: int) -> None:
    """Write the page, completely or not at all; it shows at most `most` episodes, the worst first."""
    by_episode: dict[str, list[Finding]] = defaultdict(list)
    for finding in verdict.findings:
        by_episode[finding.episode].append(finding)

    def findings_of(index: int) -> list[Finding]:
        return by_episode.get(dataset.ids[index], [])

    order = sorted(range(len(dataset)), key=lambda index: _badness(findings_of(index)), reverse=True)
    write_page(
        path,
        "data.html",
        title=dataset.path.name,
        verdict=verdict,
        summary=summary(verdict),
        general=by_episode[""],
        num_episodes=len(dataset),
        thumbnails=[_shown(dataset, index, findings_of(index)) for index in order[:most]],
    )


def _badness(findings: list[Finding]) -> tuple[int, int]:
    """The numbers of errors and warnings; episodes with equal numbers keep their order."""
    errors = sum(finding.level == "error" for finding in findings)
    return errors, len(findings) - errors


def _shown(dataset: Dataset, index: int, findings: list[Finding]) -> EpisodeThumbnail:
    known = {
        "id": dataset.ids[index],
        "num_frames": dataset.length(index),
        "findings": [(finding.level, _message(dataset, index, finding)) for finding in findings],
    }
    if any(finding.kind == DEADLY for finding in findings):
        return EpisodeThumbnail(**known)
    try:
        episode = _what_is_whole(dataset, index)
        picture = data_uri("image/jpeg", jpeg(thumbnail(episode)))
    except ValueError:  # the findings have the reason
        return EpisodeThumbnail(**known)
    names = tuple(view.name for view in episode.views)
    only_views = names if len(names) < len(dataset.view_names) else ()
    return EpisodeThumbnail(**known, instruction=episode.instruction, only_views=only_views, picture=picture)


def _message(dataset: Dataset, index: int, finding: Finding) -> str:
    """The message without the folder and the id, which are in the title and the caption."""
    return finding.message.replace(f"{dataset.path}/", "").replace(f"{dataset.ids[index]}: ", "")


def _what_is_whole(dataset: Dataset, index: int) -> Episode:
    """The episode without its damaged parts; raises EpisodeError if no view is left."""
    views: list[View] = []
    path = None
    for _, read in dataset.parts(index):
        with suppress(ValueError):  # the findings have the reason
            part = read()
            if isinstance(part, View):
                part.frames.read([len(part.frames) // 2])
                views.append(part)
            else:
                path = part
    if not views:
        raise EpisodeError(f"{dataset.ids[index]}: no view of it can be read")
    return Episode(dataset.ids[index], dataset.instruction(index), dataset.fps, tuple(views), path)
