"""`ActionImagesPolicy`: models of action-images as a LeRobot policy, in this process or on a server."""

import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from lerobot.policies.pretrained import PreTrainedPolicy
from safetensors.torch import load_file
from torch import Tensor

from action_images.episodes.lerobot_layout import STATE
from action_images.errors import ActionImagesError
from action_images.robot import Plan, Policy
from lerobot_policy_action_images.columns import WITH_MATRIX, views_of
from lerobot_policy_action_images.configuration_action_images import MODELS_FOLDER, NEW, ActionImagesConfig
from lerobot_policy_action_images.observations import Batch, observations_of, sample_of
from lerobot_policy_action_images.plans import (
    SHIPPED,
    Arm,
    chunk_of,
    guard,
    models_here,
    plan_of,
    planner,
)

WEIGHTS = "model.safetensors"
IS_FOLDER = (1 << 31) - 1


class ActionImagesPolicy(PreTrainedPolicy):
    """Generates plans as action images in calibrated views, and reads them as absolute tool poses.

    A row of an action is x y z (m, world), a unit quaternion x y z w and the gripper's opening (0 closed, 1
    open). `select_action` follows plans within guard rails, as `action-images evaluate` does. A plan is
    averaged over augmented views inside `predict_action_chunk`, and no history is needed.

    A saved policy is a folder with `models/`, in the format of action-images (the average of the weights),
    and `model.safetensors`, the last weights of training.
    """

    config_class = ActionImagesConfig
    name = "action_images"
    config: ActionImagesConfig

    def __init__(
        self,
        config: ActionImagesConfig,
        dataset_stats: dict[str, dict[str, Tensor]] | None = None,  # noqa: ARG002 nothing is normalised
        dataset_meta: Any = None,
        *,
        models: Path | None = None,
    ):
        """`dataset_meta` is LeRobot's, of the training set; `models` is a folder in place of the config's."""
        super().__init__(config)
        config.validate_features()
        self.last_predicted_latents: Tensor | None = None
        self._views = views_of(config.image_features, config.views)
        self._held: dict[str, Any] = {}
        self._raw_weights: Path | None = None
        self._folder = str(models) if models is not None else config.models
        with nullcontext() if config.is_served else models_here():
            if not config.is_served and (dataset_meta is not None or models is not None):
                self._open(dataset_meta)
            elif config.models == NEW:
                raise ActionImagesError(
                    "new models are made by lerobot-train from a data set; to plan, give "
                    "--policy.path=FOLDER of a "
                    "saved policy, --policy.models=shipped, a folder of models, or ws://HOST:PORT"
                )
        self.reset()

    def _open(self, dataset: Any) -> None:
        """Open models whose weights are this policy's parameters: new ones for a set, or the folder's."""
        from lerobot_policy_action_images import learning

        config = self.config
        if self._folder == NEW:
            models = learning.models_for(config, dataset)
        else:
            models = _loaded(self._folder)
            if dataset is not None:
                learning.check_pace(config, float(dataset.fps), models.clips)
                models = learning.continued(models, dataset)
        assert models.clips is not None
        config.size, config.num_frames = models.clips.size, models.clips.num_frames
        self._held = {"models": models, "recipe": learning.recipe_of(config, Path("lerobot"), self._views)}
        # Only the network is a submodule here, as only its weights are trained.
        self.transformer = models.denoiser.transformer
        self.transformer.requires_grad_(True)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: ActionImagesConfig | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> "ActionImagesPolicy":
        """The policy of a folder that `save_pretrained` wrote, or of a repository on the Hub."""
        known = {key: kwargs.pop(key, None) for key in ("force_download", "token", "cache_dir")}
        for key in ("resume_download", "proxies", "local_files_only", "strict"):
            kwargs.pop(key, None)
        folder = Path(pretrained_name_or_path)
        if not folder.is_dir():
            known = {key: value for key, value in known.items() if value is not None}
            folder = Path(snapshot_download(str(pretrained_name_or_path), revision=revision, **known))
        if config is None:
            config = ActionImagesConfig.from_pretrained(folder)
        models = folder / MODELS_FOLDER
        if config.is_served or not models.is_dir():
            if config.models == NEW:
                raise ActionImagesError(
                    f"{folder}: has no folder '{MODELS_FOLDER}', so it holds no policy; save it again"
                )
            policy = cls(config, **kwargs)
        else:
            policy = cls(config, models=models, **kwargs)
            raw = folder / WEIGHTS
            policy._raw_weights = raw if raw.is_file() else None
        policy.to(config.device)
        policy.eval()
        return policy

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        self.config._save_pretrained(save_directory)
        if "models" not in self._held:
            # A server or shipped models plan: there are no weights, but LeRobot looks for the file.
            super_weights = save_directory / WEIGHTS
            _write_weights(super_weights, {"none": torch.zeros(0)})
            return
        with self._averaged() as models:
            models.save(save_directory / MODELS_FOLDER)
        weights = self.state_dict() if state_dict is None else state_dict
        _write_weights(save_directory / WEIGHTS, weights)

    def get_optim_params(self) -> list[dict[str, Any]]:
        """The trained parameters; only weights of layers decay, not biases, norms, tables or embeddings."""
        from action_images.training.optimizer import LAYERS

        if "models" not in self._held:
            raise ActionImagesError(
                f"--policy.models={self.config.models} learns nothing here; leave it out for new models, "
                "or give "
                "a folder of models"
            )
        trained = [one for one in self.parameters() if one.requires_grad]
        decaying = {id(layer.weight) for layer in self.modules() if isinstance(layer, LAYERS)}
        others = [one for one in trained if id(one) not in decaying]
        weights = [one for one in trained if id(one) in decaying]
        return [{"params": weights}, {"params": others, "weight_decay": 0.0}]

    def reset(self) -> None:
        """Reset for a new trial: the next observation is its first."""
        self._arms: list[Arm] = []
        self.last_predicted_latents = None

    def forward(self, batch: Batch, reduction: str = "mean") -> tuple[Tensor, dict[str, float] | None]:
        """The loss of a batch of clips (see `config.observation_delta_indices`), and values to log."""
        from lerobot_policy_action_images import learning

        if reduction != "mean":
            raise ActionImagesError("weights of samples (sample_weighting) are not known to this policy")
        models, recipe = self._learning()
        sample = sample_of(batch, self._views, recipe.size)
        # LeRobot's seed decides, for any device of the models.
        seed = int(torch.randint(1 << 62, ()).item())
        return learning.loss_of(models, recipe, sample, seed)

    def update(self) -> None:
        """Update the average of the weights; LeRobot calls this after each step of the optimizer."""
        if (ema := self._held.get("ema")) is not None:
            ema.update()

    @torch.no_grad()
    def predict_action_chunk(self, batch: Batch, **_: Any) -> Tensor:
        """Each robot's whole plan (b frame 8), a row a control step, from the step after the observation on.

        The columns are `config.action_feature_names`. Rows of low confidence repeat the previous row. No
        guard rails apply, as the arm's driver has its own.
        """
        least = guard(self.config).min_confidence
        policy, chunks = self._planner(), []
        for observation in observations_of(batch, self._views):
            plan = plan_of(policy, observation)
            self._keep(plan)
            chunks.append(chunk_of(plan, observation, least, with_matrix=_has_matrix(batch)))
        lengths = sorted({len(chunk) for chunk in chunks})
        if len(lengths) > 1:
            raise ActionImagesError(
                f"plans of different lengths ({lengths}) make no chunk; ask for one at a time"
            )
        return torch.stack(chunks).to(self.config.device)

    @torch.no_grad()
    def select_action(self, batch: Batch, **_: Any) -> Tensor:
        """The current command of each arm (b 8)."""
        observations = observations_of(batch, self._views)
        if len(self._arms) != len(observations):
            planner, with_matrix = self._planner(), _has_matrix(batch)
            self._arms = [Arm(planner, self.config, with_matrix=with_matrix) for _ in observations]
        rows = []
        for arm, observation in zip(self._arms, observations, strict=True):
            row, plan = arm.act(observation)
            self._keep(plan)
            rows.append(row)
        return torch.stack(rows).to(self.config.device)

    def decode_predicted_latents(self, video: Tensor) -> Tensor:
        """Generated images in LeRobot's film format: (frame h w 3) uint8 from (1 3 frame h w) in [0, 1]."""
        return video[0].permute(1, 2, 3, 0).mul(255).round().clamp(0, 255).to(torch.uint8)

    def _keep(self, plan: Plan | None) -> None:
        """Keep the images for `save_predicted_video`: views side by side, action images below the videos."""
        if plan is None or not self.config.save_predicted_video:
            return
        shown = [images for images in (plan.video, plan.action_images) if images is not None]
        if shown:
            rows = [torch.cat(list(images), -1) for images in shown]
            frames = min(len(row) for row in rows)
            self.last_predicted_latents = torch.cat([row[:frames] for row in rows], -2).transpose(0, 1)[None]

    def _planner(self) -> Policy:
        """The planner: the current weights, their average if there is one, or other models."""
        if "models" not in self._held:
            if "planner" not in self._held:
                self._held["planner"] = planner(self.config, self._folder)
            return self._held["planner"]
        from action_images.policy import BestOf, GenerativePolicy

        config, models = self.config, self._held["models"]
        self._move(models)
        models.denoiser.eval()
        wanted = (
            ("video", "action") if config.mode == "joint" and config.save_predicted_video else ("action",)
        )
        settings: dict[str, Any] = {"mode": config.mode, "wanted": wanted, "seed": config.seed}
        policy = GenerativePolicy.of(models, control_hz=config.control_hz, **settings)
        return policy if config.best_of == 1 else BestOf(policy, config.best_of)

    def _learning(self) -> tuple[Any, Any]:
        """Models and recipe, on their device and ready to train; the average starts at the first batch."""
        from action_images.training.ema import EMA

        if "models" not in self._held:
            raise ActionImagesError(f"--policy.models={self.config.models} learns nothing here")
        models = self._held["models"]
        self._move(models)
        if torch.is_grad_enabled() and "ema" not in self._held:
            self._held["ema"] = EMA(self.transformer, self.config.ema_decay or None)
            if self._raw_weights is not None:
                # Resumed: the average continues from the saved one, and the weights from the last ones.
                raw = load_file(self._raw_weights)
                self.load_state_dict(raw, strict=False)
                logging.info("learning goes on from the weights of %s", self._raw_weights)
        return models, self._held["recipe"]

    def _averaged(self) -> Any:
        """The models with the average in place of the last weights, within this context."""
        return _Averaged(self._held["models"], self._held.get("ema"))

    def _move(self, models: Any) -> None:
        """Move autoencoder and text encoder to the network's device, which LeRobot has chosen."""
        device = self.transformer.device
        if self._held.get("device") != device:
            models.others_to(device)
            self._held["device"] = device


def _has_matrix(batch: Batch) -> bool:
    """Whether poses have a rotation matrix; actions have the format of the state."""
    return batch[STATE].shape[-1] == WITH_MATRIX


class _Averaged:
    def __init__(self, models: Any, ema: Any) -> None:
        self._models, self._place = models, nullcontext() if ema is None else ema.in_place()

    def __enter__(self) -> Any:
        self._place.__enter__()
        return self._models

    def __exit__(self, *error: Any) -> None:
        self._place.__exit__(*error)


def _loaded(folder: str) -> Any:
    from action_images.model.bundle import Models
    from action_images.model.shipped import models_folder

    where = models_folder(folder)
    if not where.is_dir():
        raise ActionImagesError(
            f"there is no folder of models '{folder}'; give one, {SHIPPED}, or ws://HOST:PORT"
        )
    return Models.load(where)


def _write_weights(path: Path, weights: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    whole = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    save_file(whole, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
