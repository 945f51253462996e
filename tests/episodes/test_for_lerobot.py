"""What our sets say for LeRobot: quantiles, what camera columns mean, a card, and videos in AV1."""

import json

import av
import numpy as np
import pytest
import torch

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from action_images.episodes.statistics import QUANTILES, of_pixels, of_rows, over_episodes
from recorded import make_episode

needs_av1 = pytest.mark.skipif("libsvtav1" not in av.codecs_available, reason="this PyAV writes no AV1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set"
    with DatasetWriter(path, fps=20) as writer:
        writer.add(make_episode("a", 12, seed=1, size=(32, 32)))
        writer.add(make_episode("b", 9, seed=2, size=(32, 32)))
    return path


def test_quantiles_of_rows_are_exact_and_of_pixels_to_a_byte():
    rng = np.random.default_rng(0)
    rows, frames = rng.normal(size=(400, 3)), rng.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
    told, shown = of_rows(rows), of_pixels(frames)
    for name, share in QUANTILES.items():
        assert np.allclose(told[name], np.quantile(rows, share, axis=0))
        bytes_below = np.quantile(frames.reshape(-1, 3), share, axis=0)
        assert np.abs(shown[name].reshape(3) * 255 - bytes_below).max() <= 1
    assert np.allclose(shown["mean"].reshape(3), frames.reshape(-1, 3).mean(0) / 255)
    assert np.allclose(shown["std"].reshape(3), frames.reshape(-1, 3).std(0) / 255)


def test_quantiles_over_episodes_are_lerobots_weighted_mean_and_old_sets_have_none():
    parts = [of_rows(np.arange(10.0)[:, None]), of_rows(np.arange(30.0)[:, None])]
    overall = over_episodes(parts)
    assert overall["q50"] == pytest.approx((4.5 * 10 + 14.5 * 30) / 40)
    del parts[0]["q50"]
    assert "q50" not in over_episodes(parts)


def test_a_set_says_what_its_camera_columns_mean(folder):
    features = layout.read_info(folder)["features"]
    view = Dataset(folder).view_names[0]
    said = features[f"{layout.CAMERAS}{view}.intrinsics"]["info"]["calibration"]
    assert said["camera"] == layout.IMAGES + view
    assert (said["unit"], said["pixel_centre"], said["distortion_model"]) == ("px", 0.5, "none")
    assert (said["height"], said["width"]) == (32, 32)
    pose = features[f"{layout.CAMERAS}{view}.world_from_camera"]["info"]["calibration"]
    assert pose["quantity"] == "world_from_camera"
    assert "OpenCV" in pose["axes"]
    stats = json.loads((folder / layout.STATS).read_text())
    assert set(QUANTILES) < set(stats[layout.STATE])


def test_a_set_has_a_card_that_nobody_elses_is_replaced_by(folder, tmp_path):
    card = (folder / layout.CARD).read_text()
    assert card.startswith("---\ntags: [LeRobot,")
    assert "| 32 x 32 |" in card
    own = tmp_path / "set"
    own.mkdir()
    (own / layout.CARD).write_text("mine")
    with DatasetWriter(own, fps=20) as writer:
        writer.add(make_episode("a", 9, seed=1, size=(32, 32)))
    assert (own / layout.CARD).read_text() == "mine"


@needs_av1
def test_videos_of_av1_show_the_same_pictures_and_a_set_has_one_codec(tmp_path):
    episode = make_episode("a", 9, seed=1, size=(64, 64))
    with DatasetWriter(tmp_path / "set", fps=20, crf=20, codec="av1") as writer:
        writer.add(episode)
    (read,) = Dataset(tmp_path / "set")
    shown, given = (one.views[0].frames.read(range(9)).float() for one in (read, episode))
    assert (shown - given).abs().mean() < 12
    path = next((tmp_path / "set").rglob("*.mp4"))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == "av1"
    info = layout.read_info(tmp_path / "set")
    key = next(iter(layout.view_keys(info).values()))
    assert info["features"][key]["info"]["video.codec"] == "av1"
    with pytest.raises(EpisodeError, match="are av1, not h264; go on with --codec av1"):
        DatasetWriter(tmp_path / "set", fps=20)


@needs_av1
def test_av1_of_odd_sizes_is_refused_with_what_to_do(tmp_path):
    odd = make_episode("a", 9, seed=1, size=(33, 32))
    with (
        DatasetWriter(tmp_path / "set", fps=20, codec="av1") as writer,
        pytest.raises(EpisodeError, match="even sizes alone"),
    ):
        writer.add(odd)
    assert torch.is_tensor(odd.views[0].frames.read([0]))
