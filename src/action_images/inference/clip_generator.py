"""Clips from models in one call: a scene and a mode in, predictions out; policies and the other faces share it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.canvas import MODES, Canvas, Show
from action_images.canvas.layout import Stream
from action_images.codec import Reading
from action_images.codec.smooth import RotationSmoother
from action_images.diffusion.sampler import Sampling, sample, sampling_named
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.inference.augment import ASPECTS, Aspect, mean_reading, shown_in
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import Condition
from action_images.pipeline import Pipeline, Prediction
from action_images.samples.sample import Sample

HALF_CONFIDENT_M, HALF_CONFIDENT_RAD = 5e-3, 0.1
"""Predicted standard deviations of position and rotation at which either alone halves the confidence."""


@dataclass(frozen=True)
class ClipGenerator:
    """A pipeline that generates clips as its models were trained on: image size, frames, frames a second, and how to sample."""

    pipeline: Pipeline
    clips: Clips
    sampling: Sampling
    steady_frames: float = 2.0
    """Over how many frames (a standard deviation) rotations are averaged: see `codec.smooth.RotationSmoother`. 0: as they are read."""

    @classmethod
    def of(cls, models: Models, **values: Any) -> Self:
        """With these models, on the clips that they say they were trained on; `values` are fields to change."""
        clips = values.pop("clips", models.clips)
        if clips is None:
            raise ActionImagesError(
                "these models do not say what clips they were trained on; give clips=Clips(size, num_frames, fps, sampling)"
            )
        return cls(
            **{
                "pipeline": Pipeline.of(replace(models, clips=clips)),
                "clips": clips,
                "sampling": sampling_named(clips.sampling),
                **values,
            }
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str = "cpu",
        sampling: str | None = None,
        dtype: torch.dtype = torch.float32,
        **values: Any,
    ) -> Self:
        """With a folder of saved models; `sampling` is a name of sampler.SAMPLINGS, None the models' own.

        `dtype` is that of the transformer and the language model.
        """
        if sampling is not None:
            values["sampling"] = sampling_named(sampling)
        return cls.of(Models.load(folder, dtype).to(device), **values)

    @property
    def device(self) -> torch.device:
        """Where the denoiser lives; scenes are moved there."""
        return self.pipeline.models.denoiser.transformer.device

    def encode(self, scene: Sample, mode: str, num_samples: int = 1) -> tuple[Canvas, Condition]:
        """A batch of scenes, each `num_samples` times in a row, as canvases of whole clips (see `Pipeline.encode`)."""
        canvas, condition = self.pipeline.encode(scene.to(self.device), MODES[mode], self.clips.num_frames)
        places = [place for place in range(len(canvas.latents)) for _ in range(num_samples)]
        return canvas[places], condition[places]

    def aspects(self, mode: str, num_views: int) -> tuple[Aspect, ...]:
        """In which ways a scene is shown: several where the sampling says so, the mode asks for actions alone and there are two views."""
        averaged = MODES[mode].generates_actions_alone and num_views > 1
        return ASPECTS[self.sampling.aspects if averaged else "one"]

    def denoise(self, canvas: Canvas, condition: Condition, seeds: Sequence[int]) -> Canvas:
        """What is asked, generated from the noise of these seeds, one for each canvas."""
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        empty = None if self.sampling.guidance == 1 else self.pipeline.unconditional(len(seeds))
        return sample(self.pipeline.models.denoiser, canvas, condition, self.sampling, noise, empty)

    def generate(
        self, scene: Sample, mode: str, seeds: Sequence[int], wanted: Collection[Stream] = ("video", "action")
    ) -> Prediction:
        """What a batch of scenes becomes under a mode, on the CPU: one sample of each scene, or of a single scene one for each seed.

        Raises ValueError as `Pipeline.encode` does, or where seeds and scenes do not go together.
        """
        num_scenes = len(scene.video)
        if num_scenes not in (1, len(seeds)):
            raise ActionImagesError(
                f"there are {num_scenes} scenes and {len(seeds)} seeds; give one seed for each scene, or a single scene"
            )
        num_samples = len(seeds) // num_scenes
        aspects = self.aspects(mode, scene.video.shape[1])
        canvas, condition = self.encode(shown_in(scene, aspects), mode, num_samples)
        canvas = self.denoise(canvas, condition, [*seeds] * len(aspects))
        cameras = None if scene.cameras is None else scene.cameras.to(self.device)
        if cameras is not None and num_samples > 1:
            cameras = cameras[[0] * num_samples]
        return self.read(self.show(canvas, condition, aspects, wanted), cameras, mode).to("cpu")

    def show(
        self,
        canvas: Canvas,
        condition: Condition,
        aspects: Sequence[Aspect],
        wanted: Collection[Stream] = ("video", "action"),
    ) -> list[Prediction]:
        """What the canvases of each aspect, in the order of `shown_in`, show as images of the scenes; video of the first alone."""
        if len(aspects) == 1:
            return [self.pipeline.show(canvas, condition, wanted)]
        size = len(canvas.latents) // len(aspects)
        actions = self.pipeline.show(
            canvas, condition, [one for one in wanted if one == "action"]
        ).action_images
        video = self.pipeline.show(
            canvas[:size], condition[:size], [one for one in wanted if one == "video"]
        ).video
        parts = [None] * len(aspects) if actions is None else actions.split(size)
        shown = [
            Prediction(None, None if part is None else one.back(part), None)
            for one, part in zip(aspects, parts, strict=True)
        ]
        return [replace(shown[0], video=video), *shown[1:]]

    def read(self, shown: Sequence[Prediction], cameras: Camera | None, mode: str) -> Prediction:
        """The first of what `show` gave, with its path read through the cameras of a batch: that of all aspects, averaged and smoothed."""
        number, images = len(shown), shown[0].action_images
        if images is None or cameras is None:
            return shown[0]
        size = len(images)
        images = torch.cat([one.action_images for one in shown if one.action_images is not None])
        each = self.pipeline.read(Prediction(None, images, None), cameras[[*range(size)] * number])
        if each.reading is None:
            return shown[0]
        sure = confidence(each, self.pipeline.format.sigma_px(self.clips.size)).unflatten(0, (number, size))
        reading = mean_reading(each.reading[torch.arange(number * size).view(number, size)], sure)
        if self.steady_frames and MODES[mode].action is not Show.EVERYTHING:
            smooth = RotationSmoother(
                self.steady_frames, 4.0 if MODES[mode].action is Show.FIRST_FRAME else 1.0
            )
            reading = replace(reading, trajectory=smooth(reading.trajectory, reading.position_std))
        return replace(shown[0], reading=reading)


def confidence(prediction: Prediction, sigma_px: float) -> Float[Tensor, "*frames"]:
    """How sure a frame's pose is, in [0, 1]: precision times agreement; 0 where it could not be known.

    Precision is 1 / (1 + position_std / 5 mm + rotation_std / 0.1 rad), by the reading's predicted standard deviations;
    `agreement` is that of the views.
    """
    reading = prediction.reading
    if reading is None:
        raise ActionImagesError(
            "there is no reading to be sure of: decode action images of at least two views with their cameras"
        )
    precision = 1 / (1 + reading.position_std / HALF_CONFIDENT_M + reading.rotation_std / HALF_CONFIDENT_RAD)
    return (precision * agreement(reading, sigma_px)).nan_to_num(0.0)


def agreement(reading: Reading, sigma_px: float) -> Float[Tensor, "*frames"]:
    """How well one pose fits the spots of all views, in [0, 1]: 1 exactly, 0 where they miss it by their own width or none is known."""
    agreement = (1 - reading.residual_px / sigma_px).clamp(0, 1)
    return torch.where(known(reading), agreement, 0.0).nan_to_num(0.0)


def known_path(prediction: Prediction) -> Trajectory:
    """The path (*batch frame) that was read, its poses NaN in frames that were not, but laid between their neighbours.

    Raises ValueError where there is no reading.
    """
    reading = prediction.reading
    if reading is None:
        raise ActionImagesError(
            "there is no path: decode action images of at least two views with their cameras"
        )
    path, read = reading.trajectory, known(reading)
    pose = path.world_from_tool
    rotation = torch.where(read[..., None, None], pose.rotation, torch.nan)
    return Trajectory(Pose(rotation, torch.where(read[..., None], pose.translation, torch.nan)), path.opening)


def known(reading: Reading) -> Tensor:
    """True for frames (*frames) whose pose was read, and not laid between its neighbours."""
    pose = reading.trajectory.world_from_tool
    finite = pose.translation.isfinite().all(-1) & pose.rotation.isfinite().all(-1).all(-1)
    return finite & reading.position_std.isfinite()
