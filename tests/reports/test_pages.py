"""Every page shows markup in names as text, fits its window, and opens in a browser without an error."""

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import torch
from browser import Browser

from action_images.episodes.checks.check import Finding, check_dataset
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.trajectory_file import save_trajectory
from action_images.evaluation.trial import TrialRecord, append_trial
from action_images.inference.label_folder import FOLDER
from action_images.inference.labelling import EpisodeLabels
from action_images.reports.data_page import write_data_page
from action_images.reports.labels_page import write_labels_page
from action_images.reports.pages import environment
from action_images.reports.pictures import save_png
from action_images.reports.report import write_report
from recorded import make_episode

EVIL = '<img src=x onerror="window.obeyed=1">&\''
EVIL_TAGS = f"</td></table></style><script>window.obeyed=1</script>{EVIL}"
"""The same with slashes, which names of files and views cannot hold."""


def evil_set(folder: Path) -> Dataset:
    """A data set whose folder, first episode's id and instruction are markup.

    Writer and reader refuse such an id, so the open set gets it: pages must not rely on them.
    """
    with DatasetWriter(folder / EVIL, fps=20) as writer:
        writer.add(make_episode("first", instruction=EVIL_TAGS))
        writer.add(make_episode("second"))
    dataset = Dataset(folder / EVIL)
    dataset.ids[0] = EVIL_TAGS
    return dataset


def data_page(folder: Path) -> Path:
    """With a view and a file of such names too."""
    dataset = evil_set(folder)
    found = check_dataset(dataset.path, 0)
    strange_file = Finding("error", "damaged", "", f"videos/{EVIL}.mp4: is not a readable video")
    verdict = replace(found, views=(EVIL_TAGS, "left"), findings=[*found.findings, strange_file])
    page = folder / "data.html"
    write_data_page(page, dataset, verdict, 100)
    return page


def labels_page(folder: Path) -> Path:
    dataset = evil_set(folder)
    (dataset.path / FOLDER).mkdir()
    path = dataset[0].trajectory
    confidence = {"confidence": torch.linspace(1, 0, path.num_frames)}
    save_trajectory(dataset.path / FOLDER / "000000.csv", path, confidence)
    known = EpisodeLabels(EVIL_TAGS, 0, path.num_frames, 1, 0.5, 0.0, path.num_frames - 1, 1.0, 2.0)
    reason = f"{dataset.path}: no view {EVIL}"
    unknown = EpisodeLabels("second", 1, 12, 12, 0.0, 0.0, 0, None, None, reason)
    page = folder / "labels.html"
    write_labels_page(page, dataset, [known, unknown])
    return page


def report_page(folder: Path) -> Path:
    results = folder / EVIL
    film = f"films/{EVIL}.png"
    (results / "films").mkdir(parents=True)
    save_png(results / film, torch.zeros(3, 8, 8, dtype=torch.uint8))
    known = {
        "protocol": EVIL_TAGS,
        "instruction": EVIL_TAGS,
        "detail": EVIL_TAGS,
        "num_steps": 20,
        "num_plans": 2,
        "num_unreachable": 0,
    }
    for seed, film_of_it in enumerate([film, None]):
        record = TrialRecord(
            policy=EVIL_TAGS,
            task=EVIL_TAGS,
            seed=seed,
            succeeded=False,
            failure="missed",
            stage_ms={EVIL_TAGS: 1.0},
            film=film_of_it,
            **known,
        )
        append_trial(results, record)
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step, EVIL_TAGS: step}) + "\n" for step in range(3)))
    return write_report([results, _copy(results, folder / "again" / EVIL)], folder / "report.html", log).path


def _copy(results: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    (to / "trials.jsonl").write_bytes((results / "trials.jsonl").read_bytes().replace(b'"films', b'"gone'))
    return to


@pytest.fixture(scope="module", params=[data_page, labels_page, report_page], ids=lambda make: make.__name__)
def page(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return request.param(tmp_path_factory.mktemp("page"))


def test_markup_in_a_name_is_shown_as_text(page: Path):
    text = page.read_text()
    assert "<script" not in text
    assert "<img src=x" not in text
    assert 'onerror="' not in text
    assert text.count("</style>") == 1
    for strange in (EVIL, EVIL_TAGS):
        assert strange in unescape(text)
    assert "default-src 'none'" in text


def test_a_browser_obeys_no_name_asks_for_nothing_and_has_no_complaint(page: Path, tmp_path: Path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.evaluate("window.obeyed") is None
        assert browser.evaluate("document.scripts.length") == 0
        assert EVIL_TAGS in browser.evaluate("document.body.innerText")
        assert browser.requests == [page.resolve().as_uri()]
        assert browser.complaints() == []


@pytest.mark.parametrize("width", [1200, 500])
def test_a_page_is_no_wider_than_its_window(page: Path, tmp_path: Path, width: int):
    with Browser(tmp_path / "profile", (width, 900)) as browser:
        browser.open(page)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_every_template_is_escaped_and_refuses_names_that_nobody_gave():
    pages = environment()
    assert pages.from_string("{{ name }}").render(name=EVIL).count("<") == 0
    for name in pages.list_templates(extensions=["html"]):
        assert "|safe" not in pages.loader.get_source(pages, name)[0].replace(" ", "")
    with pytest.raises(Exception, match="'absent' is undefined"):
        pages.from_string("{{ absent }}").render()
