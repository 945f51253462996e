"""`--policy.type=action_images`: the models, their planning, and their training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot.configs import NormalizationMode, PreTrainedConfig
from lerobot.optim import AdamWConfig
from lerobot.optim.schedulers import CosineDecayWithWarmupSchedulerConfig

from action_images.episodes.lerobot_layout import ACTION, TOOL_NAMES
from action_images.errors import ActionImagesError
from lerobot_policy_action_images.columns import check_action, check_action_count, views_of

SERVERS = ("ws://", "wss://")
NEW = "new"
MODELS_FOLDER = "models"
"""The folder of models in a saved policy, in the format of `action-images`."""


def identity() -> dict[str, NormalizationMode]:
    """Nothing is normalised: pixels stay in [0, 1], and cameras and poses are metres and pixels."""
    return dict.fromkeys(("VISUAL", "STATE", "ENV", "ACTION"), NormalizationMode.IDENTITY)


@PreTrainedConfig.register_subclass("action_images")
@dataclass
class ActionImagesConfig(PreTrainedConfig):
    """A policy that draws its plan into calibrated camera views and reads it back as tool poses."""

    models: str = NEW
    """Source of plans: new (models that lerobot-train makes), shipped, a folder of models, or a server's
    address, ws://HOST:PORT (action-images serve). A saved policy has its own models."""
    recipe: str = "debug"
    """The recipe of action-images for making and training new models: debug, tiny, base."""
    views: list[str] = field(default_factory=list)
    """The views shown to the models, in this order; all if none is named."""
    cameras_file: str | None = None
    """A cameras file (action-images calibrate) for robots and sets whose observations have no cameras. Its
    content is kept in the saved policy."""
    urdf: str | None = None
    """The robot's URDF, if its state and actions are joint angles: poses are computed from and to them."""
    tool_frame: str = "gripper_frame_link"
    """The tool's frame in the URDF."""
    joint_names: list[str] = field(default_factory=list)
    """The joints of the URDF in the order of the state, without the gripper, which is last."""
    gripper_range: tuple[float, float] = (0.0, 100.0)
    """The gripper's number when it is closed, and when it is open."""

    control_hz: float = 20.0
    """Control steps a second of the robot or environment, and rows a second of a plan."""
    n_action_steps: int = 16
    """Control steps of a plan that are carried out before the next one is requested."""
    settle: int = 6
    """After the gripper has switched, no new plan is requested for this many control steps."""
    workspace: list[float] | None = None
    """Corners of the box in which the tool must stay: x y z of the low one, x y z of the high one (m,
    world). The shipped models' is the table's; no box for others if not given."""
    min_confidence: float | None = None
    """The confidence (0 to 1) below which a pose is not driven to; if not given 0.1, 0 for `shipped`."""
    max_speed: float = 1.0
    """Speed limit of the tool, m/s; faster commands are slowed down, or refused."""
    max_turning_speed: float = 4.0
    """Limit of the tool's turning speed, rad/s."""

    sampling: str | None = None
    """The name of the sampling; the models' own if not given."""
    mode: str = "policy"
    """policy: generate the actions alone; joint: the video too."""
    seed: int = 0
    """Seed of the policy's noise."""
    best_of: int = 1
    """Number of plans to make, of which the one with the highest confidence is taken."""
    dtype: str = "float32"
    """dtype of the transformer and the language model: float32, bfloat16."""
    save_predicted_video: bool = False
    """In lerobot-eval: write the generated images, the views side by side, beside the film of the trial."""

    stride: int = 4
    """Learning: a clip takes every n-th frame of the data set. About 5 frames a second is best."""
    num_frames: int | None = None
    """Learning: frames of a clip, 1 + 4 n; the models' own if not given."""
    size: tuple[int, int] | None = None
    """Learning: height and width (px) of the clips; pictures and cameras are fitted to them."""
    num_views: int = 2
    """Learning: number of cameras in each sample, drawn from the views."""
    modes: dict[str, float] = field(default_factory=lambda: {"policy": 1.0})
    """Learning: weights of the modes (docs/training.md); one is drawn for each sample."""
    drop_text: float = 0.05
    """Learning: probability that a sample's instruction is dropped."""
    ema_decay: float = 0.99
    """Learning: decay of the average of the weights, which is used to plan; 0 takes the last weights."""
    optimizer_lr: float = 3e-3
    optimizer_weight_decay: float = 0.01
    optimizer_grad_clip_norm: float = 1.0
    scheduler_warmup_steps: int = 30
    scheduler_decay_steps: int = 30_000

    normalization_mapping: dict[str, NormalizationMode] = field(default_factory=identity)
    """All IDENTITY: LeRobot treats camera columns as a state, and would normalise them."""
    action_feature_names: list[str] = field(default_factory=lambda: list(TOOL_NAMES))
    """The names of an action's numbers, the axes of `predict_action_chunk`; m, in the world's frame."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workspace is not None and len(self.workspace) != 6:
            raise ActionImagesError(
                f"--policy.workspace is six numbers, the low and the high corner in m, not {self.workspace}"
            )
        if self.urdf is not None and not self.joint_names:
            raise ActionImagesError(
                "--policy.urdf: say which joints the state has, the gripper left out: "
                "--policy.joint_names='[shoulder_pan, shoulder_lift, ...]'"
            )
        changed = [
            key for key, how in self.normalization_mapping.items() if how != NormalizationMode.IDENTITY
        ]
        if changed:
            raise ActionImagesError(
                f"normalization_mapping: {', '.join(changed)} must be IDENTITY; cameras, poses and pixels "
                "are "
                "shown to the models as they are"
            )

    @property
    def is_served(self) -> bool:
        """Whether plans come from a server."""
        return self.models.startswith(SERVERS)

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        if self.num_frames is not None:
            return self.num_frames
        from lerobot_policy_action_images.learning import usual_clips

        return usual_clips(self)[1]

    @property
    def observation_delta_indices(self) -> list[int] | None:
        """The frames of a clip, from the first one on; None if nothing can be trained."""
        if self.is_served:
            return None
        return [frame * self.stride for frame in range(self.clip_frames)]

    @property
    def action_delta_indices(self) -> list[int] | None:
        """The commands at the clip's later frames; an action is the command for the frame after it."""
        if self.is_served:
            return None
        return [frame * self.stride - 1 for frame in range(1, self.clip_frames)]

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""
        return None

    @property
    def drop_n_last_frames(self) -> int:
        """The number of last frames at which no whole clip begins."""
        return 0 if self.is_served else (self.clip_frames - 1) * self.stride

    def get_optimizer_preset(self) -> AdamWConfig:
        """AdamW as in the recipes; only weights of layers decay."""
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=(0.9, 0.95),
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> CosineDecayWithWarmupSchedulerConfig:
        """A rise, then a fall to zero at the end."""
        return CosineDecayWithWarmupSchedulerConfig(
            num_warmup_steps=self.scheduler_warmup_steps,
            num_decay_steps=self.scheduler_decay_steps,
            peak_lr=self.optimizer_lr,
            decay_lr=0.0,
        )

    def validate_features(self) -> None:
        """Raise ActionImagesError for fewer than two views, and for actions that are no tool poses."""
        action = (self.output_features or {}).get(ACTION)
        if action is not None and self.urdf is None:
            check_action_count(action.shape[-1])
        views_of(self.image_features, self.views)

    def set_dataset_feature_metadata(self, features: dict[str, Any]) -> None:
        """Check LeRobot's metadata of a data set; raise ActionImagesError if actions are not tool poses."""
        check_action(features, "the data set")

    def _save_pretrained(self, save_directory: Path) -> None:
        path, self.pretrained_path = self.pretrained_path, None
        super()._save_pretrained(save_directory)
        self.pretrained_path = path
