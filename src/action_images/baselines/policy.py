"""The vector policy as a Policy: an observation in, its network's plan out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Self

from action_images.baselines.network import PathRegressor
from action_images.baselines.objective import regress
from action_images.canvas import MODES
from action_images.control import Gripper, to_control_steps
from action_images.control.resample import Interpolation
from action_images.device import place_of, sent, to_cpu
from action_images.errors import ActionImagesError
from action_images.inference.stages import Stages
from action_images.model.bundle import Clips, Models
from action_images.pipeline import Pipeline
from action_images.policy.scene import scene_of, with_first
from action_images.policy.words import words_read
from action_images.robot import Observation, Plan, WordsRead


@dataclass(frozen=True)
class VectorPolicy:
    """A Policy with the input of a GenerativePolicy and a path in numbers as output.

    Its path is converted to control steps in the same way.

    It states no confidence and has no randomness: the same observation gives the same plan.
    """

    pipeline: Pipeline
    clips: Clips
    control_hz: float = 20.0
    gripper: Gripper = Gripper()
    interpolation: Interpolation = "linear"

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "auto", **values: Any) -> Self:
        """The policy of a folder of saved models; raises ValueError if they are of another kind."""
        models = Models.load(folder, denoiser=PathRegressor).to(place_of(device).device)
        if models.clips is None:
            raise ActionImagesError(
                f"{folder}: does not say what clips its models were trained on; "
                "train them with 'action-images train'"
            )
        return cls(Pipeline.of(models), models.clips, **values)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width (px) of the images that its models were trained on."""
        return self.clips.size

    @property
    def fps(self) -> float:
        """Frames a second of the clips that its models were trained on."""
        return self.clips.fps

    def words_read(self, instruction: str) -> WordsRead:
        """The words of an instruction that the models' text encoder reads, and those that it ignores."""
        return words_read(self.pipeline.models.text, instruction)

    @torch.no_grad()
    def plan(self, observation: Observation) -> Plan:
        """The tool targets, starting one control step after the observation.

        Raises ValueError for a batch of observations, fewer than two views, or an instruction too long for
        the models.
        """
        device = self.pipeline.models.denoiser.transformer.device
        stages = Stages()
        with stages.of("encode", device):
            scene = scene_of(observation, self.clips.size)
            canvas, condition = self.pipeline.encode(scene, MODES["policy"], self.clips.num_frames)
            scene = sent(scene, device)
        with stages.of("regress", device):
            path = to_cpu(regress(self.pipeline, canvas, condition, scene), "paths")[0]
        path = with_first(path, observation)
        steps = to_control_steps(
            path,
            torch.ones(path.num_frames),
            self.clips.fps,
            self.control_hz,
            self.gripper,
            self.interpolation,
        )
        return Plan(steps.trajectory, stage_ms=stages.ms)
