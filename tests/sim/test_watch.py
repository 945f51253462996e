"""Watching: a film and a contact sheet of what the expert did."""

from pathlib import Path

import pytest

from action_images.cli import main
from action_images.episodes.video import read_video


def test_the_film_shows_views_action_images_and_both(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert (
        main(
            [
                "watch",
                "--task",
                "reach_target",
                "--out",
                str(tmp_path),
                "--size",
                "64",
                "--seed",
                "3",
                "--columns",
                "4",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "succeeded" in said
    film = read_video(tmp_path / "reach_target_3.mp4")
    assert film.shape[1:] == (3, 2 * 64, 3 * 64)
    view, drawn, both = film.float().split(64, -1)
    # An action image is dark but for its spots; the overlay differs from the view where the spots are.
    assert drawn.mean() < 0.5 * view.mean()
    assert (both - view).abs().mean() > 1
    assert drawn[:, 0].amax() > 200
    assert (tmp_path / "reach_target_3.png").stat().st_size > 1000


def test_an_unknown_task_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["watch", "--task", "juggle", "--out", str(tmp_path)]) == 2
    assert "there is no task 'juggle'" in capsys.readouterr().err
