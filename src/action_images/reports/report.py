"""One html page of results that needs no other file: tables with intervals, comparisons, reasons of failure, and films."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from action_images.errors import ActionImagesError
from action_images.evaluation.table import ALL, Comparison, Owned, Row, comparisons, is_ceiling, rows
from action_images.evaluation.trial import FAILURES, SETTINGS, TRIALS, TrialRecord, load_trials
from action_images.files.settings import load_settings
from action_images.reports.inlined import Inlined
from action_images.reports.learning_curves import load_curves
from action_images.reports.svg import curve, interval_bar, stacked_bar

LARGE_BYTES = 50_000_000
"""From here on a page is slow to open and to send, which is said."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
"""The browser is told to fetch nothing and to run nothing, whatever a stranger's instruction holds."""

TITLE = "Results in closed loop"


@dataclass(frozen=True)
class Written:
    """A page that was written: its size, and what a reader should know of it."""

    path: Path
    num_bytes: int
    num_trials: int
    warnings: tuple[str, ...]


def write_report(folders: Sequence[Path], out: Path, training_log: Path | None = None) -> Written:
    """Write the results of these folders (trials.jsonl, and films where trials name them) as one page, in one step.

    The folders `expert` and `expert-video` inside them are read too, and stand beside the others as their ceilings.
    `training_log` has one JSON object a line (evaluation/learning.py). Raises ValueError where a folder is none of
    results, or holds no trial.
    """
    trials, homes, owned = _load(folders)
    table, inlined = rows(trials, owned), Inlined()
    sections = {
        "Success": _results(table),
        "Films": _films(table, homes, inlined),
        "Compared scene by scene": _compared(comparisons(table)),
        "Why trials failed": _failures(table),
        "Learning": _learning(training_log),
    }
    page = _page(
        _headline(table), {heading: content for heading, content in sections.items() if content}
    ).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_bytes(page)
    part.replace(out)
    large = (
        (f"{out}: {len(page) / 1e6:.0f} MB is slow to open; evaluate with fewer films",)
        if len(page) > LARGE_BYTES
        else ()
    )
    return Written(out, len(page), len(trials), (*inlined.left_out, *large))


Home = dict[tuple[str, str, str, int], Path]
"""Protocol, policy, task and seed of a trial -> the folder that holds it."""
Conditions = dict[str, Any]
"""A folder's settings, but for the policy's name."""


def _load(folders: Sequence[Path]) -> tuple[list[TrialRecord], Home, Owned]:
    """All trials; policies of one name from several folders, and ceilings of other conditions, are told apart by the folder."""
    loaded = {folder: load_trials(folder) for given in folders for folder in (given, *_ceilings_of(given))}
    if empty := [str(folder) for folder, trials in loaded.items() if not trials]:
        raise ActionImagesError(
            f"{', '.join(empty)}: no trial has been finished there; let 'action-images evaluate' run on"
        )
    conditions = {folder: _conditions(folder) for folder in loaded}
    homes: Home = {}
    named = []
    for folder, trials in loaded.items():
        for trial in trials:
            same = [other for other in loaded if other != folder and _shares_name(trial, loaded[other])]
            if is_ceiling(trial.policy):
                same = [other for other in same if conditions[other] != conditions[folder]]
            if same:
                trial = replace(trial, policy=f"{trial.policy} ({_label(folder, loaded)})")
            key = (trial.protocol, trial.policy, *trial.key)
            if key not in homes:  # a ceiling may stand in several folders; its trials are the same
                homes[key] = folder
                named.append(trial)
    if not named:
        raise ActionImagesError("there is nothing to report: give at least one folder of results")
    return named, homes, _owned(homes, conditions)


def _shares_name(trial: TrialRecord, others: Sequence[TrialRecord]) -> bool:
    return any((other.protocol, other.policy) == (trial.protocol, trial.policy) for other in others)


def _conditions(folder: Path) -> Conditions:
    """Under what conditions the trials of a folder were run, whoever was judged."""
    path = folder / SETTINGS
    settings = load_settings(path) if path.is_file() else {}
    return {name: value for name, value in settings.items() if name != "policy"}


def _owned(homes: Home, conditions: dict[Path, Conditions]) -> Owned:
    """For each policy the ceilings of the same conditions."""
    under: dict[tuple[str, str], set[Path]] = {}
    for (protocol, policy, *_), folder in homes.items():
        under.setdefault((protocol, policy), set()).add(folder)
    ceilings = {key: folders for key, folders in under.items() if is_ceiling(key[1])}

    def alike(some: set[Path], others: set[Path]) -> bool:
        return any(_agree(conditions[one], conditions[other]) for one in some for other in others)

    return {
        (protocol, policy): {
            name for (other, name), at in ceilings.items() if other == protocol and alike(at, folders)
        }
        for (protocol, policy), folders in under.items()
    }


def _agree(some: Conditions, others: Conditions) -> bool:
    """Whether two folders' conditions are alike; the clips of a policy matter only to what depends on them."""
    clips = {"clips"} if "clips" not in some or "clips" not in others else set[str]()
    return all(some.get(name) == others.get(name) for name in {*some, *others} - clips)


def _ceilings_of(folder: Path) -> list[Path]:
    """Where `action-images evaluate` leaves the ceilings of a folder's policy."""
    return [folder / name for name in ("expert", "expert-video") if (folder / name / TRIALS).is_file()]


def _label(folder: Path, others: Iterable[Path]) -> str:
    """A folder's name; its path where another has the same name."""
    return folder.name if [other.name for other in others].count(folder.name) == 1 else str(folder)


def _page(headline: str, sections: dict[str, str]) -> str:
    style = files("action_images.evaluation").joinpath("report.css").read_text()
    links = "".join(f'<a href="#{number}">{heading}</a>' for number, heading in enumerate(sections))
    body = "\n".join(
        f'<section id="{number}"><h2>{heading}</h2>{content}</section>'
        for number, (heading, content) in enumerate(sections.items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="data:,"><title>{TITLE}</title><style>{style}</style></head>'
        f"<body><main><h1>{TITLE}</h1>{headline}<nav>{links}</nav>\n{body}\n</main></body></html>\n"
    )


def _explained(legend: str) -> str:
    return f'<p class="dim">{legend}</p>'


def _table(name: str, columns: Sequence[str], body: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f'<div class="wide"><table id="{name}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"


def _interval(row: Row) -> str:
    low, high = row.interval
    return f"{100 * low:.0f} to {100 * high:.0f}"


def _totals(table: Sequence[Row]) -> list[Row]:
    """The row of each protocol and policy that takes all its tasks together."""
    last = {(row.protocol, row.policy): row for row in table}
    return list(last.values())


def _headline(table: Sequence[Row]) -> str:
    totals = [row for row in _totals(table) if not is_ceiling(row.policy)] or _totals(table)
    tiles = "".join(
        f'<div class="tile"><div class="big">{_percent(row.rate)}</div>{interval_bar(row.rate, *row.interval)}'
        f"<div><b>{escape(row.policy)}</b>, {escape(row.protocol)}</div>"
        f'<div class="dim">{row.num_succeeded} of {row.num_trials} trials, {len({trial.task for trial in row.trials})} tasks</div></div>'
        for row in totals
    )
    return f'<div class="tiles">{tiles}</div>'


def _results(table: Sequence[Row]) -> str:
    """Ceilings stand beside the policies that they bound; their own rows are folded away where there are others."""
    ours = [row for row in table if not is_ceiling(row.policy)]
    bounds = [row for row in table if is_ceiling(row.policy)]
    legend = _explained(
        "A dot is the rate, its line the interval in which the true rate lies (Wilson, 95 %), from 0 to 100 %; an upright stroke is a "
        "ceiling: what the expert reaches at the same task, alone or sent through action images. Times are medians over trials."
    )
    if not ours:
        return legend + _result_table("results", bounds)
    folded = (
        f"<details><summary>The ceilings' own trials</summary>{_result_table('ceilings', bounds)}</details>"
        if bounds
        else ""
    )
    return legend + _result_table("results", ours) + folded


def _result_table(name: str, table: Sequence[Row]) -> str:
    stages = list(dict.fromkeys(stage for row in table for stage in row.stage_ms))
    ceilings = list(dict.fromkeys(name for row in table for name in row.ceilings))
    timed = ["plan, ms"] if any(row.plan_ms is not None for row in table) else []
    columns = [
        "task",
        "success",
        "rate",
        "95 % interval",
        "",
        *ceilings,
        *timed,
        *(f"{stage}, ms" for stage in stages),
    ]
    body, group = [], None
    for row in table:
        if (row.protocol, row.policy) != group:
            group = (row.protocol, row.policy)
            body.append(_group(f"{row.policy}, {row.protocol}", len(columns)))
        body.append(_result(row, ceilings, stages, bool(timed)))
    return _table(name, columns, body)


def _group(name: str, num_columns: int) -> str:
    return f'<tr class="group"><th colspan="{num_columns}">{escape(name)}</th></tr>'


def _result(row: Row, ceilings: Sequence[str], stages: Sequence[str], timed: bool) -> str:
    beside = [row.ceilings.get(name) for name in ceilings]
    strokes = [one.rate for one in beside if one is not None]
    cells = [
        f"<td>{escape(row.task)}</td><td>{row.num_succeeded} of {row.num_trials}</td><td><b>{_percent(row.rate)}</b></td>"
        f"<td>{_interval(row)}</td><td>{interval_bar(row.rate, *row.interval, strokes)}</td>",
        *(
            f"<td>{'–' if one is None else f'{_percent(one.rate)} of {one.num_trials}'}</td>"
            for one in beside
        ),
        *([f"<td>{_ms(row.plan_ms)}</td>"] if timed else []),
        *(f"<td>{_ms(row.stage_ms.get(stage))}</td>" for stage in stages),
    ]
    keys = f'data-protocol="{escape(row.protocol)}" data-policy="{escape(row.policy)}" data-task="{escape(row.task)}"'
    return f"<tr {keys}{' class=total' if row.task == ALL else ''}>{''.join(cells)}</tr>"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _compared(found: Sequence[Comparison]) -> str:
    if not found:
        return ""
    columns = (
        "task",
        "same scenes",
        "both",
        "only the first",
        "only the second",
        "neither",
        "difference, points",
        "p",
    )
    body, group = [], None
    for one in found:
        if (one.protocol, one.first, one.second) != group:
            group = (one.protocol, one.first, one.second)
            body.append(
                f'<tr class="group"><th colspan="8">{escape(one.first)} against {escape(one.second)}, {escape(one.protocol)}</th></tr>'
            )
        pairs = one.pairing
        num_neither = pairs.num_pairs - one.num_both - pairs.only_first - pairs.only_second
        cells = (pairs.num_pairs, one.num_both, pairs.only_first, pairs.only_second, num_neither)
        body.append(
            f"<tr{' class=total' if one.task == ALL else ''}><td>{escape(one.task)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}"
            f"<td>{100 * pairs.difference:+.0f}</td><td>{'&lt; 0.001' if pairs.p_value < 0.001 else f'{pairs.p_value:.3f}'}</td></tr>"
        )
    legend = (
        "Both were tried in the same scenes, so only scenes in which one alone succeeded tell them apart. p: how often two equally good "
        "policies would differ this much or more (McNemar, exact, two-sided)."
    )
    return _explained(legend) + _table("compared", columns, body)


def _failures(table: Sequence[Row]) -> str:
    failed = [row for row in table if row.failures]
    if not failed:
        return "<p>No trial failed.</p>"
    present = [name for name in FAILURES if any(name in row.failures for row in failed)]
    legend = "".join(
        f'<li><span class="swatch part-{name}"></span><b>{name}</b> {escape(FAILURES[name])}</li>'
        for name in present
    )
    body, group = [], None
    for row in failed:
        if (row.protocol, row.policy) != group:
            group = (row.protocol, row.policy)
            body.append(_group(f"{row.policy}, {row.protocol}", 3))
        said = ", ".join(f"{count} {name}" for name, count in row.failures.items())
        bar = stacked_bar(list(row.failures.items()), row.num_trials)
        body.append(
            f'<tr{" class=total" if row.task == ALL else ""}><td>{escape(row.task)}</td><td class="stacked">{bar}</td><td>{said}</td></tr>'
        )
    return f'<ul class="legend">{legend}</ul>{_table("failures", ("task", "share of all trials", "failed"), body)}'


def _films(table: Sequence[Row], homes: Home, inlined: Inlined) -> str:
    """For each task of each policy a success and a failure; those of ceilings where there is nothing else."""
    filmed = [row for row in table if row.task != ALL and any(trial.film for trial in row.trials)]
    chosen = [row for row in filmed if not is_ceiling(row.policy)] or filmed
    shown = []
    for row in chosen:
        figures = "".join(_figure(row, succeeded, homes, inlined) for succeeded in (True, False))
        if figures:
            title = f"{escape(row.task)} <span class=dim>{escape(row.policy)}, {escape(row.protocol)}</span>"
            shown.append(f'<h3>{title}</h3><div class="films">{figures}</div>')
    if not shown:
        return ""
    legend = (
        "From left to right: what the cameras saw; what the policy imagined, where it imagines; the action images of its plan (red: the "
        "tool's position, green and blue: its axes, blue ground: an open gripper); the same laid over what was seen; the path of the tool."
    )
    return _explained(legend) + "".join(shown)


def _figure(row: Row, succeeded: bool, homes: Home, inlined: Inlined) -> str:
    for trial in row.trials:
        if trial.film and trial.succeeded == succeeded:
            uri = inlined.uri(homes[(row.protocol, row.policy, *trial.key)], trial.film)
            if uri is not None:
                return _shown(trial, uri)
    return ""


def _shown(trial: TrialRecord, uri: str) -> str:
    said = escape(f"{trial.task}, scene {trial.seed}")
    medium = (
        f'<video controls muted loop playsinline preload="auto" aria-label="{said}" src="{uri}"></video>'
        if uri.startswith("data:video")
        else f'<img alt="{said}" src="{uri}">'
    )
    outcome = (
        '<span class="good">succeeded</span>'
        if trial.succeeded
        else f'<span class="bad">failed: {trial.failure}</span>'
    )
    return (
        f"<figure>{medium}<figcaption>{outcome} <b>“{escape(trial.instruction)}”</b><br>{escape(trial.detail)}"
        f' <span class="dim">scene {trial.seed}, {trial.num_steps} steps, {trial.num_plans} plans</span></figcaption></figure>'
    )


def _learning(training_log: Path | None) -> str:
    if training_log is None:
        return ""
    drawn = "".join(curve(points, name) for name, points in load_curves(training_log).items())
    return f'<div class="curves">{drawn}</div>'
