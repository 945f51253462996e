"""The page of `action-images view` in a browser: it plays, scrubs, finds, fits, and obeys no name."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from browser import Browser

from action_images.calibration.from_motion.clicks import load_clicks
from action_images.episodes.checks.report_file import CheckReport, Finding, save_report
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode
from action_images.evaluation.trial import TrialRecord, append_trial
from action_images.geometry import Camera, Pose
from action_images.reports.theme import PLANNED
from action_images.reports.viewing.opened import open_shelf
from action_images.reports.viewing.page import write_viewable_page
from action_images.reports.viewing.server import ViewServer
from action_images.reports.viewing.viewable import ShownPart, ShownPath, Viewable, of_episode
from recorded import make_episode

EVIL = '</script></style><script>window.obeyed=1</script><img src=x onerror="window.obeyed=1">&\'\u2028'
CLICKS_HEADER = "episode,frame,view,x,y,picture,changes"
WHOLE = "window.actionImages && actionImages.state() && actionImages.state().isWhole"

BRIGHTEST = """(number => {
  const canvas = document.querySelectorAll("#views canvas")[number], pen = canvas.getContext("2d")
  const {width, height} = canvas, pixels = pen.getImageData(0, 0, width, height).data
  let sum = 0, x = 0, y = 0
  for (let i = 0; i < width * height; i++) {
    const bright = Math.max(0, pixels[4 * i + 1] - 120)
    sum += bright; x += bright * (i % width + 0.5); y += bright * (Math.floor(i / width) + 0.5)
  }
  return [x / sum / width, y / sum / height]
})"""
"""Where the white blob is in a view, as shares of its width and height."""


def moving(episode: Episode) -> Episode:
    """The same episode with a first camera that moves; its pictures are not those that it would see."""
    first, *others = episode.views
    rig = first.camera.expand(episode.num_frames)
    shift = torch.linspace(0, 0.1, episode.num_frames)[:, None] * torch.tensor([1.0, 0.0, 0.0])
    pose = Pose(rig.world_from_camera.rotation, rig.world_from_camera.translation + shift)
    return replace(episode, views=(replace(first, camera=Camera(rig.intrinsics, pose, rig.size)), *others))


def labelled(episode: Episode) -> Viewable:
    """With labels beside its own path, some of which were not read."""
    sure = torch.linspace(0.2, 1, episode.num_frames)
    sure[3:5] = 0
    shown = of_episode(episode)
    return shown.with_path(ShownPath("labels", PLANNED, episode.trajectory, sure), "labelled action images")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "episode.html"
    write_viewable_page(path, labelled(moving(make_episode(num_frames=40))))
    return path


@pytest.fixture(scope="module")
def opened(page: Path) -> Iterator[Browser]:
    with Browser(page.parent / "profile") as browser:
        browser.open(page)
        browser.wait(WHOLE)
        yield browser


def frame(browser: Browser) -> int:
    return browser.evaluate("actionImages.state().frame")


def test_it_asks_for_nothing_and_has_no_complaint(opened: Browser, page: Path):
    assert opened.requests == [page.resolve().as_uri()]
    assert opened.complaints() == []


def test_points_lie_where_our_cameras_project_them(opened: Browser):
    episode = moving(make_episode(num_frames=40))
    for number, view in enumerate(episode.views):
        for at in (0, 17, 39):
            camera = view.camera[at] if view.camera.batch_shape else view.camera
            point = episode.trajectory.world_from_tool.translation[at]
            pixels, _ = camera.project(point)
            found = opened.evaluate(f"actionImages.project({number}, {point.tolist()}, {at})")
            assert found == pytest.approx(pixels.tolist(), abs=0.02)
    behind = episode.views[1].camera.world_from_camera.apply(torch.tensor([0.0, 0.0, -1.0]))
    assert opened.evaluate(f"actionImages.project(1, {behind.tolist()}, 0)") is None


def test_scrubbing_shows_the_picture_of_that_very_frame(opened: Browser):
    episode = make_episode(num_frames=40)
    view = episode.views[1]
    choose_over = """(place => { const over = document.getElementById("over"); over.selectedIndex = place
      over.dispatchEvent(new Event("change")) })"""
    switch = "for (const name of ['axes', 'path']) document.getElementById(name).click()"
    opened.evaluate(switch)
    opened.evaluate(f"{choose_over}(0)")
    for at in (33, 4, 20):
        opened.evaluate(f"""{{ const scrub = document.getElementById("scrub"); scrub.value = {at}
          scrub.dispatchEvent(new Event("input")) }}""")
        opened.wait(f"actionImages.state().frame === {at} && actionImages.state().isWhole")
        pixels, _ = view.camera.project(episode.trajectory.world_from_tool.translation[at])
        height, width = view.frames.size
        expected = (pixels / torch.tensor([width, height])).tolist()
        assert opened.evaluate(f"{BRIGHTEST}(1)") == pytest.approx(expected, abs=0.02)
    opened.evaluate(switch)
    opened.evaluate(f"{choose_over}(1)")


def test_keys_step_jump_and_play(opened: Browser):
    for key, shift, at in (
        ("Home", False, 0),
        ("ArrowRight", False, 1),
        ("ArrowRight", True, 11),
        ("ArrowLeft", False, 10),
        ("End", False, 39),
        ("Home", False, 0),
    ):
        opened.press(key, shift=shift)
        assert frame(opened) == at
    opened.press(" ")
    opened.wait("actionImages.state().frame > 5")
    opened.press(" ")
    stopped = frame(opened)
    time.sleep(0.3)
    assert (frame(opened), opened.evaluate("actionImages.state().isPlaying")) == (stopped, False)


def test_playing_takes_the_time_that_it_should(opened: Browser):
    opened.press("Home")
    opened.wait(WHOLE)
    began = time.monotonic()
    opened.press(" ")
    opened.wait("actionImages.state().frame >= 20")
    took = time.monotonic() - began
    opened.press(" ")
    assert (
        took > 0.9
    )  # 20 frames at 20/s; a busy machine may take longer, and leaves no frame out that is late


def test_space_can_be_turned_and_holds_all_cameras_and_the_path(opened: Browser):
    inside = """(() => { const {space, doc} = actionImages.state(), box = space.canvas
      return space.points().map(point => space.place(point))
        .every(([x, y]) => 0 <= x && x <= box.width && 0 <= y && y <= box.height) })()"""
    assert opened.evaluate(inside)
    place = "actionImages.state().space.place([0.1, 0.2, 0.3])"
    before = opened.evaluate(place)
    opened.evaluate("document.querySelector('#space canvas').focus()")
    at = frame(opened)
    opened.press("ArrowLeft")
    assert opened.evaluate(place) != before
    assert frame(opened) == at
    assert opened.evaluate(inside)
    opened.evaluate("document.activeElement.blur()")


def test_clicks_on_the_tool_become_the_file_that_from_motion_takes(opened: Browser, tmp_path: Path):
    episode = make_episode(num_frames=40)
    place = """(([number, x, y]) => {
      const canvas = document.querySelectorAll("#views canvas")[number]
      canvas.scrollIntoView()
      const box = canvas.getBoundingClientRect()
      return [box.left + x * box.width, box.top + y * box.height] })"""
    wanted = []

    def click(number: int, at: int) -> None:
        view = episode.views[number]
        pixels, _ = view.camera.project(episode.trajectory.world_from_tool.translation[at])
        height, width = view.frames.size
        x, y = opened.evaluate(
            f"{place}([{number}, {float(pixels[0]) / width}, {float(pixels[1]) / height}])"
        )
        opened.click(x, y)
        wanted.append((at, view.name, pixels.tolist()))

    opened.press("Home")
    opened.wait(WHOLE)
    click(1, 0)
    assert opened.evaluate("actionImages.clicks()") == CLICKS_HEADER + "\n", "it is not switched on"
    wanted.clear()
    opened.press("c")
    for number, at in ((1, 0), (0, 1), (1, 11)):
        for _ in range(at - frame(opened)):
            opened.press("ArrowRight")
        opened.wait(f"actionImages.state().frame === {at} && actionImages.state().isWhole")
        click(number, at)
    opened.evaluate("document.getElementById('unclick').click()")
    wanted.pop()
    opened.press("c")
    told = opened.evaluate("document.getElementById('clicked').textContent")
    assert told.startswith("2 clicks; the last: frame 1 of front")
    path = tmp_path / "clicks.csv"
    path.write_text(opened.evaluate("actionImages.clicks()"))
    clicks = load_clicks(path)
    assert [(one.episode, one.frame, one.view) for one in clicks] == [
        (episode.id, at, name) for at, name, _ in wanted
    ]
    assert [(one.picture, one.changes) for one in clicks] == [(at, "as stored") for at, _, _ in wanted]
    for one, (_, _, pixels) in zip(clicks, wanted, strict=True):
        assert one.pixel == pytest.approx(pixels, abs=0.5), "a pixel of the window is no more than that"
    opened.evaluate("document.getElementById('unclick').click()")
    opened.evaluate("document.getElementById('unclick').click()")
    assert opened.evaluate("document.getElementById('clicks').hidden")


def test_a_click_names_the_frame_whose_picture_is_shown_where_pictures_were_thinned(tmp_path: Path):
    path = tmp_path / "thinned.html"
    write_viewable_page(path, of_episode(make_episode(num_frames=40)).thinned(8))
    with Browser(tmp_path / "profile") as browser:
        browser.open(path)
        browser.wait(WHOLE)
        browser.press("c")
        for _ in range(11):
            browser.press("ArrowRight")
        browser.wait("actionImages.state().frame === 11 && actionImages.state().isWhole")
        x, y = browser.evaluate("""(() => {
          const box = document.querySelector("#views canvas").getBoundingClientRect()
          return [box.left + box.width / 2, box.top + box.height / 2] })()""")
        browser.click(x, y)
        assert ",8,front," in browser.evaluate("actionImages.clicks()")


def test_clicks_name_the_part_of_an_episode_whose_task_changes(tmp_path: Path):
    shown = of_episode(make_episode(num_frames=20))
    parts = (ShownPart(f"{shown.id}/task0", 0, 6), ShownPart(f"{shown.id}/task1", 8, 18))
    write_viewable_page(tmp_path / "parts.html", replace(shown, parts=parts))
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "parts.html")
        browser.wait(WHOLE)
        browser.press("c")
        for at in (5, 7, 9):
            while browser.evaluate("actionImages.state().frame") < at:
                browser.press("ArrowRight")
            browser.wait(f"actionImages.state().frame === {at} && actionImages.state().isWhole")
            x, y = browser.evaluate("""(() => {
              const box = document.querySelector("#views canvas").getBoundingClientRect()
              return [box.left + box.width / 2, box.top + box.height / 2] })()""")
            browser.click(x, y)
            refused = browser.evaluate("document.getElementById('clicked').textContent")
            assert ("readers leave this frame out" in refused) == (at == 7)
        _, *rows = browser.evaluate("actionImages.clicks()").splitlines()
        assert [row.split(",")[:2] for row in rows] == [[parts[0].id, "5"], [parts[1].id, "1"]]
        assert [row.split(",")[5] for row in rows] == ["5", "9"], "pictures are counted in the video"


def test_switched_off_paths_are_not_drawn(opened: Browser):
    before = opened.evaluate("document.querySelector('#views canvas').toDataURL()")
    opened.evaluate("for (const box of document.querySelectorAll('#paths input')) box.click()")
    assert opened.evaluate("document.querySelector('#views canvas').toDataURL()") != before
    opened.evaluate("for (const box of document.querySelectorAll('#paths input')) box.click()")
    assert opened.evaluate("document.querySelector('#views canvas').toDataURL()") == before


@pytest.mark.parametrize("width", [390, 800, 1600])
def test_the_page_is_no_wider_than_its_window(opened: Browser, width: int):
    opened.resize(width, 900)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("[...document.querySelectorAll('canvas')].every(one => one.clientWidth > 100)")
    opened.resize(1280, 900)


def test_dark_and_light_are_different_and_both_readable(opened: Browser):
    ground = "getComputedStyle(document.body).backgroundColor"
    text = "getComputedStyle(document.body).color"
    found = []
    for dark in (True, False):
        opened.dark(dark)
        found.append((opened.evaluate(ground), opened.evaluate(text)))
    assert found == [("rgb(15, 18, 22)", "rgb(232, 235, 239)"), ("rgb(255, 255, 255)", "rgb(27, 31, 36)")]


def test_markup_in_any_name_is_text(tmp_path: Path):
    shown = labelled(make_episode(num_frames=3))
    views = tuple(
        replace(view, name=EVIL, layers=tuple(replace(layer, name=EVIL) for layer in view.layers))
        for view in shown.views[:1]
    )
    paths = tuple(replace(path, name=EVIL, colour=EVIL) for path in shown.paths)
    evil = replace(
        shown,
        id=EVIL,
        instruction=EVIL,
        views=views,
        paths=paths,
        facts=((EVIL, EVIL),),
        notes=(EVIL,),
        warnings=((EVIL, EVIL),),
    )
    write_viewable_page(tmp_path / "evil.html", evil)
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "evil.html")
        browser.wait(WHOLE)
        assert browser.evaluate("window.obeyed") is None
        assert browser.evaluate("document.querySelectorAll('img, script:not([id])').length") == 1
        assert browser.evaluate("document.getElementById('id').textContent") == EVIL
        assert EVIL.rstrip() in browser.evaluate("document.getElementById('facts').innerText")
        assert browser.requests == [(tmp_path / "evil.html").resolve().as_uri()]
        assert browser.complaints() == []


class Served:
    """A server in a thread of its own, and a browser that looks at it."""

    def __init__(self, path: Path, profile: Path):
        self.server = ViewServer(open_shelf(path))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.browser = Browser(profile, online=True)

    def __enter__(self) -> Browser:
        self.browser.__enter__()
        self.browser.visit(self.server.address)
        return self.browser

    def __exit__(self, *_: object) -> None:
        self.browser.__exit__()
        self.server.shutdown()
        self.server.server_close()


ENTRIES = "[...document.querySelectorAll('#entries .id')].map(one => one.textContent)"


def chosen(browser: Browser, name: str) -> None:
    """Wait until an episode is shown."""
    browser.wait(f"{WHOLE} && actionImages.state().id === {json.dumps(name)}")


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("served")
    with DatasetWriter(folder / "demos", fps=20) as writer:
        for number in range(4):
            words = EVIL if number == 2 else f"push button {number}"
            writer.add(make_episode(f"task/e{number}", 12, seed=number, instruction=words))
    ids = Dataset(folder / "demos").ids
    findings = [Finding("error", "damaged", ids[3], f"{ids[3]}: {EVIL}")]
    save_report(folder / "demos" / "check.json", CheckReport(4, findings, "", exists=True))
    with Served(folder / "demos", folder / "profile") as browser:
        chosen(browser, ids[0])
        yield browser


def test_keys_walk_through_the_list(listed: Browser):
    assert listed.evaluate(ENTRIES) == [f"task/e{number}" for number in range(4)]
    for key, name in (
        ("n", "task/e1"),
        ("n", "task/e2"),
        ("n", "task/e3"),
        ("n", "task/e3"),
        ("b", "task/e2"),
    ):
        listed.press(key)
        chosen(listed, name)
    assert EVIL.rstrip() in listed.evaluate("document.getElementById('instruction').innerText")
    assert listed.evaluate("window.obeyed") is None


def test_words_find_episodes(listed: Browser):
    listed.press("/")
    listed.call("Input.insertText", text="push e1")
    listed.wait(f"({ENTRIES}).length === 1")
    assert listed.evaluate(ENTRIES) == ["task/e1"]
    listed.press("n")  # a letter in the search, no step
    listed.evaluate("""{ const search = document.getElementById("search"); search.value = ""
      search.dispatchEvent(new Event("input")); search.blur() }""")
    listed.wait(f"({ENTRIES}).length === 4")


def test_findings_choose_episodes(listed: Browser):
    choose = """(value => { const select = document.querySelector("#facets select"); select.value = value
      select.dispatchEvent(new Event("change")) })"""
    listed.evaluate(f"{choose}('error: damaged')")
    listed.wait(f"({ENTRIES}).length === 1")
    assert listed.evaluate(ENTRIES) == ["task/e3"]
    listed.evaluate("document.querySelector('#entries button').click()")
    chosen(listed, "task/e3")
    assert "error: task/e3" in listed.evaluate("document.getElementById('warnings').innerText")
    listed.evaluate(f"{choose}('')")
    listed.wait(f"({ENTRIES}).length === 4")


@pytest.mark.parametrize("width", [390, 1600])
def test_the_list_fits_beside_or_above_what_is_shown(listed: Browser, width: int):
    listed.resize(width, 900)
    assert listed.evaluate("document.documentElement.scrollWidth") <= width


def test_a_server_is_asked_for_its_own_answers_alone(listed: Browser):
    assert listed.complaints() == []
    assert len({address.split("/")[2] for address in listed.requests}) == 1


def trial(seed: int) -> TrialRecord:
    return TrialRecord(
        protocol="in_domain",
        policy="tiny",
        task="push_button",
        seed=seed,
        instruction="push it",
        succeeded=True,
        failure=None,
        detail="done after 1.0 s",
        num_steps=20,
        num_plans=2,
        num_unreachable=0,
    )


def test_trials_appear_while_they_are_written(tmp_path: Path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/settings.json").write_text("{}")
    with Served(tmp_path / "results", tmp_path / "profile") as browser:
        browser.wait("document.getElementById('nothing').textContent === 'nothing to look at yet'")
        append_trial(tmp_path / "results", trial(1))
        chosen(browser, "push_button 1")
        append_trial(tmp_path / "results", trial(2))
        browser.wait(f"({ENTRIES}).length === 2")
        assert "not filmed" in browser.evaluate("document.getElementById('warnings').innerText")
        assert browser.complaints() == []
