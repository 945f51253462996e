"""A video model as a policy: draw the tool's pose, generate what follows, read it back, plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.canvas.layout import Stream
from action_images.control import Gripper, bridged, to_control_steps
from action_images.control.resample import Interpolation
from action_images.device import DtypeName
from action_images.errors import ActionImagesError
from action_images.geometry.fitting import fit_frames
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.confidence import confidence
from action_images.inference.label import find_tool
from action_images.inference.stages import Stages
from action_images.model.bundle import Models
from action_images.pipeline import Prediction
from action_images.policy.scene import scene_of, with_first
from action_images.policy.words import words_read
from action_images.robot import Observation, Plan, WordsRead


@dataclass(frozen=True)
class GenerativePolicy:
    """A Policy that reads its plan from the action images that a clip generator makes.

    `mode` is a name of `canvas.MODES`: 'policy' generates the actions alone, 'joint' the video too (decoded
    only if `wanted` has it). A plan is as long as a clip, at `control_hz`. The same `seed` and observation
    give the same plan. Cameras are assumed to stand still while a plan lasts.
    """

    generator: ClipGenerator
    mode: str = "policy"
    wanted: tuple[Stream, ...] = ("action",)
    control_hz: float = 20.0
    gripper: Gripper = Gripper()
    interpolation: Interpolation = "linear"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("policy", "joint"):
            raise ActionImagesError(
                "a policy plans with mode 'policy' or 'joint', which show it one image of each view, "
                f"not with '{self.mode}'"
            )
        if "action" not in self.wanted:
            raise ActionImagesError(
                "a policy reads its plan off the action images: `wanted` must have 'action'"
            )

    @classmethod
    def of(cls, models: Models, **settings: Any) -> Self:
        """A policy with these models, on the clips of their training; `settings` are fields of the policy."""
        return cls(ClipGenerator.of(models), **settings)

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
        **settings: Any,
    ) -> Self:
        """A policy from a folder of models, see `ClipGenerator.load`; `settings` are fields of the policy."""
        generator = ClipGenerator.load(
            folder, device, sampling, dtype, compiled=compiled, shared_by=shared_by
        )
        return cls(generator, **settings)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width (px) of the images that its models were trained on."""
        return self.generator.clips.size

    @property
    def fps(self) -> float:
        """Frames a second of the clips that its models were trained on."""
        return self.generator.clips.fps

    def words_read(self, instruction: str) -> WordsRead:
        """The words of an instruction that the models' text encoder reads, and those that it ignores."""
        return words_read(self.generator.pipeline.models.text, instruction)

    def tool_misses(self, observation: Observation) -> Float[Tensor, "picture camera"]:
        """Distance from the tool that the models find in each picture to the tool projected by each camera.

        As a share of the pictures' width. The models see the pictures alone, as a still video. NaN if they do
        not find the tool, which is always so for models that did not learn to label.
        """
        scene = scene_of(observation, self.generator.clips.size)
        found = find_tool(self.generator, scene)
        assert scene.cameras is not None
        tool = observation.world_from_tool.translation.to("cpu", torch.float32)
        cameras = scene.cameras[0, :, 0]
        pixels, depth = cameras.project(tool.expand(len(found), 3))
        pixels = torch.where(depth[:, None] > 0, pixels, torch.nan)
        return (found[:, None] - pixels).norm(dim=-1) / cameras.size[1]

    def doubts(self, observation: Observation, plans: Sequence[Plan]) -> tuple[str, ...]:
        """Warnings that the images are unlike those of training, or that poses are not all good.

        The second gives the number of good, doubtful and unreadable poses in these plans. Each warning needs
        measurements in the models' folder; there is none if nothing is wrong.
        """
        models, told = self.generator.pipeline.models, []
        if models.familiarity is not None:
            told.append(models.familiarity.doubts(fit_frames(observation.images, self.image_size)))
        bounds = None if models.reliability is None else models.reliability.modes.get(self.mode)
        if bounds is not None and models.reliability is not None:
            sure: list[float] = []
            for plan in plans:
                sure += [] if plan.confidence is None else plan.confidence.tolist()
            if any(one < bounds.good for one in sure):
                told.append(models.reliability.told(self.mode, sure))
        return tuple(sentence for sentence in told if sentence is not None)

    def plan(self, observation: Observation) -> Plan:
        """The tool targets, starting one control step after the observation; see `Plan` and `confidence`.

        Raises ValueError for a batch of observations, fewer than two views, or an instruction too long for
        the models.
        """
        return self.propose(observation, 1)[0]

    def propose(self, observation: Observation, num_plans: int) -> list[Plan]:
        """Make plans from one observation, with the noise of `num_plans` seeds, the policy's own first."""
        stages, generator = Stages(), self.generator
        with stages.of("encode", generator.device):
            scene = scene_of(observation, generator.clips.size)
        seeds = range(self.seed, self.seed + num_plans)
        prediction = generator.generate(scene, self.mode, seeds, self.wanted, stages)
        with stages.of("read", generator.device):
            plans = [self._plan(observation, prediction[i]) for i in range(num_plans)]
        return [replace(plan, stage_ms=dict(stages.ms)) for plan in plans]

    def _plan(self, observation: Observation, prediction: Prediction) -> Plan:
        reading = prediction.reading
        assert reading is not None
        sure = confidence(prediction, self.generator.sigma_px)
        # The tool's pose now is known, so the model's reading of that frame is replaced.
        path = with_first(reading.trajectory, observation)
        sure = torch.cat([sure.new_ones(1), sure[1:]])
        steps = to_control_steps(
            bridged(path, sure > 0), sure, self.fps, self.control_hz, self.gripper, self.interpolation
        )
        return Plan(
            steps.trajectory,
            video=prediction.video,
            confidence=steps.confidence,
            action_images=prediction.action_images,
            imagined_frame=steps.frame,
        )
