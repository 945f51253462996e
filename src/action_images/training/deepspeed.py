"""DeepSpeed's ZeRO, stages 1 and 2.

Every process holds all weights and a share of the optimizer's state (stage 2: also of the gradients).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DeepSpeedPlugin
from torch import Tensor, nn
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.model.denoiser import CanvasDenoiser
from action_images.training.engine import cast_passes
from action_images.training.optimizer import build_optimizer
from action_images.training.recipe import Recipe

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's state of a parameter."""


def wanted() -> bool:
    """Whether this process was launched for DeepSpeed, which accelerate ignores on CPUs."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def check_wanted() -> None:
    """Raise ValueError for settings that cannot be saved here, ModuleNotFoundError without DeepSpeed."""
    import deepspeed  # noqa: F401

    settings = _settings()
    moved = {
        str(settings.get(part, {}).get("device", "none")) for part in ("offload_optimizer", "offload_param")
    } - {"none"}
    if settings.get("stage") not in (1, 2) or moved:
        said = f"stage {settings.get('stage')}" + (
            f" with offloading to {', '.join(sorted(moved))}" if moved else ""
        )
        raise ActionImagesError(
            f"DeepSpeed's ZeRO {said} cannot be saved here; "
            "take stage 1 or 2 without offloading (training/configs/deepspeed.yaml), "
            "or share the weights too, with FSDP2: training/configs/fsdp2.yaml"
        )


def _settings() -> dict[str, Any]:
    """The settings of ZeRO in accelerate's config, or in the DeepSpeed file that it names."""
    return DeepSpeedPlugin().deepspeed_config["zero_optimization"]


@dataclass
class DeepSpeedEngine:
    """DeepSpeed's own engine, which takes the steps too; see `engine.Engine`.

    It is not made by accelerate, which takes a step inside `backward`, before the loss is checked, and casts
    the weights. Here everything keeps its precision.
    """

    accelerator: Accelerator
    network: CanvasDenoiser
    module: Any
    state: "DeepSpeedState"
    recipe: Recipe

    one_sample_a_pass = True
    sharded = False

    @classmethod
    def around(cls, network: CanvasDenoiser, accelerator: Accelerator, recipe: Recipe) -> Self:
        """An engine for a denoiser whose trainable parameters are marked."""
        import deepspeed

        cast_passes(network, accelerator, recipe)
        zero = {"stage": _settings()["stage"], "overlap_comm": accelerator.device.type != "cpu"}
        engine, *_ = deepspeed.initialize(
            model=network,
            optimizer=build_optimizer(network, recipe),
            config={
                "zero_optimization": zero,
                "zero_allow_untested_optimizer": True,
                "gradient_clipping": recipe.clip_gradient,
                # A batch has any number of passes; `step` ends it.
                "managed_gradient_accumulation": False,
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "steps_per_print": 1 << 60,
            },
        )
        return cls(accelerator, network, engine, DeepSpeedState(engine), recipe)

    @property
    def optimizer(self) -> Any:
        """The optimizer with the groups of parameters."""
        return self.module.optimizer

    def accumulate(self, compute: Callable[[], Tensor], *, last: bool) -> Tensor:  # noqa: ARG002
        """See `engine.Engine`."""
        loss = compute()
        self.module.backward(loss)
        return loss.detach()

    def update(self, loss: float) -> float:  # noqa: ARG002
        """See `engine.Engine`; DeepSpeed itself takes no step if the norm is not finite."""
        self.module.step()
        return float(self.module.get_global_grad_norm())


class DeepSpeedState:
    """The optimizer's state by parameter, gathered from the shares of all processes.

    See `checkpoint.OptimizerState`.
    """

    def __init__(self, engine: Any) -> None:
        self._zero = engine.optimizer
        self._shares = [
            self._zero.optimizer.state[share] for share in self._zero.single_partition_of_fp32_groups
        ]
        # Before the first step, the state is that of a new AdamW. Then parameters are mapped to their state
        # in the shares. DeepSpeed does that only after the step of the first of several groups, and finds
        # nothing of the others.
        for share, state in zip(self._zero.single_partition_of_fp32_groups, self._shares, strict=True):
            state |= {
                "step": torch.zeros((), device=share.device),
                **{key: torch.zeros_like(share) for key in MOMENTS},
            }
        self._zero._lazy_init_hp_params_optimizer_state()

    def of(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        """The whole state of a parameter; every process takes part."""
        from deepspeed.utils import safe_get_full_optimizer_state

        moments: dict[str, Any] = {key: safe_get_full_optimizer_state(parameter, key) for key in MOMENTS}
        return {"step": self._shares[0]["step"].clone(), **moments}

    def put(self, states: Mapping[nn.Parameter, Mapping[str, Tensor]]) -> None:
        """Restore the state, and take over the current weights."""
        from deepspeed.utils import safe_set_full_optimizer_state

        self._zero.refresh_fp32_params()
        for parameter, state in states.items():
            for share in self._shares:
                share["step"].copy_(state["step"])
            for key in MOMENTS:
                safe_set_full_optimizer_state(parameter, state[key].to(parameter.device), key)
