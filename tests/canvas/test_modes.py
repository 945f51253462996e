"""The table of modes equals the release's packing and known frames."""

import json
from pathlib import Path

import pytest
import torch

from action_images.canvas import MODES, Canvas, Mode, Show
from action_images.training.mixtures import MIXTURES

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "masks_packing.json").read_text())
RELEASE_NAMES = {
    "train_joint_i2va": "joint",
    "train_view0_video_given": "second_view",
    "train_v2a_both_videos_given": "label",
    "train_i2a_rlbench_only (layout 1+11+1+11)": "policy",
    "train_video_only": "video",
    "infer_i2v": "video",
    "infer_i2va": "joint",
    "infer_v2a": "label",
    "infer_a2v": "simulate",
}


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_given_frames_equal_the_releases(name: str):
    mode = MODES[RELEASE_NAMES[name]]
    layout = mode.layout(GOLDEN["V"], GOLDEN["T_l"])
    assert mode.given(layout).int().tolist() == GOLDEN["masks"][name]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("train action layout (44)", "joint"),
        ("train i2a layout (24)", "policy"),
        ("train / infer video-only layout (22)", "video"),
    ],
)
def test_the_order_on_the_canvas_equals_the_releases(name: str, mode: str):
    layout = MODES[mode].layout(GOLDEN["V"], GOLDEN["T_l"])
    assert [f"{part.stream}_view{part.view}[0:{part.num_frames}]" for part in layout.segments] == GOLDEN[
        "packing"
    ][name]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("release", "rlbench (action != 0)"),
        ("release-without-policy", "other dataset with action != 0 (droid)"),
        ("video-only", "all-zero actions (bridge)"),
    ],
)
def test_mixtures_equal_the_releases(ours: str, theirs: str):
    expected = {
        RELEASE_NAMES[name]: probability for name, probability in GOLDEN["probabilities"][theirs].items()
    }
    assert MIXTURES[ours] == pytest.approx(expected)


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_is_a_probability_over_known_modes(name: str):
    assert sum(MIXTURES[name].values()) == pytest.approx(1)
    assert set(MIXTURES[name]) <= set(MODES)


@pytest.mark.parametrize("num_views", [1, 3, 4])
def test_modes_hold_for_any_number_of_views(num_views: int):
    layout = MODES["second_view"].layout(num_views, 5)
    given = layout.unpack(MODES["second_view"].given(layout), dim=-1)
    for segment, flags in given.items():
        assert flags.sum() == (5 if (segment.view, segment.stream) == (0, "video") else 1)


def test_a_mode_that_shows_nothing_gives_nothing():
    mode = Mode(video=Show.NOTHING, action=Show.NOTHING)
    assert not mode.given(mode.layout(2, 3)).any()


def test_loss_counts_what_is_asked_and_valid():
    mode = MODES["joint"]
    layout = mode.layout(1, 3)
    valid = torch.tensor([True, True, False, True, True, False])
    canvas = Canvas(torch.zeros(4, 6, 2, 2), mode.given(layout), layout, valid).check()
    assert canvas.asked.flatten().tolist() == [False, True, True, False, True, True]
    assert canvas.counted.flatten().tolist() == [False, True, False, False, True, False]


def test_a_canvas_that_disagrees_with_its_layout_is_refused():
    layout = MODES["joint"].layout(1, 3)
    with pytest.raises(ValueError, match="the layout has 6 latent frames, the latents 5"):
        Canvas(torch.zeros(4, 5, 2, 2), torch.zeros(5, dtype=torch.bool), layout).check()
