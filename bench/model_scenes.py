"""Synthetic scenes for the model's figures: reaches to coloured balls, drawn in a few lines."""

import math
from dataclasses import dataclass

import torch

from action_images.codec import draw
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.samples.sample import Sample

COLOURS = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.8, 0.2),
    "blue": (0.15, 0.25, 0.95),
    "yellow": (0.9, 0.85, 0.1),
}


@dataclass(frozen=True)
class Scenes:
    """Straight reaches to one of two coloured balls on a grey table, seen by two cameras; text names it."""

    size: tuple[int, int] = (64, 64)
    num_frames: int = 9
    named: bool = True

    def batch(self, num: int, generator: torch.Generator) -> tuple[Sample, torch.Tensor]:
        """A batch, and where the balls lie (b 2 3): the first is the one to reach."""
        balls = 0.36 * (torch.rand(num, 2, 3, generator=generator) - 0.5)
        balls[..., 2] = 0.03
        start = 0.3 * (torch.rand(num, 3, generator=generator) - 0.5) + torch.tensor([0, 0, 0.25])
        turn = torch.tensor([math.pi, 0, 0]) + 0.6 * (torch.rand(num, 3, generator=generator) - 0.5)
        share = torch.linspace(0, 1, self.num_frames)[:, None]
        position = start[:, None] + share * (balls[:, :1] - start[:, None])
        rotation = from_euler_xyz(turn)[:, None].expand(-1, self.num_frames, -1, -1)
        path = Trajectory(Pose(rotation, position), 1 - share[:, 0].expand(num, -1))
        names = list(COLOURS)
        picks = torch.stack([torch.randperm(len(names), generator=generator)[:2] for _ in range(num)])
        rig = self.rig(num, generator)
        image = self._picture(balls, torch.tensor(list(COLOURS.values()))[picks], rig)
        cameras = rig.per_frame((num,), self.num_frames)
        told = tuple(
            f"reach the {names[int(pick[0])]} ball" if self.named else "reach the ball" for pick in picks
        )
        return Sample(image[:, :, None], cameras, path, torch.ones(num, 1, dtype=torch.bool), told), balls

    def rig(self, num: int, generator: torch.Generator) -> Camera:
        """Two cameras (b view), each moved a little in every scene."""
        angles = torch.tensor([-0.5, 0.6]) + 0.1 * (torch.rand(num, 2, generator=generator) - 0.5)
        eye = torch.stack([1.1 * angles.cos(), 1.1 * angles.sin(), torch.full_like(angles, 0.75)], -1)
        return Camera.look_at(eye, torch.tensor([0.0, 0.0, 0.08]).expand_as(eye), math.radians(45), self.size)

    def _picture(self, balls: torch.Tensor, colours: torch.Tensor, rig: Camera) -> torch.Tensor:
        pixels, _ = rig[..., None].project(balls[:, None])  # b view ball 2
        y, x = (torch.arange(side) + 0.5 for side in self.size)
        image = torch.full((*pixels.shape[:2], 3, *self.size), -0.3)
        for ball in range(1 if not self.named else 2):
            u, v = pixels[:, :, ball].unbind(-1)
            radius = self.size[0] / 18
            near = (
                (x - u[..., None])[..., None, :].square() + (y - v[..., None])[..., :, None].square()
            ).sqrt() - radius
            cover = (0.5 - near).clamp(0, 1)[:, :, None]
            image = image * (1 - cover) + (2 * colours[:, ball, None, :, None, None] - 1) * cover
        return image


def clip_of(scene: Sample) -> torch.Tensor:
    """The whole video of a reach: the still scene with a grey spot where the tool is."""
    spot = draw(scene.trajectory, scene.cameras)[..., :1, :, :]
    return scene.video * (1 - spot) + 0.4 * spot


def fitted(channels: int, scenes: Scenes, weight: float = 10.0) -> PcaAutoencoder:
    """A patch autoencoder fitted to 256 scenes and, `weight` times as heavy, their action images."""
    generator = torch.Generator().manual_seed(1)
    clips = []
    for _ in range(8):
        scene, _ = scenes.batch(32, generator)
        clips += [(clip_of(scene), 1.0), (draw(scene.trajectory, scene.cameras) * 2 - 1, weight)]
    return PcaAutoencoder(channels).fit(clips)
