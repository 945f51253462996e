"""Generation of a clip from a scene, as used by policies, labels, simulations, futures and validation."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.canvas import MODES, Canvas, Show
from action_images.canvas.layout import Stream
from action_images.codec import Reading
from action_images.codec.smooth import RotationSmoother
from action_images.device import DtypeName, place_of, to_cpu
from action_images.diffusion.sampler import sample
from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.inference.augment import AS_IT_IS, Augmentation, augmented, mean_reading
from action_images.inference.confidence import confidence, consensus
from action_images.inference.generation import Generation, generation_named
from action_images.inference.shared_passes import SharedSampler
from action_images.inference.stages import Stages
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import Condition
from action_images.model.room import check_weights_fit
from action_images.pipeline import Pipeline, Prediction
from action_images.samples.sample import Sample

GIVEN_FRAME_COUNTS_AS = 4.0
"""The weight of a given first pose, in generated poses, when rotations are smoothed."""


@dataclass(frozen=True)
class ClipGenerator:
    """A pipeline that generates clips of the size, length and rate that its models were trained on."""

    pipeline: Pipeline
    clips: Clips
    generation: Generation
    sample: Callable[..., Canvas] = sample
    """The function from noise to a canvas: `sampler.sample`, or one for several devices (`shared_passes`)."""

    @classmethod
    def of(cls, models: Models, *, clips: Clips | None = None, generation: Generation | None = None) -> Self:
        """A generator with these models; `clips` and `generation` are the models' own if None.

        Raises ValueError if neither the models nor the caller say which clips to generate.
        """
        clips = clips or models.clips
        if clips is None:
            raise ActionImagesError(
                "these models do not say what clips they were trained on; "
                "give clips=Clips(size, num_frames, fps, sampling)"
            )
        pipeline = Pipeline.of(replace(models, clips=clips))
        return cls(pipeline, clips, generation or generation_named(clips.sampling))

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str | torch.device = "auto",
        sampling: str | None = None,
        dtype: DtypeName | torch.dtype = "float32",
        *,
        compiled: bool = False,
        shared_by: int = 1,
    ) -> Self:
        """A generator from a folder of models, with device and dtype as `device.place_of` takes them.

        `sampling` is a name of `generation.GENERATIONS`, None the models' own.

        `dtype` is that of the transformer and the language model; `compiled` compiles the blocks, see
        `CanvasDenoiser.compile_blocks`. `shared_by` devices share the tokens of each clip, see
        `shared_passes.SharedSampler`; a process can have one such generator.
        """
        generation = None if sampling is None else generation_named(sampling)
        place = place_of(device, dtype)
        check_weights_fit(folder, place)
        models = Models.load(folder, place.dtype).to(place.device)
        if compiled:
            models.denoiser.compile_blocks()
        generator = cls.of(models, generation=generation)
        if shared_by > 1 and generator.generation.sampling.first_block is not None:
            # Each device would decide by its own tokens whether to wait for those of the others.
            raise ActionImagesError(
                "devices that share a clip skip no blocks; take another --sampling, such as release-cached, "
                "or leave --shared-by out"
            )
        return (
            generator
            if shared_by == 1
            else replace(generator, sample=SharedSampler(models, folder, shared_by))
        )

    @property
    def device(self) -> torch.device:
        """The denoiser's device; scenes are moved there."""
        return self.pipeline.models.denoiser.transformer.device

    @property
    def sigma_px(self) -> float:
        """The width of a spot of an action image (a standard deviation in px)."""
        return self.pipeline.format.sigma_px(self.clips.size)

    @torch.no_grad()
    def generate(
        self,
        scene: Sample,
        mode: str,
        seeds: Sequence[int],
        wanted: Collection[Stream] = ("video", "action"),
        stages: Stages | None = None,
    ) -> Prediction:
        """Generate clips from a batch of scenes in a mode (a name of `canvas.MODES`); results are on the CPU.

        There is one sample of each scene, or for a single scene one for each seed. Streams that are not
        `wanted` are not decoded. `stages` records the times of encoding, denoising, decoding and reading.
        Raises ValueError as `Pipeline.encode` does, or if the numbers of seeds and scenes do not fit.
        """
        stages = Stages() if stages is None else stages
        num_samples = _samples_of_each(scene, seeds)
        augmentations = self.augmentations(mode, num_views=scene.video.shape[1])
        with stages.of("encode", self.device):
            shown = augmented(scene, augmentations)
            canvas, condition = self._encoded(shown, mode, num_samples)
        with stages.of("denoise", self.device):
            canvas = self._denoised(canvas, condition, [*seeds] * len(augmentations))
        with stages.of("decode", self.device):
            video = self._video(canvas, condition, num_scenes=len(seeds), wanted=wanted)
            actions = self._actions(canvas, condition, augmentations, wanted)
        with stages.of("read", self.device):
            reading, sure = self._read(actions, _cameras_of_each(scene, num_samples), mode) or (None, None)
            return Prediction(video, None if actions is None else actions[0], reading, sure)

    def augmentations(self, mode: str, num_views: int) -> tuple[Augmentation, ...]:
        """The ways in which a scene is shown.

        There are several only if actions alone are generated from several views.
        """
        averaged = MODES[mode].generates_actions_alone and num_views > 1
        return self.generation.augment if averaged else AS_IT_IS

    def _encoded(self, scene: Sample, mode: str, num_samples: int) -> tuple[Canvas, Condition]:
        """A batch of scenes as canvases of whole clips, each scene `num_samples` times in a row."""
        canvas, condition = self.pipeline.encode(scene, MODES[mode], self.clips.num_frames)
        if num_samples == 1:
            return canvas, condition
        places = torch.arange(len(canvas.latents), device=canvas.device).repeat_interleave(num_samples)
        return canvas[places], condition[places]

    def _denoised(self, canvas: Canvas, condition: Condition, seeds: Sequence[int]) -> Canvas:
        """The canvas with its unknown parts generated from the noise of these seeds, one for each canvas."""
        sampling = self.generation.sampling
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        empty = None if sampling.guidance == 1 else self.pipeline.unconditional(len(seeds))
        denoiser = self.pipeline.models.denoiser
        with denoiser.blocks_skipped(sampling.first_block):
            return self.sample(denoiser, canvas, condition, sampling, noise, empty)

    def _video(
        self, canvas: Canvas, condition: Condition, *, num_scenes: int, wanted: Collection[Stream]
    ) -> Float[Tensor, "b view frame 3 h w"] | None:
        """The video of the scenes under the first augmentation, which is the scene itself."""
        if "video" not in wanted:
            return None
        video = self.pipeline.show(canvas[:num_scenes], condition[:num_scenes], ["video"]).video
        return None if video is None else to_cpu(video, "clip")

    def _actions(
        self,
        canvas: Canvas,
        condition: Condition,
        augmentations: Sequence[Augmentation],
        wanted: Collection[Stream],
    ) -> Float[Tensor, "augmentation b view frame 3 h w"] | None:
        """The action images under each augmentation, with the augmentation undone."""
        if "action" not in wanted:
            return None
        images = self.pipeline.show(canvas, condition, ["action"]).action_images
        if images is None:
            return None
        parts = images.chunk(len(augmentations))
        undone = torch.stack([one.undo(part) for one, part in zip(augmentations, parts, strict=True)])
        return to_cpu(undone, "clip")

    def _read(
        self,
        actions: Float[Tensor, "augmentation b view frame 3 h w"] | None,
        cameras: Camera | None,
        mode: str,
    ) -> tuple[Reading, Float[Tensor, "b frame"] | None] | None:
        """The mean of all augmentations' paths, smoothed, with their consensus if there are several.

        None if there is nothing to read.
        """
        if actions is None or cameras is None:
            return None
        num_augmentations, num_scenes = actions.shape[:2]
        cameras = cameras[[*range(num_scenes)] * num_augmentations]
        each = self.pipeline.read(Prediction(None, actions.flatten(0, 1), None), cameras)
        if each.reading is None:
            return None
        weight = confidence(each, self.sigma_px).view(num_augmentations, num_scenes, -1)
        places = torch.arange(num_augmentations * num_scenes).view(num_augmentations, num_scenes)
        mean = mean_reading(each.reading[places], weight)
        several = num_augmentations > 1
        sure = consensus(each.reading[places].trajectory, mean.trajectory, weight) if several else None
        return self._smoothed(mean, mode), sure

    def _smoothed(self, reading: Reading, mode: str) -> Reading:
        """Smooth the rotations, unless all actions were given."""
        action = MODES[mode].action
        if not self.generation.smooth_frames or action is Show.EVERYTHING:
            return reading
        first = GIVEN_FRAME_COUNTS_AS if action is Show.FIRST_FRAME else 1.0
        smooth = RotationSmoother(self.generation.smooth_frames, first)
        return replace(reading, trajectory=smooth(reading.trajectory, reading.position_std))


def _samples_of_each(scene: Sample, seeds: Sequence[int]) -> int:
    """The number of samples of each scene for these seeds."""
    num_scenes = len(scene.video)
    if not seeds or num_scenes not in (1, len(seeds)):
        raise ActionImagesError(
            f"there are {num_scenes} scenes and {len(seeds)} seeds; give one seed for each scene, "
            "or a single scene"
        )
    return len(seeds) // num_scenes


def _cameras_of_each(scene: Sample, num_samples: int) -> Camera | None:
    """The cameras of each canvas."""
    if scene.cameras is None or num_samples == 1:
        return scene.cameras
    return scene.cameras[[0] * num_samples]
