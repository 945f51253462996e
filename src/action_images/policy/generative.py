"""A video model as a policy: draw where the tool is, imagine what follows, read it back, plan."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.canvas import TASKS
from action_images.canvas.layout import Stream
from action_images.control import Gripper, bridged, to_control_steps
from action_images.control.resample import Interpolation
from action_images.data.fitted import fit_camera, fit_frames
from action_images.data.sample import Sample
from action_images.geometry import Trajectory
from action_images.model.models import Clips, Models
from action_images.pipeline import Pipeline, Prediction
from action_images.robot import Observation, Plan
from action_images.sampler import SAMPLINGS, Sampling, sample

HALF_CONFIDENT_M, HALF_CONFIDENT_RAD = 5e-3, 0.1
"""Predicted standard deviations of position and rotation at which either alone halves the confidence."""


@dataclass(frozen=True)
class GenerativePolicy:
    """A Policy that generates action images with a pipeline, on clips as its models were trained on.

    `task` is a name of `canvas.TASKS`: 'policy' imagines the actions alone, 'joint' the video besides (decoded only
    where `wanted` has it). A plan reaches as far as a clip does, at `control_hz`. The same `seed` and observation give
    the same plan. Cameras are taken to stand still while a plan lasts.
    """

    pipeline: Pipeline
    clips: Clips
    sampling: Sampling
    task: str = "policy"
    wanted: tuple[Stream, ...] = ("action",)
    control_hz: float = 20.0
    gripper: Gripper = Gripper()
    interpolation: Interpolation = "linear"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in ("policy", "joint"):
            raise ValueError(f"a policy plans with task 'policy' or 'joint', which show it one image of each view, not with '{self.task}'")
        if "action" not in self.wanted:
            raise ValueError("a policy reads its plan off the action images: `wanted` must have 'action'")

    @classmethod
    def of(cls, models: Models, **values: Any) -> Self:
        """The policy of these models, on the clips that they say they were trained on; `values` are fields to change."""
        clips = values.pop("clips", models.clips)
        if clips is None:
            raise ValueError("these models do not say what clips they were trained on; give clips=Clips(size, num_frames, fps, sampling)")
        if clips.sampling not in SAMPLINGS:
            raise ValueError(f"there is no sampling '{clips.sampling}'; there are: {', '.join(SAMPLINGS)}")
        return cls(**{"pipeline": Pipeline.of(models), "clips": clips, "sampling": SAMPLINGS[clips.sampling], **values})

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", **values: Any) -> Self:
        """The policy of a folder of saved models."""
        return cls.of(Models.load(folder).to(device), **values)

    def plan(self, observation: Observation) -> Plan:
        """The tool targets from one control step after the observation on; see `Plan` and `confidence`.

        Raises ValueError for a batch of observations, fewer than two views, or an instruction longer than the models read.
        """
        return self.propose(observation, 1)[0]

    def propose(self, observation: Observation, num_plans: int) -> list[Plan]:
        """So many plans from one observation, from different noise; the first is `plan`'s."""
        stages, models = _Stages(), self.pipeline.models
        device = models.denoiser.transformer.device
        with stages.of("encode", device):
            scene = self._scene(observation).to(device)
            canvas, condition = self.pipeline.encode(scene, TASKS[self.task], self.clips.num_frames)
            canvas, condition = canvas[[0] * num_plans], condition[[0] * num_plans]
        with stages.of("denoise", device):
            noise = [torch.Generator().manual_seed(self.seed + i) for i in range(num_plans)]
            empty = None if self.sampling.guidance == 1 else self.pipeline.unconditional(num_plans)
            canvas = sample(models.denoiser, canvas, condition, self.sampling, noise, empty)
        with stages.of("decode", device):
            shown = self.pipeline.show(canvas, self.wanted)
        with stages.of("read", device):
            cameras = scene.cameras
            assert cameras is not None
            prediction = self.pipeline.read(shown, cameras[[0] * num_plans]).to("cpu")
            plans = [self._plan(observation, prediction[i]) for i in range(num_plans)]
        return [replace(plan, stage_ms=dict(stages.ms)) for plan in plans]

    def _scene(self, observation: Observation) -> Sample:
        """What the models are shown: a batch of one, with one frame of each view and the tool's pose now."""
        images, now = observation.images, observation.world_from_tool
        if images.ndim != 4 or len(images) < 2:
            raise ValueError(f"a policy is shown one instant, images (view 3 h w) of at least two views; these are {tuple(images.shape)}")
        video = fit_frames(images, self.clips.size)[None, :, None]
        cameras = fit_camera(observation.cameras, self.clips.size)[None, :, None].to(torch.float32)
        path = Trajectory(now[None, None], observation.opening[None, None]).to(torch.float32)
        return Sample(video, cameras, path, torch.ones(1, 1, dtype=torch.bool), (observation.instruction,))

    def _plan(self, observation: Observation, prediction: Prediction) -> Plan:
        reading = prediction.reading
        assert reading is not None
        sure = confidence(prediction, self.pipeline.format.sigma_px(self.clips.size))
        # Where the tool is now is known; what the model made of that frame is not asked.
        path = _with_first(reading.trajectory, observation)
        sure = torch.cat([sure.new_ones(1), sure[1:]])
        steps = to_control_steps(bridged(path, sure > 0), sure, self.clips.fps, self.control_hz, self.gripper, self.interpolation)
        return Plan(
            steps.trajectory,
            video=prediction.video,
            confidence=steps.confidence,
            action_images=prediction.action_images,
            imagined_frame=steps.frame,
        )


def confidence(prediction: Prediction, sigma_px: float) -> Float[Tensor, "frame"]:
    """How sure a frame's pose is, in [0, 1]: precision times agreement; 0 where it could not be known.

    Precision is 1 / (1 + position_std / 5 mm + rotation_std / 0.1 rad), by the reading's predicted standard deviations.
    Agreement of the views is 1 - residual / sigma: 1 where the spots of all views fit one pose exactly, 0 where they miss
    it by their own width.
    """
    reading = prediction.reading
    if reading is None:
        raise ValueError("there is no reading to be sure of: decode action images of at least two views with their cameras")
    precision = 1 / (1 + reading.position_std / HALF_CONFIDENT_M + reading.rotation_std / HALF_CONFIDENT_RAD)
    agreement = (1 - reading.residual_px / sigma_px).clamp(0, 1)
    pose = reading.trajectory.world_from_tool
    known = pose.translation.isfinite().all(-1) & pose.rotation.isfinite().all(-1).all(-1) & reading.position_std.isfinite()
    return torch.where(known, precision * agreement, 0.0).nan_to_num(0.0)


def _with_first(path: Trajectory, observation: Observation) -> Trajectory:
    """The path with where the tool is, and what the gripper was told, as its first frame."""
    first = Trajectory(observation.world_from_tool[None], observation.opening[None]).to("cpu", path.dtype)
    rest = path[1:]
    pose = first.world_from_tool
    rotation = torch.cat([pose.rotation, rest.world_from_tool.rotation])
    translation = torch.cat([pose.translation, rest.world_from_tool.translation])
    return Trajectory(replace(pose, rotation=rotation, translation=translation), torch.cat([first.opening, rest.opening]))


@dataclass
class _Stages:
    """How long each stage took (ms)."""

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str, device: torch.device) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.ms[name] = 1e3 * (time.perf_counter() - start)
