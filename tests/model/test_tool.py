"""Where the tool is now, in numbers: what cameras see of it, told only where it is given."""

from dataclasses import replace

import torch

from action_images.canvas import TASKS
from action_images.codec import ActionImageFormat
from action_images.data.sample import Sample
from action_images.geometry import Camera
from action_images.model.denoiser import ActionImagesTransformer3DModel
from action_images.model.patches import PatchAutoencoder
from action_images.model.presets import PRESETS, build
from action_images.model.tool import NUM_TOOL_NUMBERS, ToolEncoder, tool_numbers
from action_images.pipeline import Pipeline
from scenes import generator, rig, trajectory

SIZE = (32, 32)


def seen(seed: int = 0) -> tuple[torch.Tensor, Camera, torch.Tensor]:
    path, cameras = trajectory(2, seed), rig(3, SIZE)
    points = ActionImageFormat().points(path.world_from_tool)
    return points, cameras.expand(2, 3), path.opening


def test_numbers_are_the_points_as_cameras_see_them():
    points, cameras, opening = seen()
    numbers = tool_numbers(points, opening, cameras)
    assert numbers.shape == (2, 3, NUM_TOOL_NUMBERS)
    pixels, depth = cameras[..., None].project(points[:, None])
    there = cameras.world_from_camera[..., None].apply(numbers[..., :9].unflatten(-1, (3, 3)))
    torch.testing.assert_close(there, points[:, None].expand_as(there), atol=1e-5, rtol=0)
    torch.testing.assert_close(numbers[..., 2:9:3], depth, atol=1e-5, rtol=0)
    placed = numbers[..., 9:15].unflatten(-1, (3, 2))
    inside = (placed.abs() < 2).all(-1)
    assert inside.any()
    torch.testing.assert_close(placed[inside], (2 * pixels / 32 - 1)[inside], atol=1e-4, rtol=0)
    assert torch.equal(numbers[..., 15], opening[:, None].expand(2, 3))


def test_numbers_do_not_depend_on_the_worlds_frame():
    points, cameras, opening = seen()
    motion = trajectory(1, 5).world_from_tool[0]
    moved = tool_numbers(motion.apply(points), opening, cameras.moved(motion))
    torch.testing.assert_close(moved, tool_numbers(points, opening, cameras), atol=1e-4, rtol=0)


def test_a_point_behind_the_camera_gives_finite_numbers():
    points, cameras, opening = seen()
    behind = cameras.world_from_camera[:, 0].translation[:, None] - 5 * (points - cameras.world_from_camera[:, 0].translation[:, None])
    assert tool_numbers(behind, opening, cameras).isfinite().all()


def test_a_new_encoder_adds_nothing_and_a_trained_one_adds_only_where_the_pose_is_given():
    encoder, numbers = ToolEncoder(8, 12), torch.randn(2, 3, NUM_TOOL_NUMBERS, generator=generator(0))
    known = torch.tensor([True, False])
    assert not encoder(numbers, known).any()
    torch.nn.init.ones_(encoder.layers[-1].weight)
    added = encoder(torch.where(known[:, None, None], numbers, torch.nan), known)
    assert added[0].any()
    assert not added[1].any()


def told(task: str):
    """A canvas of a debug model whose tool encoder says something, and what it is told."""
    debug, clip = PRESETS["debug"], torch.rand(8, 5, 3, *SIZE, generator=generator(0)) * 2 - 1
    models = build(
        replace(debug, transformer=debug.transformer | {"tool_channels": 8}), autoencoder=PatchAutoencoder(32).fit([(clip, 1.0)])
    )
    network = models.denoiser.transformer
    torch.nn.init.normal_(network.tool_encoder.layers[-1].weight, generator=generator(1))
    torch.nn.init.normal_(network.proj_out.weight, generator=generator(2))
    path, cameras = trajectory(5, 3), rig(2, SIZE)
    video = torch.rand(1, 2, 5, 3, *SIZE, generator=generator(4)) * 2 - 1
    sample = Sample(video, cameras.per_frame((1,), 5), path[None], torch.ones(1, 5, dtype=torch.bool), ("reach",))
    return models, *Pipeline.of(models).encode(sample, TASKS[task])


def test_a_model_is_told_of_the_tool_where_it_is_given_and_nowhere_else():
    for task, is_told in (("policy", True), ("label", True), ("label_from_nothing", False)):
        models, canvas, condition = told(task)
        level = torch.ones(1)
        with torch.no_grad():
            answer = models.denoiser(canvas, level, condition)
            other = models.denoiser(canvas, level, replace(condition, tool=condition.tool + 0.1))
        assert torch.equal(answer, other) is not is_told, task


def test_a_canvas_without_actions_is_told_of_no_tool_and_all_weights_take_part():
    models, canvas, condition = told("video")
    assert condition.tool is None
    models.denoiser(canvas, torch.ones(1), condition).sum().backward()
    assert all(weight.grad is not None for weight in models.denoiser.transformer.tool_encoder.parameters())


def test_presets_without_it_have_no_such_weights():
    config = PRESETS["debug"].transformer | {"tool_channels": None}
    assert ActionImagesTransformer3DModel(**config).tool_encoder is None
