"""DeepSpeed's ZeRO, stages 1 and 2: every process holds the weights, and a share of the optimizer's state (stage 2: of the gradients)."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DeepSpeedPlugin
from torch import Tensor, nn

from action_images.errors import ActionImagesError

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW remembers of a parameter."""


def wanted() -> bool:
    """Whether this process was launched for DeepSpeed; accelerate forgets it on CPUs."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def check_wanted() -> None:
    """Raise ValueError for what cannot be saved here, and ModuleNotFoundError where DeepSpeed (extra `deepspeed`) is missing."""
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
            f"DeepSpeed's ZeRO {said} cannot be saved here; take stage 1 or 2 without offloading (training/configs/deepspeed.yaml), "
            "or share the weights too, with FSDP2: training/configs/fsdp2.yaml"
        )


def _settings() -> dict[str, Any]:
    """What accelerate's config, or the DeepSpeed file that it names, says of ZeRO."""
    return DeepSpeedPlugin().deepspeed_config["zero_optimization"]


def prepare(
    accelerator: Accelerator, network: nn.Module, optimizer: torch.optim.Optimizer, clip_gradient: float
) -> Any:
    """The engine that runs `network` and takes the optimizer's steps; everything stays in the precision that it has.

    Not by way of accelerate, which takes a step inside of `backward`, before the loss has been looked at, and casts weights.
    """
    import deepspeed

    engine, *_ = deepspeed.initialize(
        model=network,
        optimizer=optimizer,
        config={
            "zero_optimization": {
                "stage": _settings()["stage"],
                "overlap_comm": accelerator.device.type != "cpu",
            },
            "zero_allow_untested_optimizer": True,
            "gradient_clipping": clip_gradient,
            # A batch is as many passes as the loop makes: `step` ends it.
            "managed_gradient_accumulation": False,
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "steps_per_print": 1 << 60,
        },
    )
    return engine


class ZeroState:
    """The optimizer's state by parameter, gathered from the shares of all processes; see `checkpoint.OptimizerState`."""

    def __init__(self, engine: Any) -> None:
        self._zero = engine.optimizer
        self._shares = [
            self._zero.optimizer.state[share] for share in self._zero.single_partition_of_fp32_groups
        ]
        # Before the first step, as AdamW would begin. Then parameters learn where in the shares their own state lies:
        # DeepSpeed itself does so when the first of several groups has taken its step, and finds nothing of the others.
        for share, state in zip(self._zero.single_partition_of_fp32_groups, self._shares, strict=True):
            state |= {
                "step": torch.zeros((), device=share.device),
                **{key: torch.zeros_like(share) for key in MOMENTS},
            }
        self._zero._lazy_init_hp_params_optimizer_state()

    def of(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        """Whole; every process takes part."""
        from deepspeed.utils import safe_get_full_optimizer_state

        moments: dict[str, Any] = {key: safe_get_full_optimizer_state(parameter, key) for key in MOMENTS}
        return {"step": self._shares[0]["step"].clone(), **moments}

    def put(self, states: Mapping[nn.Parameter, Mapping[str, Tensor]]) -> None:
        """Also takes over the weights as they are now."""
        from deepspeed.utils import safe_set_full_optimizer_state

        self._zero.refresh_fp32_params()
        for parameter, state in states.items():
            for share in self._shares:
                share["step"].copy_(state["step"])
            for key in MOMENTS:
                safe_set_full_optimizer_state(parameter, state[key].to(parameter.device), key)
