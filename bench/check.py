"""How often `action-images check` finds planted faults, and how often it finds some where there are none.

Record episodes, measure (again from where it was stopped), and write the table:

    action-images record --task trained --episodes 30 --seed 100 --size 128 --views 2 --every 2 --out held
    python bench/check.py held --results check.jsonl --minutes 14
    python bench/check.py held --results check.jsonl --minutes 0 --docs docs/data.md

Faults (bench/check_faults.py) are planted into the decoded pictures, cameras and paths of episodes, each a
set of its own; with `--per-set` also into neighbours that are one set. Counted is what `check`
says: whether anything, whether the fault is named, and whether it is silent: finds nothing, and does not say
that it could not verify this.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from check_faults import FAULTS, LEAST, Pictures

from action_images.episodes.checks import looks
from action_images.episodes.checks.agreement import check_agreement, verification
from action_images.episodes.checks.examine import examine_parts
from action_images.episodes.checks.finding import Examined
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode
from action_images.evaluation.statistics import wilson_interval
from action_images.files import jsonl

STRIDE = 37
"""Sets are looked at in steps of so many; it shares no factor with 100."""


def examined(episode: Episode, pictures: Pictures) -> Examined:
    """What `check` notes of an episode in memory."""
    result = Examined(episode.id, episode.num_frames)
    examine_parts(result, list(episode.views), pictures, episode.trajectory, episode.fps)
    return result


def messages(results: list[Examined]) -> list[str]:
    """All that is said of a set of these episodes."""
    own = chain.from_iterable(result.findings for result in results)
    return [finding.message for finding in (*own, *check_agreement(results))]


def pictures_of(episode: Episode) -> Pictures:
    """All pictures of each view."""
    return {view.name: looks.decode_all(view.frames) for view in episode.views}


def measured(
    dataset: Dataset, places: range, faults: list[str], done: set[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """For each of these faults that is not done what is said of the episodes, one by one and together."""
    group = [dataset[index] for index in places]
    first = group[0].id
    missing = [name for name in faults if (first, name) not in done]
    pictures = [pictures_of(episode) for episode in group] if missing else []
    for name in missing:
        fault, seed = FAULTS[name], places.start
        planted = [fault.plant(one, shown, seed) for one, shown in zip(group, pictures, strict=True)]
        visible = [fault.visible is None or fault.visible(*pair) >= LEAST for pair in _pairs(group, planted)]
        results = [examined(*one) for one in planted]
        single = [messages([result]) for result in results]
        views = [view.name for view in group[0].views]
        doubts = [fault.doubted(verification([result], views)) for result in results]
        record = {"first": first, "fault": name, "visible": visible, "doubted": doubts}
        yield record | {"single": single, "together": messages(results)}


def _pairs(group: list[Episode], planted: list[tuple[Episode, Pictures]]) -> list[tuple[Episode, Episode]]:
    return list(zip(group, [episode for episode, _ in planted], strict=True))


def table(records: list[dict[str, Any]], per_set: int) -> Iterator[str]:
    """The rates in the sets in which a fault can be seen, with 95 % Wilson intervals, as markdown."""
    several = f" found, {per_set} episodes | named |" if per_set > 1 else ""
    yield f"| planted | found | named | silent |{several}"
    yield "|---|---|---|---|" + "---|---|" * (per_set > 1)
    for name, fault in FAULTS.items():
        own = [record for record in records if record["fault"] == name]
        single: list[list[str]] = []
        num_silent = 0
        for record in own:
            for said, doubted, visible in zip(
                record["single"], record["doubted"], record["visible"], strict=True
            ):
                if visible:
                    single.append(said)
                    num_silent += not said and not doubted
        if not single:
            continue
        is_right = name.startswith("nothing")
        columns = [_rates(single, fault.named), "-" if is_right else rate(num_silent, len(single))]
        if per_set > 1:
            together = [record["together"] for record in own if sum(record["visible"]) * 2 > per_set]
            columns.append(_rates(together, fault.named))
        yield f"| {name} | {' | '.join(columns)} |"


def _rates(said: list[list[str]], named: str | None) -> str:
    found = rate(sum(map(bool, said)), len(said))
    if named is None:
        return f"{found} | -"
    return f"{found} | {rate(sum(named in ' '.join(one) for one in said), len(said))}"


def rate(count: int, total: int) -> str:
    """A count with its 95 % Wilson interval; a dash for a count of nothing."""
    if not total:
        return "-"
    low, high = wilson_interval(count, total)
    return f"{count}/{total} ({100 * low:.0f}-{100 * high:.0f} %)"


def write_docs(path: Path, lines: list[str]) -> None:
    """Put the table between its two marks."""
    text = path.read_text()
    begin, end = "<!-- bench/check.py -->\n", "<!-- end -->"
    before, rest = text.split(begin, 1)
    path.write_text(before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.split(end, 1)[1])


def main() -> None:
    """Measure, go on from where it was stopped, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("episodes", type=Path)
    parser.add_argument("--results", type=Path, default=Path("check.jsonl"))
    parser.add_argument("--sets", type=int, default=100, help="how many, spread over the episodes")
    parser.add_argument("--per-set", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=14, help="stop after so long; 0 shows the table")
    parser.add_argument("--faults", nargs="*", default=[""], help="those whose names hold one of these words")
    parser.add_argument(
        "--part", type=int, nargs=2, default=(0, 1), help="K N: every N-th set, from the K-th"
    )
    parser.add_argument("--docs", type=Path, default=None, help="the page that has the table")
    parser.add_argument("--show", default=None, help="a fault of which all that is said is printed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset, per_set = Dataset(arguments.episodes), arguments.per_set
    records = jsonl.load(arguments.results) if arguments.results.is_file() else []
    done = {(record["first"], record["fault"]) for record in records}
    faults = [name for name in FAULTS if any(words in name for words in arguments.faults)]
    began = time.monotonic()
    for step in range(arguments.part[0], arguments.sets, arguments.part[1]):
        number = step * STRIDE % arguments.sets  # a part of them is spread over the tasks as well
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        begin = number * len(dataset) // arguments.sets
        for record in measured(dataset, range(begin, begin + per_set), faults, done):
            jsonl.append(arguments.results, record, sync=False)
            records.append(record)
    lines = list(table(records, per_set))
    print("\n".join(lines))
    for record in records:
        if record["fault"] == arguments.show:
            print(record["first"], record["visible"], record["single"], record["together"])
    if arguments.docs is not None:
        write_docs(arguments.docs, lines)


if __name__ == "__main__":
    main()
