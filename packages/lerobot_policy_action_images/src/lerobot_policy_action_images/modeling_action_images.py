"""`ActionImagesPolicy`: LeRobot's way to ask models of action-images, in this process or on a server."""

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
from lerobot_policy_action_images.columns import views_of
from lerobot_policy_action_images.configuration_action_images import MODELS_FOLDER, NEW, ActionImagesConfig
from lerobot_policy_action_images.observations import WITH_MATRIX, Batch, observations_of, sample_of
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
    """Plans are imagined as action images in calibrated views, and read back as absolute tool poses.

    A row of an action is x y z (m, world), a unit quaternion x y z w and the gripper's opening (0 closed, 1
    open). `select_action` follows plans within guard rails, as `action-images evaluate` does; a plan is
    averaged over augmented views inside `predict_action_chunk`, and no history is needed.

    A saved policy is a folder with `models/`, as action-images reads it (the average of the weights), and
    `model.safetensors`, the weights as training left them.
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
        """`dataset_meta` is LeRobot's, of the set to learn from; `models` a folder, not the config's."""
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
        """Models whose weights are this policy's parameters: new ones for a set, or the folder's."""
        from lerobot_policy_action_images import learning

        config = self.config
        if self._folder == NEW:
            models = learning.models_for(config, dataset)
        else:
            models = _loaded(self._folder)
            if dataset is not None:
                learning.check_pace(config, float(dataset.fps), models.clips)
        assert models.clips is not None
        config.size, config.num_frames = models.clips.size, models.clips.num_frames
        self._held = {"models": models, "recipe": learning.recipe_of(config, Path("lerobot"), self._views)}
        # The network alone is a parameter of this module: its weights are what learns.
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
            # Planned by a server or by shipped models: there are no weights, and LeRobot looks for the file.
            super_weights = save_directory / WEIGHTS
            _write_weights(super_weights, {"none": torch.zeros(0)})
            return
        with self._averaged() as models:
            models.save(save_directory / MODELS_FOLDER)
        weights = self.state_dict() if state_dict is None else state_dict
        _write_weights(save_directory / WEIGHTS, weights)

    def get_optim_params(self) -> list[dict[str, Any]]:
        """What learns; only weights of layers decay, no biases, norms, tables or embeddings."""
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
        """Forget the trial: the next observation is the first of another one."""
        self._arms: list[Arm] = []
        self.last_predicted_latents = None

    def forward(self, batch: Batch, reduction: str = "mean") -> tuple[Tensor, dict[str, float] | None]:
        """The loss of a batch of clips (see `config.observation_delta_indices`), and what is to be logged."""
        from lerobot_policy_action_images import learning

        if reduction != "mean":
            raise ActionImagesError("weights of samples (sample_weighting) are not known to this policy")
        models, recipe = self._learning()
        sample = sample_of(batch, self._views, recipe.size)
        # LeRobot's seed decides, on whatever device the models are.
        seed = int(torch.randint(1 << 62, ()).item())
        return learning.loss_of(models, recipe, sample, seed)

    def update(self) -> None:
        """LeRobot calls this after each step of the optimizer: the average follows the weights."""
        if (ema := self._held.get("ema")) is not None:
            ema.update()

    @torch.no_grad()
    def predict_action_chunk(self, batch: Batch, **_: Any) -> Tensor:
        """(b frame 8): all of each robot's plan, a row a control step, from the step after the observation
        on.

        The axes are `config.action_feature_names`. Rows that the plan is not sure of repeat the row before.
        No guard rail is asked: what drives the arm has its own.
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
        """(b 8): what each arm is told now."""
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
        """What was imagined as LeRobot films it: (frame h w 3) uint8 from (1 3 frame h w) in [0, 1]."""
        return video[0].permute(1, 2, 3, 0).mul(255).round().clamp(0, 255).to(torch.uint8)

    def _keep(self, plan: Plan | None) -> None:
        """For `save_predicted_video`: views side by side, action images below the videos."""
        if plan is None or not self.config.save_predicted_video:
            return
        shown = [images for images in (plan.video, plan.action_images) if images is not None]
        if shown:
            rows = [torch.cat(list(images), -1) for images in shown]
            frames = min(len(row) for row in rows)
            self.last_predicted_latents = torch.cat([row[:frames] for row in rows], -2).transpose(0, 1)[None]

    def _planner(self) -> Policy:
        """What plans: the weights of now, their average where there is one, or somebody else's."""
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
        """Models and recipe, on their device and ready to learn; the average begins with the first batch."""
        from action_images.training.ema import EMA

        if "models" not in self._held:
            raise ActionImagesError(f"--policy.models={self.config.models} learns nothing here")
        models = self._held["models"]
        self._move(models)
        if torch.is_grad_enabled() and "ema" not in self._held:
            self._held["ema"] = EMA(self.transformer, self.config.ema_decay or None)
            if self._raw_weights is not None:
                # Taken up again: the average goes on from what was saved, the weights from where they were.
                raw = load_file(self._raw_weights)
                self.load_state_dict(raw, strict=False)
                logging.info("learning goes on from the weights of %s", self._raw_weights)
        return models, self._held["recipe"]

    def _averaged(self) -> Any:
        """The models with the average in the place of the last weights, while this lasts."""
        return _Averaged(self._held["models"], self._held.get("ema"))

    def _move(self, models: Any) -> None:
        """Autoencoder and text to where LeRobot has put the network."""
        device = self.transformer.device
        if self._held.get("device") != device:
            models.others_to(device)
            self._held["device"] = device


def _has_matrix(batch: Batch) -> bool:
    """Whether poses are told with a matrix: an answer is told as the state is."""
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
