"""What the model is told of cameras: the release's rays in the release's axes, and rays for each token."""

import pytest
import torch

from action_images.geometry import Camera, Pose
from action_images.model.conditioning.rays import camera_maps, ray_features, released_maps
from small_scenes import rig


class Transparent:
    """An autoencoder whose latents are the pixels of its last frames."""

    channels, spatial_factor, temporal_factor = 3, 1, 4

    def encode(self, video):
        return video.movedim(-3, -4)[..., ::4, :, :]

    def decode(self, latents):
        return latents.movedim(-4, -3)


def test_released_rays_are_those_of_rlbenchs_own_matrices(golden):
    """Plain matrix arithmetic on cameras with negative focal lengths, as the release trained on them."""
    numbers = golden("encode")
    intrinsics, pose = numbers["intrinsics_negf"].float(), numbers["extrinsics_negf"].float()
    height = width = 64
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1)
    relative = torch.linalg.inv(pose[0]) @ pose
    direction = torch.einsum("vij,vjk,hwk->vhwi", relative[:, :3, :3], torch.linalg.inv(intrinsics), pixels)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    moment = torch.linalg.cross(relative[:, None, None, :3, 3].expand_as(direction), direction)
    expected = torch.cat([direction, moment / 3], -1).movedim(-1, 1)

    cameras = Camera.from_rlbench(intrinsics, Pose.from_matrix(pose), (height, width))[None, :, None]
    torch.testing.assert_close(released_maps(cameras, Transparent())[0, :, 0], expected, atol=1e-5, rtol=0)


def test_released_rays_differ_from_opencvs_by_the_sign_of_x_and_y():
    cameras = rig(2, (8, 8))[None, :, None]
    released = released_maps(cameras, Transparent())[:, :, 0]
    in_opencv = ray_features(cameras, 1, 1)[:, :, 0]
    signs = torch.tensor([-1.0, -1, 1] * 2)[:, None, None]
    torch.testing.assert_close(released[:, :, :3], in_opencv[:, :, :3] * signs[:3], atol=1e-5, rtol=0)
    torch.testing.assert_close(released[:, :, 3:] * 3, in_opencv[:, :, 3:] * signs[3:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("condition", ["released", "rays"])
def test_maps_do_not_know_where_the_world_is(condition: str):
    cameras = rig(3, (8, 8))[None, :, None].expand(1, 3, 5)
    motion = Pose(rig(1).world_from_camera.rotation[0], torch.tensor([3.0, -2, 1]))
    maps = [camera_maps(condition, one, Transparent(), 2) for one in (cameras, cameras.moved(motion))]
    torch.testing.assert_close(*maps, atol=1e-5, rtol=0)


def test_token_rays_go_through_the_middle_of_their_tokens():
    camera = rig(1, (32, 48))[None, :, None]
    features = ray_features(camera, 4, 16)
    assert features.shape == (1, 1, 1, 24, 2, 3)
    # The centre of token (1, 2), in the frame of the camera itself.
    expected = torch.linalg.inv(camera.intrinsics[0, 0, 0]) @ torch.tensor([40.0, 24.0, 1.0])
    torch.testing.assert_close(features[0, 0, 0, :3, 1, 2], expected / expected.norm(), atol=1e-5, rtol=0)


def test_still_cameras_have_the_same_rays_in_all_latent_frames():
    features = ray_features(rig(2)[None, :, None].expand(1, 2, 9), 4, 16)
    assert features.shape[2] == 3
    torch.testing.assert_close(features, features[:, :, :1].expand_as(features))


def test_a_moving_camera_shows_in_the_latent_frames_of_its_motion():
    still = rig(2)[None, :, None].expand(1, 2, 9)
    shift = torch.zeros(1, 2, 9, 3)
    shift[:, 1, 7] = 0.1
    moving = Camera(
        still.intrinsics,
        Pose(still.world_from_camera.rotation, still.world_from_camera.translation + shift),
        still.size,
    )
    changed = (ray_features(moving, 4, 16) != ray_features(still, 4, 16)).flatten(3).any(-1)[0]
    # Frame 7 is one of frames 5-8, which latent frame 2 stands for.
    assert changed.tolist() == [[False, False, False], [False, False, True]]
