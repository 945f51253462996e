"""The mutation law: flip one convention in a valid set, and the result is the same or it is said."""

import math
import re
from dataclasses import replace
from unittest.mock import ANY

import pytest
import torch

from action_images.episodes.checks import check
from action_images.episodes.checks.agreement import verification
from action_images.episodes.checks.check import check_dataset, examine
from action_images.episodes.checks.follow import scene_of, stretched
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import FramesInMemory, FramesSelected
from action_images.geometry import Camera, Pose
from action_images.geometry.rotation import (
    from_euler_xyz,
    from_quaternion_xyzw,
    from_rotation_vector,
    to_euler_xyz,
    to_quaternion_xyzw,
)
from arm_scene import hand_episode
from recorded import make_episode

EPISODE = hand_episode()


def said(tmp_path, *episodes) -> list[str]:
    with DatasetWriter(tmp_path / "set", fps=10) as writer:
        for episode in episodes:
            writer.add(episode)
    return [finding.message for finding in check_dataset(tmp_path / "set", 0).findings]


def with_pictures(change, episode=EPISODE, names=("left",)):
    views = [
        replace(view, frames=FramesInMemory(change(view.frames.video))) if view.name in names else view
        for view in episode.views
    ]
    return replace(episode, views=tuple(views))


def with_cameras(change, episode=EPISODE):
    views = [replace(view, camera=change(view.camera)) for view in episode.views]
    return replace(episode, views=tuple(views))


def with_tool(change, episode=EPISODE):
    pose = change(episode.trajectory.world_from_tool)
    return replace(episode, trajectory=replace(episode.trajectory, world_from_tool=pose))


def late(frames):
    return lambda video: video[(torch.arange(len(video)) - frames).clamp(0)]


def rotated(change):
    return lambda pose: Pose(change(pose.rotation), pose.translation)


def moved_camera(degrees):
    def change(camera: Camera) -> Camera:
        turn = from_rotation_vector(math.radians(degrees) * torch.tensor([0.0, 1.0, 0.0]))
        pose = camera.world_from_camera
        return replace(camera, world_from_camera=Pose(pose.rotation @ turn, pose.translation))

    return change


def mirrored_world(pose: Pose) -> Pose:
    signs = torch.tensor([1.0, -1.0, 1.0])
    return Pose(signs[:, None] * pose.rotation * signs, signs * pose.translation)


def swapped(episode):
    left, right = episode.views
    return replace(episode, views=(replace(left, frames=right.frames), replace(right, frames=left.frames)))


FAULTS = {
    "flipped": (with_pictures(lambda v: v.flip(-2)), "left: fits .* times better .*upside down"),
    "mirrored": (with_pictures(lambda v: v.flip(-1)), "left: fits .* times better .*mirrored"),
    "turned": (with_pictures(lambda v: v.flip(-1, -2)), "left: fits .* times better .*turned by 180"),
    "quarter": (with_pictures(lambda v: v.rot90(1, (-2, -1))), "left: fits .*90 degrees to the right"),
    "late": (with_pictures(late(3)), "left: fits .* the pictures of 'left' 3 frames earlier"),
    "reversed": (with_pictures(lambda v: v.flip(0)), "left: fits .* in the reverse order"),
    "bars": (
        with_pictures(
            lambda v: torch.nn.functional.pad(v[:, :, ::2], (0, 0, v.shape[2] // 4, v.shape[2] // 4))
        ),
        "left: has black bars above and below .25 % of the picture each.; are its intrinsics for",
    ),
    "black": (with_pictures(torch.zeros_like), "left: 30 of 30 pictures are black"),
    "all late": (
        with_pictures(late(2), names=("left", "right")),
        "all views fit .* with the tool 2 frames later",
    ),
    "swapped": (swapped(EPISODE), "left: fits .*with the pictures of 'right': swapped"),
    "inverse cameras": (
        with_cameras(lambda c: replace(c, world_from_camera=c.world_from_camera.inverse())),
        "the camera may be the inverse",
    ),
    "OpenGL cameras": (
        with_cameras(lambda c: Camera.from_opengl(c.intrinsics, c.world_from_camera, c.size)),
        "OpenGL",
    ),
    "half intrinsics": (
        with_cameras(lambda c: replace(c, intrinsics=c.intrinsics * torch.tensor([[0.5], [0.5], [1.0]]))),
        "intrinsics of 'left' doubled",
    ),
    "tilted cameras": (with_cameras(moved_camera(8)), "what moves|the hand is seen .* cm away"),
    "tool off": (
        with_tool(lambda p: Pose(p.rotation, p.translation + torch.tensor([0.08, 0.05, 0.0]))),
        r"the hand is seen \d+ cm away from where the tool is said to be",
    ),
    "stuck": (
        with_pictures(lambda v: v[torch.arange(len(v)).clamp(max=12)]),
        "left: .* pictures show nothing new while the tool moves in view; was the camera stuck",
    ),
    "slow": (
        with_pictures(lambda v: v[torch.arange(len(v)) // 2 * 2]),
        "left: .* pictures show nothing new while the tool moves in view",
    ),
    "gripper half open": (
        replace(EPISODE, trajectory=replace(EPISODE.trajectory, opening=EPISODE.trajectory.opening / 2)),
        "the opening moves between .* in all episodes; is the gripper never open",
    ),
    "millimetres": (
        with_tool(lambda p: Pose(p.rotation, 1000 * p.translation)),
        "are they in mm",
    ),
    "mirrored world": (with_tool(mirrored_world), "mirrored along y"),
    "teleport": (
        with_tool(lambda p: Pose(p.rotation, p.translation + 2.0 * (torch.arange(30) == 11)[:, None])),
        r"the tool jumps 3\.\d+ m between frames 1\d and 1\d",
    ),
    "inverse rotations": (with_tool(rotated(lambda r: r.mT)), "inverse of the tool's rotations"),
    "quaternions": (
        with_tool(rotated(lambda r: from_quaternion_xyzw(to_quaternion_xyzw(r).roll(1, -1)))),
        "quaternions in the order",
    ),
    "Euler angles": (
        with_tool(rotated(lambda r: from_euler_xyz(-to_euler_xyz(r)).mT)),
        "Euler angles as extrinsic",
    ),
}


FAULTS["gripper inverted"] = (
    replace(EPISODE, trajectory=replace(EPISODE.trajectory, opening=1 - EPISODE.trajectory.opening)),
    "the fingers are seen apart where the gripper is said to be closed.*the other way round",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_convention_flipped_is_said_with_its_likely_cause(tmp_path, fault):
    episode, pattern = FAULTS[fault]
    messages = said(tmp_path, episode)
    assert [message for message in messages if re.search(pattern, message)], messages


def test_nothing_is_said_of_a_right_set_and_what_was_measured_is_told(tmp_path):
    assert said(tmp_path, EPISODE, hand_episode("hand/e1", seed=1)) == []
    conclusion = check_dataset(tmp_path / "set", 0).conclusion
    assert conclusion.startswith("No error was found in files and numbers. Measured: pictures aligned along")
    colours = "colours (whether red and blue are exchanged)"
    unseen = f"focal lengths (too few episodes), distances below 30 cm, {colours}"
    assert conclusion.endswith(f"Not verified: {unseen}.")


def test_delays_are_not_verified_where_the_tool_is_seen_to_move_little(tmp_path):
    short = replace(EPISODE, trajectory=EPISODE.trajectory[:16])
    shown = [replace(view, frames=FramesSelected(view.frames, tuple(range(16)))) for view in EPISODE.views]
    said(tmp_path, replace(short, views=tuple(shown)))
    conclusion = check_dataset(tmp_path / "set", 0).conclusion
    assert "delays (the tool is seen to move too little), focal lengths (too few episodes)" in conclusion


def test_a_gripper_that_is_not_seen_to_open_is_not_verified(tmp_path):
    still = replace(EPISODE.trajectory, opening=torch.ones(30))
    said(tmp_path, replace(EPISODE, trajectory=still))
    conclusion = check_dataset(tmp_path / "set", 0).conclusion
    assert "Not verified: which way the gripper opens (its fingers are not seen to part)" in conclusion


def test_alternatives_are_tried_in_a_spread_of_episodes_and_in_those_that_fit_worse(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "NUM_TRIED", 2)
    late_one = replace(with_pictures(late(5)), id="hand/late")
    others = [hand_episode(f"hand/e{seed}", seed=seed) for seed in (1, 2, 3, 4)]
    with DatasetWriter(tmp_path / "set", fps=10) as writer:
        for episode in (others[0], late_one, *others[1:]):
            writer.add(episode)
    verdict = check_dataset(tmp_path / "set", 0)
    assert [(found.episode, found.message) for found in verdict.findings] == [
        ("hand/late", ANY),
    ]
    assert "5 frames earlier" in verdict.findings[0].message
    told = "in 2 of 5 episodes, spread over the set and 1 that fit worse (--thorough: in all)"
    assert told in verdict.conclusion
    thorough = check_dataset(tmp_path / "set", 0, thorough=True)
    assert thorough.findings == verdict.findings
    assert "--thorough" not in thorough.conclusion


def burnt_in(video):
    """A logo that stays, and a bar code that counts the frames."""
    marked = video.clone()
    marked[:, :, -14:, -30:] = torch.tensor([250, 20, 20], dtype=torch.uint8)[:, None, None]
    for frame, picture in enumerate(marked):
        for bit in range(10):
            picture[:, :7, 8 * bit : 8 * bit + 7] = 245 if (frame >> bit) & 1 else 10
    return marked


def test_what_is_burnt_into_pictures_does_not_fool_it(tmp_path):
    assert said(tmp_path / "right", with_pictures(burnt_in)) == []
    messages = said(tmp_path / "flipped", with_pictures(lambda v: burnt_in(v.flip(-2))))
    assert any("upside down" in message for message in messages)


def test_one_wrong_episode_among_right_ones_is_named(tmp_path):
    others = [hand_episode(f"hand/e{seed}", seed=seed) for seed in (1, 2, 3)]
    wrong = replace(with_pictures(lambda v: v.flip(-1)), id="hand/wrong")
    with DatasetWriter(tmp_path / "set", fps=10) as writer:
        for episode in (*others, wrong):
            writer.add(episode)
    named = {finding.episode for finding in check_dataset(tmp_path / "set", 0).findings}
    assert named == {"hand/wrong"}


def test_where_fit_cannot_be_measured_that_is_said(tmp_path):
    episode = make_episode()
    bare = replace(episode, views=tuple(replace(view, camera=None) for view in episode.views))
    with DatasetWriter(tmp_path / "set", fps=20) as writer:
        writer.add(bare)
    results = [examine(Dataset(tmp_path / "set"), 0)]
    assert verification(results, ("front", "left")).startswith("Not verified: cameras, times, tool")


def test_a_clock_of_its_own_is_tried_at_several_rates():
    frames = torch.arange(30)
    scene = scene_of(EPISODE.views[0].camera, EPISODE.trajectory.world_from_tool, frames)
    places, slow = scene.world_from_tool.translation, stretched(scene, 1.25)
    assert torch.allclose(slow.world_from_tool.translation[::5], places[torch.arange(0, 21, 4)], atol=1e-6)
    between = slow.world_from_tool.translation[1]
    assert torch.allclose(between, torch.lerp(places[0], places[1], 0.8), atol=1e-6)
    assert stretched(scene, 0.5).known.tolist() == [number < 15 for number in range(30)]
