"""Whether pictures, cameras and tool agree, judged from the evidence of all episodes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import add

from action_images.episodes.checks import grippers, place, rotations
from action_images.episodes.checks.alternatives import CAMERAS, PICTURES, ROTATIONS, TIMES, TOOL
from action_images.episodes.checks.evidence import (
    BETTER,
    DECLARED,
    LEAST_STEPS,
    MOVED,
    NAMED_FIT,
    SUSPECT,
    Evidence,
    is_better,
    measurable,
    pooled,
    view_named,
)
from action_images.episodes.checks.finding import Examined, Finding
from action_images.episodes.checks.follow import Change
from action_images.episodes.checks.rotations import LEAST_FIT
from action_images.episodes.checks.upright import check_upright

LEAST_NO_FIT_STEPS = 10
"""With fewer visible steps a bad fit is not reported: a tool that hardly moves fits nothing well."""
STEPS_FOR_DELAYS = 20
"""With fewer visible steps of the tool in a view, a steady delay may go unseen."""
SIGHTS_FOR_FOCAL = max(place.FARTHEST_M)
"""With fewer views of episodes that show the hand, focal lengths that are a quarter off may go unseen."""
COLOURS = "colours (whether red and blue are exchanged)"
MOST_SUSPECTS = 32


def check_agreement(examined: Sequence[Examined]) -> list[Finding]:
    """Findings about cameras, times, tool and rotations: of the whole set, else of single episodes."""
    return check_set(examined) or check_rest(examined)


def check_rest(examined: Sequence[Examined]) -> list[Finding]:
    """Findings about a set in which cameras, times and tool are right as a whole."""
    single = check_episodes(examined)
    told = {finding.episode for finding in single}
    others = [result for result in examined if result.id not in told]
    return [*single, *grippers.check_gripper(examined), *check_upright(others)]


def check_set(examined: Sequence[Examined]) -> list[Finding]:
    """Errors of all episodes, judged from those in which alternatives were tried."""
    whole = _judge_all(_pooled(_spread(examined))) or _judge_place(_pooled(examined))
    name = examined[0].id if len(examined) == 1 else ""
    return [Finding("warning", "calibration", name, message) for message in whole]


def check_episodes(examined: Sequence[Examined]) -> list[Finding]:
    """Errors of single episodes in a set that is right as a whole."""
    if len(examined) == 1:
        return []
    findings: list[Finding] = []
    for result in examined:
        messages = _judge_all(result.evidence) or _judge_place(result.evidence, place.FARTHEST_ALONE_M)
        findings += [Finding("warning", "calibration", result.id, message) for message in messages]
    return findings


def _judge_place(evidence: Mapping[str, Evidence], farthest_m: float | None = None) -> list[str]:
    """Errors of the place where the hand is seen, in views that fit."""
    seen = {name: found for name, found in measurable(evidence).items() if _fits(found)}
    return list(place.judge({name: found.sights for name, found in seen.items()}, farthest_m))


def _fits(found: Evidence) -> bool:
    return found.changes[DECLARED].fit >= LEAST_FIT


def suspects(examined: Sequence[Examined]) -> list[int]:
    """Indices of episodes that fit worse than the others, the worst first, for trying alternatives."""
    typical = {name: found.changes[DECLARED].fit for name, found in _pooled(examined).items()}
    badness = {}
    for number, result in enumerate(examined):
        fits = [_share(found, typical[name]) for name, found in result.evidence.items()]
        if fits and not result.is_spread and min(fits) < 1:
            badness[number] = min(fits)
    return sorted(badness, key=lambda number: badness[number])[:MOST_SUSPECTS]


def _share(found: Evidence, typical: float) -> float:
    """A view's fit in an episode as a fraction of a good fit; 0 if the tool is not seen."""
    fit = found.changes[DECLARED].fit if found.num_steps >= LEAST_STEPS else 0.0
    return fit / max(NAMED_FIT, SUSPECT * typical)


def _spread(examined: Sequence[Examined]) -> list[Examined]:
    return [result for result in examined if result.evidence and result.is_spread]


def _pooled(examined: Sequence[Examined]) -> dict[str, Evidence]:
    return pooled(result.evidence for result in examined)


def verification(examined: Sequence[Examined], view_names: Sequence[str]) -> str:
    """A sentence on what the pictures could and could not verify of cameras, times and tool."""
    seen = measurable(_pooled(_spread(examined)))
    if not seen:
        return (
            "Not verified: cameras, times, tool and rotations; no calibrated view shows a tool of a known "
            f"path that moves enough. The thumbnails decide; they also show {COLOURS}."
        )
    fits = [f"{name} ({found.changes[DECLARED].fit:.1f} times)" for name, found in seen.items()]
    missing = [f"view '{name}'" for name in view_names if name not in seen or not _fits(seen[name])]
    missing += [*rotations.unverified(seen), *_unverified_gripper(examined), *_unverified_for_few(seen)]
    missing += [_unverified_place(seen), COLOURS]
    measured = f"Measured: pictures aligned along the tool's path differ less in {', '.join(fits)}"
    where = _where_tried(examined)
    return f"{measured}; below {LEAST_FIT:g} is no fit. {where}Not verified: {', '.join(missing)}."


def _unverified_for_few(seen: Mapping[str, Evidence]) -> list[str]:
    """What only more pictures tell: focal lengths that are a quarter off, and views that are late."""
    few_steps = min(found.num_steps for found in seen.values()) < STEPS_FOR_DELAYS
    few_sights = sum(len(found.sights) for found in seen.values()) < SIGHTS_FOR_FOCAL
    told = {"delays (the tool is seen to move too little)": few_steps}
    told |= {"focal lengths (too few episodes)": few_sights}
    return [words for words, is_so in told.items() if is_so]


def _unverified_place(seen: Mapping[str, Evidence]) -> str:
    """The distance below which errors of cameras and tool may go unseen."""
    num_sights = sum(len(found.sights) for found in seen.values())
    return f"distances below {100 * place.surely_found(num_sights):.0f} cm" if num_sights else "distances"


def _where_tried(examined: Sequence[Examined]) -> str:
    """The episodes in which other conventions were tried, unless in all."""
    looked_at = [result for result in examined if result.evidence]
    tried = sum(result.is_tried for result in looked_at)
    spread = len(_spread(examined))
    if tried == len(looked_at):
        return ""
    worse = f" and {tried - spread} that fit worse" if tried > spread else ""
    return (
        f"Other conventions were tried in {spread} of {len(looked_at)} episodes, spread over the set{worse} "
        "(--thorough: in all). "
    )


def _unverified_gripper(examined: Sequence[Examined]) -> list[str]:
    told = grippers.verified(examined)
    return [] if told else ["which way the gripper opens (its fingers are not seen to part)"]


def _judge_all(evidence: Mapping[str, Evidence]) -> list[str]:
    """Errors of times, cameras and path, and of rotations; only the rotations' error if it explains all."""
    seen = measurable(evidence)
    others = list(_judge(evidence))
    if not seen or not all(found.is_tried for found in seen.values()):
        return others
    best, message = rotations.of_rotations(seen)
    if message is None:
        return others
    explains = best in ROTATIONS and all(rotations.explains(found, best) for found in seen.values())
    return [message] if explains else [*others, message]


def _judge(evidence: Mapping[str, Evidence]) -> Iterator[str]:
    """Errors by their likeliest cause: one of the tool if it explains all views, else one for each view."""
    seen = measurable(evidence)
    if not seen:
        return
    if all(found.is_tried and _explained_by_place(found) for found in seen.values()):
        away = list(place.judge({name: found.sights for name, found in seen.items()}))
        if away:
            yield from away
            return
    common = _of_tool(seen)
    if common is not None:
        yield common
        return
    for name, found in seen.items():
        yield from _of_view(name, found, _at_home(seen))


def _explained_by_place(found: Evidence) -> bool:
    """Whether a displaced hand fits a view better than any other convention does."""
    fit = found.changes[MOVED].fit
    return fit >= LEAST_FIT and (
        fit >= found.best_fit or found.best_fit < BETTER * found.changes[DECLARED].fit
    )


def _of_tool(seen: Mapping[str, Evidence]) -> str | None:
    """The alternative tool path or time that fits all views better, each about as well as its best."""
    if len(seen) < 2 or not all(found.is_tried for found in seen.values()):
        return None
    names = [*TOOL, *TIMES]
    total = {}
    for name in (DECLARED, *names):
        total[name] = reduce(add, [found.changes[name] for found in seen.values()])
    best = _best(total, names)
    if best is None or not all(_explains(found, best) for found in seen.values()):
        return None
    ratio = total[best].fit / total[DECLARED].fit
    return f"all views fit {ratio:.1f} times better {_words_for_tool(best)}"


def _explains(found: Evidence, name: str) -> bool:
    return found.changes[name].fit >= 0.8 * found.best_fit and _is_better(found.changes, name)


def _words_for_tool(name: str) -> str:
    if name in TOOL:
        return TOOL[name].says
    if name == "reversed":
        return "with the pictures in the reverse order"
    if name.startswith("rate "):
        return (
            f"with the pictures at {name.removeprefix('rate ')} times their rate: is the set's the videos'?"
        )
    frames = int(name.removeprefix("shift "))
    late, cure = ("earlier", "later") if frames > 0 else ("later", "earlier")
    return (
        f"with the tool {abs(frames)} frames {cure}: it is said {abs(frames)} frames {late} than it is shown"
    )


def _at_home(seen: Mapping[str, Evidence]) -> set[str]:
    """The alternatives with pictures of views that already fit well themselves."""
    return {view_named(name) for name, found in seen.items() if found.changes[DECLARED].fit >= NAMED_FIT}


def _of_view(name: str, found: Evidence, at_home: set[str]) -> Iterator[str]:
    alternatives = {**PICTURES, **CAMERAS, **TOOL, **TIMES}
    fit = found.changes[DECLARED].fit
    # If a view fits, pictures that also fit another view do not show that the two were exchanged.
    unlikely = {DECLARED, MOVED} | (at_home if fit >= LEAST_FIT else set())
    best = _best(found.changes, [other for other in found.changes if other not in unlikely])
    if best is not None:
        ratio = found.changes[best].fit / fit
        words = (
            alternatives[best].says.format(view=name) if best in alternatives else f"with {best}: swapped?"
        )
        yield f"{name}: fits {ratio:.1f} times better {words}"
    elif fit < LEAST_FIT and found.num_steps >= LEAST_NO_FIT_STEPS:
        cause = (
            "the calibration, the tool's frame or the times are wrong, or the picture does not show the robot"
        )
        follows = f"what moves does not follow the projected tool (fit {fit:.1f}, right ones have 2 to 6)"
        yield f"{name}: {follows}; {cause}"


def _best(changes: Mapping[str, Change], names: Sequence[str]) -> str | None:
    """The best-fitting alternative if it is well above the declared reading, else None."""
    best = max(names, key=lambda name: changes[name].fit, default=None)
    return best if best is not None and _is_better(changes, best) else None


def _is_better(changes: Mapping[str, Change], name: str) -> bool:
    return is_better(changes[name].fit, changes[DECLARED].fit)
