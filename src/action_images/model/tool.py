"""Where the tool is now, in numbers for tokens: a small model reads it off its action image too coarsely."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_images.geometry import Camera

NUM_TOOL_NUMBERS = 16
"""Three points of the tool (m, axes of the camera), where each lies in the image, and the opening."""
LEAST_DEPTH = 0.05
NUM_OCTAVES = 4


def tool_numbers(points: Float[Tensor, "b 3 3"], opening: Float[Tensor, "b"], cameras: Camera) -> Float[Tensor, "b view 16"]:
    """What cameras (b view) see of a tool, exactly.

    `points` are three points of it (m, world), as `ActionImageFormat.points` gives them; `opening` lies in [0, 1]. In an
    image its left and upper edges are -1, its right and lower ones 1; a point beyond twice that, or behind the camera, is
    put there.
    """
    seen = cameras.world_from_camera.inverse()[..., None].apply(points[:, None])
    height, width = cameras.size
    pixels = torch.einsum("bvij,bvpj->bvpi", cameras.intrinsics, seen / seen[..., 2:].clamp_min(LEAST_DEPTH))[..., :2]
    placed = (2 * pixels / pixels.new_tensor([width, height]) - 1).clamp(-2, 2)
    told = opening[:, None, None].expand(-1, seen.shape[1], 1)
    return torch.cat([seen.flatten(2), placed.flatten(2), told], -1)


class ToolEncoder(nn.Module):
    """A small network from the numbers of each view (with sines of places in the image at rising frequencies) to the width of tokens."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, width)
        self.layers = nn.Sequential(nn.Linear(NUM_TOOL_NUMBERS + 6 * 2 * NUM_OCTAVES, hidden), nn.SiLU(), last)
        # Nothing is added at the start, so that a trained model can be told of tools without forgetting.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, numbers: Float[Tensor, "b view 16"], known: Bool[Tensor, "b"]) -> Float[Tensor, "b view dim"]:
        """Additions to the tokens of each view; zeros where the tool's pose is not `known`."""
        numbers = torch.where(known[:, None, None], numbers.float(), 0.0)
        angles = torch.cat([numbers[..., 9:15] * (math.pi * 2**octave) for octave in range(NUM_OCTAVES)], -1)
        features = torch.cat([numbers, angles.sin(), angles.cos()], -1).to(self.layers[0].weight.dtype)  # pyright: ignore
        return self.layers(features) * known[:, None, None]
