"""A film shows each moment once, what was imagined for that moment beside what was seen in it."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from filmed import STRIDE, config
from PIL import Image

from action_images.codec import draw_uint8
from action_images.episodes.video import read_video
from action_images.evaluation.closed_loop import judge
from action_images.evaluation.rollout import Rollout
from action_images.geometry import Pose, Trajectory
from action_images.reports.film import HOLD_SECONDS, write_film
from action_images.reports.film_frames import InForce, film_frames, imagined_index
from action_images.reports.film_sheet import PANEL_HEIGHT, FilmSheet
from action_images.reports.film_strips import FOOTER, HEADER, HEADING, MARGIN, SECOND_LINE, SMALL
from action_images.reports.lettering import font
from action_images.reports.path_plot import PathPlot
from action_images.reports.theme import SPOTS
from action_images.robot import Plan
from action_images.structs import stack

SEED = 1_000_000


def rolled_out(
    task: str = "reach_target",
    seed: int = SEED,
    num_views: int = 2,
    imagines: bool = True,
    filming: bool = True,
) -> Rollout:
    given = config((task,), num_views, imagines)
    return judge(given.make(), given, (task, seed), filming=filming)[1]


@pytest.fixture(scope="module")
def reached() -> Rollout:
    return rolled_out()


@pytest.fixture(scope="module")
def film(reached: Rollout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    write_film(reached, path, "done")
    return path


def test_the_film_holds_every_moment_and_then_the_outcome_for_a_while(reached: Rollout, film: Path):
    frames = read_video(film)
    assert len(frames) == len(reached.steps) + 1 + round(HOLD_SECONDS * reached.control_hz)
    green = frames[-1, :, 1, 1].int()
    assert green[1] > green[0] + 50
    assert green[1] > green[2] + 50
    assert (
        frames[0, :, 1, 1].int() - frames[-1, :, 1, 1].int()
    ).abs().max() > 50  # the outcome is not shown before the end


def test_browsers_can_play_the_film(reached: Rollout, film: Path):
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == reached.control_hz
        assert (stream.codec_context.height % 2, stream.codec_context.width % 2) == (0, 0)


def test_a_moment_shows_the_images_that_were_seen_in_it(reached: Rollout):
    moment = len(reached.steps) // 2
    seen = reached.steps[moment].seen
    assert seen is not None
    side = PANEL_HEIGHT[2]
    panel = FilmSheet(reached).draw(moment)[:, HEADER + HEADING :, MARGIN:][:, :side, :side]
    expected = Image.fromarray(seen.images[0].movedim(0, -1).numpy()).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    assert torch.equal(panel.movedim(0, -1), torch.from_numpy(np.array(expected)))


def test_what_hindsight_imagined_for_a_moment_is_what_is_seen_in_it(reached: Rollout):
    shown = film_frames(reached)
    assert shown.imagined is not None
    exact = [
        frame
        for frame, one in enumerate(shown.in_force)
        if one.plan is not None
        and (one.plan_frame + 1) % STRIDE == 0
        and (one.plan_frame + 1) // STRIDE == imagined_index(reached.plans[one.plan], one.plan_frame)
    ]
    assert len(exact) > 2
    apart = (shown.imagined[:, exact].float() - shown.seen[:, exact].float()).abs()
    assert apart.mean() < 2
    wrong = (shown.imagined[:, exact[1:]].float() - shown.seen[:, exact[:-1]].float()).abs()
    assert wrong.mean() > 2 * apart.mean()


def test_a_plan_without_action_images_is_drawn_as_such():
    rollout = rolled_out("push_button", imagines=False)
    shown = film_frames(rollout)
    assert shown.imagined is None
    assert not shown.generated
    step = rollout.steps[5]
    told = rollout.plans[step.plan].trajectory[step.frame : step.frame + 1]
    after = rollout.steps[6].seen
    assert after is not None
    assert torch.equal(shown.action_images[:, 6], draw_uint8(told, after.cameras)[:, 0])


def test_a_long_reason_does_not_reach_the_clock(reached: Rollout):
    last = len(reached.steps)
    told, silent = (
        FilmSheet(reached, reason).draw(last, ended=True).int() for reason in ("because " * 60, None)
    )
    # From a little left of "step N of M" to the edge, in the line of both.
    clock = font(SMALL).getlength(f"step {last} of {last}")
    strip = slice(-round(MARGIN + clock + 10), None)
    assert torch.equal(told[:, SECOND_LINE:HEADER, strip], silent[:, SECOND_LINE:HEADER, strip])
    assert not torch.equal(told[:, SECOND_LINE:HEADER], silent[:, SECOND_LINE:HEADER])


def test_every_picture_of_a_film_says_what_its_colours_mean(reached: Rollout):
    picture = FilmSheet(reached).draw(0)
    corner = picture[:, -FOOTER + 20 :, -350:].movedim(0, -1)
    for colour in SPOTS:
        levels = torch.tensor(list(bytes.fromhex(colour[1:])), dtype=torch.uint8)
        assert (corner == levels).all(-1).sum() > 20


@pytest.mark.parametrize("num_views", [1, 3])
def test_sheets_have_a_row_for_each_view_and_even_sizes(num_views: int):
    sheet = FilmSheet(rolled_out(num_views=num_views))
    sizes = {tuple(sheet.draw(frame).shape[1:]) for frame in (0, 3, len(sheet) - 1)}
    ((height, width),) = sizes
    assert (height % 2, width % 2) == (0, 0)
    assert height >= HEADER + HEADING + num_views * PANEL_HEIGHT[num_views]


def test_a_trial_that_was_not_filmed_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not filmed"):
        write_film(rolled_out(filming=False), tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_a_trial_that_was_stopped_before_its_first_step_has_one_frame(reached: Rollout):
    stopped = replace(reached, steps=(), succeeded=False, last_seen=None)
    assert len(FilmSheet(stopped)) == 1
    assert FilmSheet(stopped, "stopped").draw(0, ended=True).dtype == torch.uint8


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), 1e30])
def test_poses_that_are_nowhere_do_not_spoil_the_picture(reached: Rollout, nonsense: float):
    plan = reached.plans[0]
    places = plan.trajectory.world_from_tool.translation.clone()
    places[::2] = nonsense
    broken = Plan(Trajectory(Pose(plan.trajectory.world_from_tool.rotation, places), plan.trajectory.opening))
    plain = tuple(Plan(one.trajectory) for one in reached.plans)
    moment = len(reached.steps)  # the last plan is in force, so only the plot's scale could differ
    good = FilmSheet(replace(reached, plans=plain)).draw(moment)
    picture = FilmSheet(replace(reached, plans=(broken, *plain[1:]))).draw(moment)
    assert picture.shape == good.shape
    assert (picture.int() - good.int()).abs().float().mean() < 3
    assert FilmSheet(replace(reached, plans=(broken, *plain[1:]))).draw(1).shape == good.shape


def test_the_plot_has_the_tool_where_the_viewpoint_projects_it(reached: Rollout):
    poses = stack(
        [reached.first_seen.world_from_tool, *(step.reached.to(torch.float32) for step in reached.steps)]
    )
    plot = PathPlot(poses, [], goal=None, camera=reached.first_seen.cameras[0], size=320)
    moment = len(poses.translation) // 2
    ((x, y),) = plot.viewpoint(poses.translation[moment : moment + 1])
    red = np.array(plot.draw(moment, InForce(None, -1)))[round(y / 2), round(x / 2)]
    assert red[0] > 200
    assert red[1] < 120
    assert red[2] < 120


def test_the_plot_keeps_left_and_right_as_the_camera_sees_them(reached: Rollout):
    camera = reached.first_seen.cameras[0]
    middle = reached.first_seen.world_from_tool.translation
    beside = torch.stack([middle, middle + 0.05 * camera.world_from_camera.rotation[:, 0]])
    poses = Pose(torch.eye(3).expand(2, 3, 3), beside)
    plot = PathPlot(poses, [], goal=None, camera=camera, size=320)
    (left, _), (right, _) = plot.viewpoint(beside)
    assert right > left + 10
