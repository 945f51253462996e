"""A video model as a policy: draw where the tool is, imagine what follows, read it back, plan."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from action_images.canvas.layout import Stream
from action_images.control import Gripper, bridged, to_control_steps
from action_images.control.resample import Interpolation
from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.inference.augment import shown_in
from action_images.inference.clip_generator import ClipGenerator, confidence
from action_images.model.bundle import Clips
from action_images.pipeline import Prediction
from action_images.robot import Observation, Plan
from action_images.samples.sample import Sample


class OnClips:
    """What a policy says of the clips that it was trained on: a `robot.ClipPolicy`."""

    clips: Clips

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width (px) of the images that its models were trained on."""
        return self.clips.size

    @property
    def fps(self) -> float:
        """Frames a second of the clips that its models were trained on."""
        return self.clips.fps


@dataclass(frozen=True)
class GenerativePolicy(OnClips, ClipGenerator):
    """A Policy that generates action images with a pipeline, on clips as its models were trained on.

    `mode` is a name of `canvas.MODES`: 'policy' imagines the actions alone, 'joint' the video besides (decoded only
    where `wanted` has it). A plan reaches as far as a clip does, at `control_hz`. The same `seed` and observation give
    the same plan. Cameras are taken to stand still while a plan lasts.

    A plan with a pose of less confidence than `enough` would be held back by the guard, and would come again from the
    same observation: so it is planned anew from other noise, `tries` times in all, and the least doubtful plan is taken.
    """

    mode: str = "policy"
    wanted: tuple[Stream, ...] = ("action",)
    control_hz: float = 20.0
    gripper: Gripper = Gripper()
    interpolation: Interpolation = "linear"
    seed: int = 0
    enough: float = 0.1
    tries: int = 4

    def __post_init__(self) -> None:
        if self.mode not in ("policy", "joint"):
            raise ActionImagesError(
                f"a policy plans with mode 'policy' or 'joint', which show it one image of each view, not with '{self.mode}'"
            )
        if "action" not in self.wanted:
            raise ActionImagesError(
                "a policy reads its plan off the action images: `wanted` must have 'action'"
            )
        if self.tries < 1:
            raise ActionImagesError(
                f"a policy plans at least once: tries must be 1 or more, not {self.tries}"
            )

    def plan(self, observation: Observation) -> Plan:
        """The tool targets from one control step after the observation on; see `Plan` and `confidence`.

        Raises ValueError for a batch of observations, fewer than two views, or an instruction longer than the models read.
        """
        plan = self.propose(observation, 1)[0]
        if self.tries == 1 or _least_confidence(plan) >= self.enough:
            return plan
        others = self.propose(observation, self.tries - 1, self.seed + 1)
        first, more = plan.stage_ms or {}, others[0].stage_ms or {}
        return replace(
            max([plan, *others], key=_least_confidence),
            stage_ms={stage: ms + more[stage] for stage, ms in first.items()},
        )

    def propose(self, observation: Observation, num_plans: int, first_seed: int | None = None) -> list[Plan]:
        """So many plans from one observation, from the noise of so many seeds from `first_seed` (None: the policy's own) on."""
        first_seed = self.seed if first_seed is None else first_seed
        stages, device = Stages(), self.device
        with stages.of("encode", device):
            scene = scene_of(observation, self.clips.size).to(device)
            aspects = self.aspects(self.mode, scene.video.shape[1])
            canvas, condition = self.encode(shown_in(scene, aspects), self.mode, num_plans)
        with stages.of("denoise", device):
            canvas = self.denoise(
                canvas, condition, [*range(first_seed, first_seed + num_plans)] * len(aspects)
            )
        with stages.of("decode", device):
            shown = self.show(canvas, condition, aspects, self.wanted)
        with stages.of("read", device):
            cameras = scene.cameras
            assert cameras is not None
            prediction = self.read(shown, cameras[[0] * num_plans], self.mode).to("cpu")
            plans = [self._plan(observation, prediction[i]) for i in range(num_plans)]
        return [replace(plan, stage_ms=dict(stages.ms)) for plan in plans]

    def _plan(self, observation: Observation, prediction: Prediction) -> Plan:
        reading = prediction.reading
        assert reading is not None
        sure = confidence(prediction, self.pipeline.format.sigma_px(self.clips.size))
        # Where the tool is now is known; what the model made of that frame is not asked.
        path = with_first(reading.trajectory, observation)
        sure = torch.cat([sure.new_ones(1), sure[1:]])
        steps = to_control_steps(
            bridged(path, sure > 0), sure, self.clips.fps, self.control_hz, self.gripper, self.interpolation
        )
        return Plan(
            steps.trajectory,
            video=prediction.video,
            confidence=steps.confidence,
            action_images=prediction.action_images,
            imagined_frame=steps.frame,
        )


def _least_confidence(plan: Plan) -> float:
    """The lowest confidence of a plan."""
    assert plan.confidence is not None
    return plan.confidence.min().item()


def scene_of(observation: Observation, size: tuple[int, int]) -> Sample:
    """What models are shown: a batch of one, with one frame of each view, fitted to `size`, and the tool's pose now.

    Raises ValueError for a batch of observations or fewer than two views.
    """
    images, now = observation.images, observation.world_from_tool
    if images.ndim != 4 or len(images) < 2:
        raise ActionImagesError(
            f"a policy is shown one instant, images (view 3 h w) of at least two views; these are {tuple(images.shape)}"
        )
    video = fit_frames(images, size)[None, :, None]
    cameras = fit_camera(observation.cameras, size)[None, :, None].to(torch.float32)
    path = Trajectory(now[None, None], observation.opening[None, None]).to(torch.float32)
    return Sample(video, cameras, path, torch.ones(1, 1, dtype=torch.bool), (observation.instruction,))


def with_first(path: Trajectory, observation: Observation) -> Trajectory:
    """The path with where the tool is, and what the gripper was told, as its first frame."""
    first = Trajectory(observation.world_from_tool[None], observation.opening[None]).to("cpu", path.dtype)
    rest = path[1:]
    pose = first.world_from_tool
    rotation = torch.cat([pose.rotation, rest.world_from_tool.rotation])
    translation = torch.cat([pose.translation, rest.world_from_tool.translation])
    return Trajectory(
        replace(pose, rotation=rotation, translation=translation), torch.cat([first.opening, rest.opening])
    )


@dataclass
class Stages:
    """How long each stage took (ms)."""

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str, device: torch.device) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.ms[name] = 1e3 * (time.perf_counter() - start)
