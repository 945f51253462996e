"""Segments go in and come out in their places."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.canvas import MODES, Layout, Segment


@given(st.sampled_from(sorted(MODES)), st.integers(1, 5), st.integers(1, 12))
def test_unpack_undoes_pack(mode: str, num_views: int, num_frames: int):
    layout = MODES[mode].layout(num_views, num_frames)
    parts = {segment: torch.randn(2, 3, segment.num_frames, 1, 2) for segment in layout.segments}
    packed = layout.pack(parts)
    assert packed.shape == (2, 3, layout.num_frames, 1, 2)
    unpacked = layout.unpack(packed)
    assert list(unpacked) == list(layout.segments)
    assert all(torch.equal(unpacked[segment], parts[segment]) for segment in parts)


def test_spans_cover_the_canvas_in_order():
    layout = MODES["policy"].layout(3, 7)
    frames = torch.arange(layout.num_frames)
    assert torch.equal(torch.cat([frames[span] for span in layout.spans.values()]), frames)


def test_every_latent_frame_knows_its_view_stream_and_place():
    layout = MODES["policy"].layout(2, 3)
    assert layout.view_of_frame().tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert layout.stream_of_frame().tolist() == [0, 1, 1, 1, 0, 1, 1, 1]
    assert layout.place_of_frame().tolist() == [0, 0, 1, 2, 0, 0, 1, 2]


def test_a_missing_or_short_part_is_named():
    layout = MODES["joint"].layout(1, 2)
    video, action = layout.segments
    with pytest.raises(ValueError, match=r"no part was given for .*action"):
        layout.pack({video: torch.zeros(1, 2, 1, 1)})
    with pytest.raises(ValueError, match=r"action.* has 3 latent frames"):
        layout.pack({video: torch.zeros(1, 2, 1, 1), action: torch.zeros(1, 3, 1, 1)})
    with pytest.raises(ValueError, match="the layout has 4 latent frames, the tensor 5"):
        layout.unpack(torch.zeros(1, 5, 1, 1))


def test_a_segment_cannot_stand_twice_nor_be_empty():
    with pytest.raises(ValueError, match="once"):
        Layout((Segment(0, "video", 1), Segment(0, "video", 2)))
    with pytest.raises(ValueError, match="at least one latent frame"):
        Layout((Segment(0, "video", 0),))
