"""A data set on one html page that needs no other file: what is wrong with it, and a thumbnail of each episode."""

import base64
from collections import defaultdict
from contextlib import suppress
from html import escape
from pathlib import Path

from action_images.episodes.checks.check import DEADLY, Finding, Verdict, summary
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.reports.thumbnails import jpeg, thumbnail

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1300px; color: #222; background: #fff; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .9em .2em 0; text-align: left }
.grid { display: flex; flex-wrap: wrap; gap: 14px } figure { margin: 0; min-width: 280px; max-width: 100% }
img { display: block; max-width: 100%; border-radius: 3px }
figcaption { font-size: 13px; width: 0; min-width: 100%; padding-top: 3px; overflow-wrap: anywhere }
.error { color: #b00020 } .warning { color: #8a5a00 } .none { width: 280px; height: 144px; background: #eee }
.none { color: #666; text-align: center; line-height: 144px }
"""


def write_page(path: Path, dataset: Dataset, verdict: Verdict, most: int) -> None:
    """Write the page in one step; it shows at most `most` episodes, the worst first."""
    by_episode: dict[str, list[Finding]] = defaultdict(list)
    for finding in verdict.findings:
        by_episode[finding.episode].append(finding)
    order = sorted(
        range(len(dataset)), key=lambda index: _badness(by_episode.get(dataset.ids[index], [])), reverse=True
    )[:most]
    figures = "\n".join(_figure(dataset, index, by_episode.get(dataset.ids[index], [])) for index in order)
    number = f"All {len(order)}" if len(order) == len(dataset) else f"{len(order)} of {len(dataset)}"
    shown = f"{number} episodes" + (", the worst first" if verdict.findings else "")
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(dataset.path.name)}</title><style>{STYLE}</style>"
    legend = "Middle frame of every view, in the order above. Axes of the tool: x red, y green, z blue, 8 cm each; its path yellow."
    legend += " They should sit on the gripper: where they do not, the calibration is wrong."
    body = f"<h1>{escape(dataset.path.name)}</h1>{_table(verdict)}{_general(by_episode[''])}<h2>{shown}</h2><p>{legend}</p>"
    part = path.with_name(path.name + ".part")
    part.write_text(
        f"{head}<body>{body}<div class=grid>\n{figures}\n</div></body></html>\n", encoding="utf-8"
    )
    part.replace(path)


def _badness(findings: list[Finding]) -> tuple[int, int]:
    """How many errors, then how many warnings; episodes of equal badness stay in their order."""
    errors = sum(finding.level == "error" for finding in findings)
    return errors, len(findings) - errors


def _table(verdict: Verdict) -> str:
    rows = {
        "episodes": verdict.num_episodes,
        "frames": verdict.num_frames,
        "frames/s": f"{verdict.fps:g}",
        "views": ", ".join(verdict.views),
    }
    cells = "".join(f"<tr><th>{name}<td>{escape(str(value))}" for name, value in rows.items())
    found = "".join(
        f"<tr class={name.split(':')[0]}><th>{escape(name)}<td>{count}"
        for name, count in summary(verdict).items()
    )
    return f"<table>{cells}{found}</table>" + ("" if found else "<p>Nothing was found to be wrong.</p>")


def _general(findings: list[Finding]) -> str:
    return "".join(f"<p class={finding.level}>{escape(finding.message)}</p>" for finding in findings)


def _figure(dataset: Dataset, index: int, findings: list[Finding]) -> str:
    folder, own_id = (
        f"{dataset.path}/",
        f"{dataset.ids[index]}: ",
    )  # said by the title and the caption already
    messages = [
        (finding.level, finding.message.replace(folder, "").replace(own_id, "")) for finding in findings
    ]
    notes = "".join(f"<div class={level}>{escape(message)}</div>" for level, message in messages)
    instruction, picture = "", "<div class=none>no picture</div>"
    if not any(finding.kind == DEADLY for finding in findings):
        with suppress(ValueError):  # why is among the findings
            episode = _what_is_whole(dataset, index)
            instruction = f"<div>{escape(episode.instruction or '(no instruction)')}</div>"
            if len(episode.views) < len(dataset.view_names):
                instruction += (
                    f"<div>only {escape(', '.join(view.name for view in episode.views))} can be shown</div>"
                )
            picture = f'<img loading=lazy alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg(thumbnail(episode))).decode()}">'
    caption = f"<b>{escape(dataset.ids[index])}</b>, {dataset.length(index)} frames{instruction}{notes}"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _what_is_whole(dataset: Dataset, index: int) -> Episode:
    """The episode without its damaged parts; raises ValueError where no view is left."""
    views: list[View] = []
    path = None
    for _, read in dataset.parts(index):
        with suppress(ValueError):  # why is among the findings
            part = read()
            if isinstance(part, View):
                part.frames.read([len(part.frames) // 2])
                views.append(part)
            else:
                path = part
    if not views:
        raise EpisodeError(f"{dataset.ids[index]}: no view of it can be read")
    return Episode(dataset.ids[index], dataset.instruction(index), dataset.fps, tuple(views), path)
