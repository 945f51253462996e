"""The report of trials that were really run, in a browser: every film plays, every number is right."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser
from filmed import judged

from action_images.evaluation.statistics import wilson_interval
from action_images.evaluation.trial import load_trials
from action_images.reports.report import write_report

TASKS = ("push_button", "reach_target")

DECODED = """Promise.all([...document.querySelectorAll("video, img")].map(async medium => {
  if (medium.tagName == "IMG") {
    await medium.decode()
    return {width: medium.naturalWidth, colours: 0, duration: 0}
  }
  const until = event => new Promise((good, bad) => {
    medium.addEventListener(event, good, {once: true})
    medium.addEventListener("error", () => bad(medium.error), {once: true})
  })
  if (medium.error) throw medium.error
  if (medium.readyState < 2) await until("loadeddata")
  const colours = new Set()
  for (const part of [0.05, 0.5, 0.95]) {
    const there = until("seeked")
    medium.currentTime = part * medium.duration
    await there
    const context = new OffscreenCanvas(64, 32).getContext("2d")
    context.drawImage(medium, 0, 0, 64, 32)
    const pixels = context.getImageData(0, 0, 64, 32).data
    for (let i = 0; i < pixels.length; i += 4)
      colours.add([0, 1, 2].map(channel => pixels[i + channel] >> 4).join())
  }
  return {width: medium.videoWidth, colours: colours.size, duration: medium.duration}
}))"""

TABLE = """document.querySelectorAll("details").forEach(one => one.open = true)
;[...document.querySelectorAll("#results tr[data-task]")].map(row => ({
  task: row.dataset.task, policy: row.dataset.policy, protocol: row.dataset.protocol,
  cells: [...row.cells].map(cell => cell.innerText)
}))"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "hindsight"
    judged(folder, TASKS, num_trials=2)
    return folder


@pytest.fixture(scope="module")
def page(results: Path) -> Path:
    return write_report([results], results.parent / "report.html").path


@pytest.fixture(scope="module")
def opened(page: Path) -> Iterator[Browser]:
    with Browser(page.parent / "profile") as browser:
        browser.open(page)
        yield browser


def test_every_film_plays_from_the_first_frame_to_the_last(opened: Browser, results: Path):
    media = opened.evaluate(DECODED)
    records = [record for record in load_trials(results) if record.film]
    assert len(media) == len(records) == 4  # a success and a failure of each task
    assert all(medium["width"] > 1000 and medium["colours"] > 20 for medium in media)
    expected = sorted((record.num_steps + 1) / 20 + 1.5 for record in records)
    assert sorted(medium["duration"] for medium in media) == pytest.approx(expected, abs=0.06)


def test_few_trials_open_on_films_that_play_slowly_and_fold_their_numbers(opened: Browser):
    plays = "film => !film.paused && film.currentTime > 0"
    opened.wait(f"[...document.querySelectorAll('video')].some({plays})")
    films = opened.evaluate(
        "[...document.querySelectorAll('video')].map(film => [film.muted, film.loop, film.playbackRate])"
    )
    assert films == [[True, True, 0.5]] * 4
    first = "document.querySelector('main').querySelector('section').id"
    assert opened.evaluate(first) == "films"
    assert opened.evaluate("document.querySelector('#results').closest('details').open") is False


def test_a_film_stands_still_at_a_new_plan(opened: Browser):
    """Those of hindsight: one plan to its end, and one more for each step after it."""
    opened.evaluate("""{ const films = [...document.querySelectorAll("video")]
      const film = films.find(one => one.dataset.newPlans)
      window.watched = film; window.stood = []
      film.addEventListener("pause", () => stood.push(film.currentTime))
      film.scrollIntoView(); film.currentTime = 0; film.play() }""")
    opened.wait("stood.length > 0")
    first = float(opened.evaluate("watched.dataset.newPlans").split()[0])
    assert first <= opened.evaluate("stood[0]") < first + 0.25
    opened.wait("!watched.paused")


def test_nothing_is_asked_of_the_network_and_nothing_is_refused(opened: Browser, page: Path):
    opened.evaluate(DECODED)
    assert opened.requests == [page.resolve().as_uri()]
    assert opened.complaints() == []


def test_the_table_holds_the_numbers_of_the_records(opened: Browser, results: Path):
    table = {row["task"]: row["cells"] for row in opened.evaluate(TABLE)}
    records, experts = load_trials(results), load_trials(results / "expert")
    assert set(table) == {*TASKS, "all tasks"}
    for task, cells in table.items():
        own = [record for record in records if task in (record.task, "all tasks")]
        ceiling = [record for record in experts if task in (record.task, "all tasks")]
        won = sum(record.succeeded for record in own)
        low, high = wilson_interval(won, len(own))
        reached = (
            f"{100 * sum(record.succeeded for record in ceiling) / len(ceiling):.0f} % of {len(ceiling)}"
        )
        assert cells[:4] == [
            task,
            f"{won} of {len(own)}",
            f"{100 * won / len(own):.0f} %",
            f"{100 * low:.0f} to {100 * high:.0f}",
        ]
        assert cells[5] == reached
    assert {record.succeeded for record in records} == {True, False}


def test_a_failure_is_shown_with_its_reason(opened: Browser, results: Path):
    captions = opened.evaluate(
        '[...document.querySelectorAll("figcaption")].map(caption => caption.innerText)'
    )
    for record in load_trials(results):
        assert any(
            record.instruction in caption and record.detail in caption
            for caption in captions
            if str(record.seed) in caption
        )


def test_a_missing_film_would_be_noticed(tmp_path: Path):
    page = tmp_path / "broken.html"
    page.write_text(
        '<!doctype html><video preload=auto src="data:video/mp4;base64,AAAA"></video>'
        '<img src="https://example.com/a.png">'
    )
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        with pytest.raises(RuntimeError):
            browser.evaluate(DECODED)
        assert "https://example.com/a.png" in browser.requests
        assert browser.complaints()
