"""Tracks: the definitions of TAP-Vid against a plain count, and a tracker that follows what really moves."""

import pytest
import torch

from action_images.evaluation.tracks import Tracks, average_jaccard, jaccard, lucas_kanade, track_error_px

SIZE = (256, 256)


def tracks(position, visible=None, size=SIZE) -> Tracks:
    position = torch.as_tensor(position, dtype=torch.float32)
    return Tracks(
        position,
        torch.ones(position.shape[:-1], dtype=torch.bool) if visible is None else torch.tensor(visible),
        size,
    )


def random_tracks(seed: int) -> tuple[Tracks, Tracks]:
    generator = torch.Generator().manual_seed(seed)
    place = 256 * torch.rand(6, 4, 2, generator=generator)
    off = 8 * torch.randn(6, 4, 2, generator=generator)
    seen = [torch.rand(6, 4, generator=generator) < 0.7 for _ in range(2)]
    return Tracks(place, seen[0], SIZE), Tracks(place + off, seen[1], SIZE)


@pytest.mark.parametrize("seed", range(5))
def test_jaccard_is_what_counting_one_by_one_gives(seed):
    truth, found = random_tracks(seed)
    for threshold, value in jaccard(truth, found).items():
        right = wrong = missed = 0
        for frame in range(1, 6):
            for point in range(4):
                there, said = truth.visible[frame, point].item(), found.visible[frame, point].item()
                near = (truth.position[frame, point] - found.position[frame, point]).norm().item() < threshold
                right += there and said and near
                wrong += said and not (there and near)
                missed += there and not (said and near)
        assert value.item() == pytest.approx(right / (right + wrong + missed))


def test_the_truth_scores_one_and_a_far_guess_nothing():
    truth, _ = random_tracks(0)
    assert average_jaccard(truth, truth) == 1
    assert average_jaccard(truth, Tracks(truth.position + 100, truth.visible, SIZE)) == 0
    assert track_error_px(truth, truth).nan_to_num(0).max() == 0


def test_distances_do_not_depend_on_the_size_of_the_image():
    truth, found = random_tracks(1)
    half = [Tracks(one.position / 2, one.visible, (128, 128)) for one in (truth, found)]
    torch.testing.assert_close(track_error_px(*half), track_error_px(truth, found))
    torch.testing.assert_close(average_jaccard(*half), average_jaccard(truth, found))


def test_the_first_frame_is_given_and_counts_for_nothing():
    truth = tracks(torch.zeros(3, 1, 2))
    found = tracks(torch.tensor([[[99.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]))
    assert average_jaccard(truth, found) == 1


def textured(num_frames: int, step: int) -> torch.Tensor:
    """A textured square that slides to the right over a plain ground by `step` px a frame."""
    texture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)), (24, 24), mode="bicubic"
    )
    video = torch.full((num_frames, 3, 96, 96), 40, dtype=torch.uint8)
    for frame in range(num_frames):
        left, right = 10 + step * frame, min(34 + step * frame, 96)
        video[frame, :, 30:54, left:right] = (
            texture[0, ..., : max(right - left, 0)].mul(200).clamp(0, 255).byte()
        )
    return video


def test_lucas_kanade_follows_what_moves_to_a_fraction_of_a_pixel():
    points = torch.tensor([[22.0, 42.0], [20.0, 40.0]])
    found = lucas_kanade(textured(8, 3), points)
    truth = points + torch.arange(8)[:, None, None] * torch.tensor([3.0, 0.0])
    assert torch.equal(found.position[0], points)
    assert (found.position - truth).norm(dim=-1).max() < 0.5
    assert found.visible.all()


def test_lucas_kanade_says_when_a_point_has_left():
    found = lucas_kanade(textured(10, 10), torch.tensor([[22.0, 42.0]]))
    assert found.visible[:8, 0].all()  # at 92 of 96 px
    assert not found.visible[8:, 0].any()
