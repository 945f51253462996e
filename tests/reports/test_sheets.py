"""Printed sheets show what they are given: corners in every picture, a line for each mode of a run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from action_images.calibration import calibrate
from action_images.evaluation.codec_error import Setting, measure
from action_images.reports.calibration_picture import NUM_COLUMNS, project, save_calibration_picture
from action_images.reports.codec_error_plot import plot_codec_error
from action_images.reports.contact_sheet import sheet
from action_images.reports.pictures import contact_sheet
from action_images.reports.training_curves import plot_training
from board_scene import fixed_session

NUM_SHOTS = 8


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB")).astype(int)


def num_like(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture - np.array(colour)).sum(-1) < 90).sum())


def test_every_picture_of_a_calibration_is_shown_with_corners_found_and_projected(
    tmp_path: Path, monkeypatch
):
    session = fixed_session(NUM_SHOTS, azimuth_deg=(-30,))
    for number, picture in enumerate(session.pictures[0]):
        path = tmp_path / "camera0" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture.movedim(0, -1).numpy()).save(path)
    monkeypatch.chdir(tmp_path)
    result = calibrate(session.shots(), session.mount)
    save_calibration_picture(tmp_path / "sheet.png", result, "camera0")
    shown = pixels(tmp_path / "sheet.png")
    num_rows = -(-NUM_SHOTS // NUM_COLUMNS)
    for row in np.array_split(shown, num_rows, axis=0):
        for one in np.array_split(row, NUM_COLUMNS, axis=1):
            assert num_like(one, (0, 255, 0)) > 100
            assert num_like(one, (255, 0, 0)) > 100
    (residual, *_) = result.of("camera0")
    assert (project(result, residual) - residual.sighting.found.pixels).abs().max() < 2


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A log of 400 steps with a validation of two modes every 100; some stand twice, as after a kill."""
    (tmp_path / "run").mkdir()
    rows = [{"step": step, "loss": 1 / step} for step in range(1, 401)]
    for step in (100, 200, 300, 400):
        figures = {"loss 1": 1 / step, "final mm": 1e3 / step, "path deg": 5.0, "last dB": 20 + step / 100}
        rows.append({"step": step, "validation": {"policy": figures, "simulate": figures}})
    rows += rows[:200]
    (tmp_path / "run" / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "run"


def test_curves_have_a_line_for_each_mode_but_none_for_what_it_is_told(run: Path, tmp_path: Path):
    plot_training([run, run], tmp_path / "curves.png")
    shown = pixels(tmp_path / "curves.png")
    _loss, unknown, final_pose, _rotation, last_frame = np.array_split(shown, 5, axis=1)
    policy, simulate = (31, 119, 180), (255, 127, 14)
    assert num_like(final_pose, policy) > 100
    assert num_like(final_pose, simulate) == 0  # simulating is told the actions
    assert num_like(unknown, simulate) > 100
    assert num_like(last_frame, simulate) > 100


def test_a_run_without_steps_is_refused(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="no steps"):
        plot_training([tmp_path], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_the_codecs_errors_are_drawn_in_a_colour_for_each_line(tmp_path: Path):
    settings = [Setting(64, 2, "clean"), Setting(32, 2, "clean"), Setting(64, 2, "noise:0.05")]
    plot_codec_error(list(measure(settings, num_clips=1, seed=0)), tmp_path / "errors.png")
    left, right = np.array_split(pixels(tmp_path / "errors.png"), 2, axis=1)
    assert num_like(left, (31, 119, 180)) > 100
    assert num_like(left, (255, 127, 14)) > 50
    assert num_like(right, (255, 191, 135)) > 50  # the same, half transparent


def test_a_contact_sheet_enlarges_small_frames_and_thins_long_clips():
    frames = torch.rand(30, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    shown = sheet("a title", [("seen", frames), ("   imagined", frames[:5])])
    strip = shown[:, 20:, 118:]
    levels = frames[0].mul(255).round().to(torch.uint8)
    assert torch.equal(strip[:, :128:4, :192:4], levels)
    assert strip.shape[-1] == 9 * (4 * 48 + 2)
    assert (strip[:, 130:, 5 * 194 :] == 255).all()


def test_a_row_of_a_sheet_stands_below_its_label():
    videos = [torch.full((3, 3, 16, 16), level, dtype=torch.uint8) for level in (40, 90)]
    shown = contact_sheet(videos, labels=["seen", "imagined"])
    assert shown.shape == (3, 2 * (20 + 66), 3 * 66)
    for row, level in enumerate((40, 90)):
        label = shown[:, row * 86 : row * 86 + 20]
        assert 0 < (label < 128).sum() < label.numel() / 4
        assert (shown[:, row * 86 + 20 : row * 86 + 84, :64] == level).all()
