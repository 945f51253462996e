"""The model as a world: an Environment with generated images, in which any policy can be run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.simulate import simulate
from action_images.robot import Observation, StepReport
from action_images.samples.sample import Sample
from action_images.structs import concatenate

NOISE_SEEDS_APART = 1_000_003
"""Distance of seeds such that no two trials share their noise, for any `noise_seed`."""


@dataclass
class LearnedSimulator:
    """An Environment that begins at an observation, then shows the model's images for the commanded poses.

    `begin` gives the first observation of a seed's trial: of a real scene, or another simulator's reset.
    `judge` says whether the task is done, as the model knows only images and the tool, no physical state. The
    tool is assumed to reach every commanded pose exactly, so nothing is out of reach. Images are generated
    from the last anchor for up to one clip; then the clip's last image becomes the next anchor. Cameras stand
    still. A trial's noise is drawn from its seed and `noise_seed`.
    """

    generator: ClipGenerator
    begin: Callable[[int], Observation]
    judge: Callable[["LearnedSimulator"], bool]
    control_hz: float = 20.0
    noise_seed: int = 0
    num_steps: int = field(default=0, init=False)
    _anchor: Observation | None = field(default=None, init=False)
    _told: Trajectory | None = field(default=None, init=False)
    _seed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        stride = self.control_hz / self.generator.clips.fps
        if stride < 1 or abs(stride - round(stride)) > 1e-6:
            raise ActionImagesError(
                f"control at {self.control_hz:g} Hz is no whole multiple of the model's "
                f"{self.generator.clips.fps:g} frames/s; "
                "choose a control rate that is"
            )

    def reset(self, seed: int) -> Observation:
        """Begin a new trial; images and cameras are fitted to the size of the model's clips."""
        seen = self.begin(seed)
        size = self.generator.clips.size
        if seen.images.ndim != 4:
            raise ActionImagesError(
                f"a trial begins with one instant, images (view 3 h w); these are {tuple(seen.images.shape)}"
            )
        self._anchor = replace(
            seen,
            images=fit_frames(seen.images, size),
            cameras=fit_camera(seen.cameras, size).to(torch.float32),
        )
        self._told, self._seed, self.num_steps = (
            _single(seen.world_from_tool, seen.opening.item()),
            seed + NOISE_SEEDS_APART * self.noise_seed,
            0,
        )
        return self._anchor

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Command the tool's pose after one control period."""
        told = concatenate([self._path, _single(world_from_tool, opening)])
        self._told = told
        self.num_steps += 1
        if told.num_frames - 1 == self._steps_a_clip:
            self._anchor = self.observation()
            self._told = told[-1:]
        return StepReport(True, 0.0, 0.0, world_from_tool)

    def observation(self) -> Observation:
        """The generated observation now; it is the same for every call at the same step."""
        path = self._path
        assert self._anchor is not None
        num_steps = path.num_frames - 1
        if num_steps == 0:
            return self._anchor
        # Frames are spread evenly up to now, so that the last one is now even between two model frames.
        num_frames = -(-num_steps // self._stride) + 1
        frames = path.at(torch.linspace(0, num_steps, num_frames))
        video = self._anchor.images[:, None].float() / 127.5 - 1
        still = self._anchor.cameras[:, None]
        scene = Sample(
            video, still, frames, torch.ones(num_frames, dtype=torch.bool), self._anchor.instruction
        )
        images = simulate(self.generator, scene, self._seed)[:, -1].mul(255).round().to(torch.uint8)
        return replace(
            self._anchor, images=images, world_from_tool=path.world_from_tool[-1], opening=path.opening[-1]
        )

    def succeeded(self) -> bool:
        """Whether `judge` says that the task is done."""
        return self.judge(self)

    @property
    def tool(self) -> Pose:
        """The tool pose commanded last."""
        return self._path.world_from_tool[-1]

    @property
    def _path(self) -> Trajectory:
        if self._told is None:
            raise ActionImagesError("no trial has begun; call reset(seed) first")
        return self._told

    @property
    def _stride(self) -> int:
        return round(self.control_hz / self.generator.clips.fps)

    @property
    def _steps_a_clip(self) -> int:
        return self._stride * (self.generator.clips.num_frames - 1)


def _single(world_from_tool: Pose, opening: float) -> Trajectory:
    return Trajectory(
        world_from_tool[None].to("cpu", torch.float32), torch.tensor([opening], dtype=torch.float32)
    )
