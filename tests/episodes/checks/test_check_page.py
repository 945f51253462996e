"""The page that `check` writes, as a browser shows it; run where chromium is installed."""

import shutil
import subprocess

import pytest

from action_images.episodes.checks.check import check_dataset
from action_images.episodes.dataset import Dataset
from action_images.episodes.pictures import read_picture
from action_images.reports.data_page import write_data_page
from recorded import write_set

CHROMIUM = shutil.which("chromium")
SWITCHES = [
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--window-size=900,1200"),
]


def shown(page, folder):
    """A picture (3 h w) of the page."""
    picture = folder / "page.png"
    command = [
        CHROMIUM,
        *SWITCHES,
        f"--user-data-dir={folder / 'profile'}",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return read_picture(picture)


# Where there is no browser there is nothing to look with: then this file holds no test.
if CHROMIUM is not None:

    @pytest.fixture(scope="module")
    def pictures(tmp_path_factory):
        """The page of a good set, and that of the same set with one episode's video cut short."""
        folder = tmp_path_factory.mktemp("page")
        path = write_set(folder / "set")
        pages = []
        for name in ("good", "damaged"):
            if name == "damaged":
                video = path / "videos/observation.images.left/chunk-000/file-000.mp4"
                video.write_bytes(video.read_bytes()[:900])
            page = folder / f"{name}.html"
            write_data_page(page, Dataset(path), check_dataset(path, 0), 100)
            pages.append(shown(page, folder))
        return pages

    def num_red(picture) -> int:
        """Pixels in the colour of errors, a red that no thumbnail has."""
        red, green, blue = picture.int()
        return int(((red - 201).abs() + (green - 58).abs() + (blue - 43).abs() < 60).sum())

    def test_a_browser_shows_the_thumbnails_and_the_errors_in_red(pictures):
        good, damaged = pictures
        assert good.shape == damaged.shape == (3, 1200, 900)
        assert (good.int().sum(0) < 150).sum() > 6 * 2000  # six dark thumbnails on a white page
        assert num_red(damaged) > num_red(good) + 100

    def test_the_page_fits_its_window(pictures):
        for picture in pictures:
            assert picture[:, :, -10:].min() > 240  # nothing is cut off at the right
