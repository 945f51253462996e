"""`--policy.type=action_images`: where the models are, how they plan, how they learn."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot.configs import NormalizationMode, PreTrainedConfig
from lerobot.optim import AdamWConfig
from lerobot.optim.schedulers import CosineDecayWithWarmupSchedulerConfig

from action_images.episodes.lerobot_layout import TOOL_NAMES
from action_images.errors import ActionImagesError
from lerobot_policy_action_images.columns import check_action, views_of

SERVERS = ("ws://", "wss://")
NEW = "new"
MODELS_FOLDER = "models"
"""Where a saved policy keeps its models, as `action-images` reads them."""


def identity() -> dict[str, NormalizationMode]:
    """Nothing is normalised: pixels stay in [0, 1], and cameras and poses are metres and pixels."""
    return dict.fromkeys(("VISUAL", "STATE", "ENV", "ACTION"), NormalizationMode.IDENTITY)


@PreTrainedConfig.register_subclass("action_images")
@dataclass
class ActionImagesConfig(PreTrainedConfig):
    """A policy that draws its plan into calibrated camera views and reads it back as tool poses."""

    models: str = NEW
    """Where plans come from: new (models that lerobot-train makes), shipped, a folder of models, or a
    server's address, ws://HOST:PORT (action-images serve). A policy that was saved brings its own."""
    recipe: str = "debug"
    """Of which recipe of action-images new models are made and learn: debug, tiny, base."""
    views: list[str] = field(default_factory=list)
    """The views that are shown to the models, in this order; all where none is named."""
    cameras_file: str | None = None
    """A cameras file (action-images calibrate) for robots and sets whose observations have no cameras. Its
    content is kept in the saved policy."""
    urdf: str | None = None
    """The robot's URDF, where its state and actions are joint angles: poses are computed from and to them."""
    tool_frame: str = "gripper_frame_link"
    """The tool's frame in the URDF."""
    joint_names: list[str] = field(default_factory=list)
    """The joints of the URDF in the order of the state, without the gripper, which is last."""
    gripper_range: tuple[float, float] = (0.0, 100.0)
    """What the gripper's number is when it is closed, and when it is open."""

    control_hz: float = 20.0
    """Control steps a second of the robot or environment: a plan has so many rows a second."""
    n_action_steps: int = 16
    """Control steps of a plan that are carried out before the next one is asked for."""
    settle: int = 6
    """After the gripper has switched, no new plan is asked for within so many control steps."""
    workspace: list[float] | None = None
    """Corners of the box in which the tool must stay: x y z of the low one, x y z of the high one (m,
    world). The shipped models' is the table's; no box for others if not given."""
    min_confidence: float | None = None
    """The confidence (0 to 1) below which a pose is not driven to; if not given 0.1, 0 for `shipped`."""
    max_speed: float = 1.0
    """Of the tool, m/s; what is asked faster is slowed down, or refused."""
    max_turning_speed: float = 4.0
    """Of the tool, rad/s."""

    sampling: str | None = None
    """How to sample, by name; the models' own if not given."""
    mode: str = "policy"
    """policy: imagine the actions alone; joint: the video besides."""
    seed: int = 0
    """Of the policy's noise."""
    best_of: int = 1
    """Plan so many times and take the surest plan."""
    dtype: str = "float32"
    """Of the transformer and the language model: float32, bfloat16."""
    save_predicted_video: bool = False
    """In lerobot-eval: write what was imagined, the views side by side, beside the film of what happened."""

    stride: int = 4
    """Learning: every so many frames of the data set one is a clip's. About 5 frames a second is best."""
    num_frames: int | None = None
    """Learning: frames of a clip, 1 + 4 n; the models' own if not given."""
    size: tuple[int, int] | None = None
    """Learning: height and width (px) of the clips; pictures are fitted to them, cameras alike."""
    num_views: int = 2
    """Learning: cameras in each sample, drawn from the views."""
    modes: dict[str, float] = field(default_factory=lambda: {"policy": 1.0})
    """Learning: weights of the modes (docs/training.md); one is drawn for each sample."""
    drop_text: float = 0.05
    """Learning: probability that a sample's instruction is taken away."""
    ema_decay: float = 0.99
    """Learning: of the average of the weights, which is what plans; 0 takes the last weights."""
    optimizer_lr: float = 3e-3
    optimizer_weight_decay: float = 0.01
    optimizer_grad_clip_norm: float = 1.0
    scheduler_warmup_steps: int = 30
    scheduler_decay_steps: int = 30_000

    normalization_mapping: dict[str, NormalizationMode] = field(default_factory=identity)
    """All IDENTITY: LeRobot takes camera columns for a state, and would normalise them."""
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
        """The frames of a clip, from the first one on; none where nothing can learn."""
        if self.is_served:
            return None
        return [frame * self.stride for frame in range(self.clip_frames)]

    @property
    def action_delta_indices(self) -> list[int] | None:
        """What the arm was told at the clip's later frames: an action is told for the frame after it."""
        if self.is_served:
            return None
        return [frame * self.stride - 1 for frame in range(1, self.clip_frames)]

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""
        return None

    @property
    def drop_n_last_frames(self) -> int:
        """Where no whole clip begins any more."""
        return 0 if self.is_served else (self.clip_frames - 1) * self.stride

    def get_optimizer_preset(self) -> AdamWConfig:
        """AdamW as the recipes have it; only weights of layers decay."""
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=(0.9, 0.95),
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> CosineDecayWithWarmupSchedulerConfig:
        """A rise, then a fall to nothing at the end."""
        return CosineDecayWithWarmupSchedulerConfig(
            num_warmup_steps=self.scheduler_warmup_steps,
            num_decay_steps=self.scheduler_decay_steps,
            peak_lr=self.optimizer_lr,
            decay_lr=0.0,
        )

    def validate_features(self) -> None:
        """Raise ActionImagesError where there are fewer than two views."""
        views_of(self.image_features, self.views)

    def set_dataset_feature_metadata(self, features: dict[str, Any]) -> None:
        """What LeRobot tells of a data set: raise ActionImagesError where its actions are no tool poses."""
        check_action(features, "the data set")

    def _save_pretrained(self, save_directory: Path) -> None:
        path, self.pretrained_path = self.pretrained_path, None
        super()._save_pretrained(save_directory)
        self.pretrained_path = path
