"""Passes and optimizer steps: in one process, in copies of the model, or with a sharded model (FSDP2)."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from typing_extensions import Self

from action_images.device import number_of
from action_images.model.bundle import Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.training.checkpoint import OptimizerState, TorchState
from action_images.training.optimizer import build_optimizer, choose_trainable
from action_images.training.recipe import Recipe


@runtime_checkable
class Engine(Protocol):
    """The interface for the differences between one process, several copies, FSDP2 and DeepSpeed."""

    network: CanvasDenoiser
    """The denoiser itself, which has the parameters."""
    module: Any
    """The denoiser as it is called in training; with many processes an nn.Module around `network`."""
    optimizer: Any
    state: OptimizerState
    sharded: bool
    """Whether the weights are sharded over several processes."""
    one_sample_a_pass: bool
    """Whether all processes must make the same number of passes, so that each pass has one sample."""

    def accumulate(self, compute: Callable[[], Tensor], *, last: bool) -> Tensor:
        """Add the gradient of the loss from `compute`; returns the loss.

        `last` marks the step's last pass.
        """
        ...

    def update(self, loss: float) -> float:
        """Take the optimizer's step; returns the gradient's norm.

        Takes no step if the norm is not finite.
        """
        ...


@dataclass
class TorchEngine:
    """PyTorch's optimizer on the network as prepared by accelerate."""

    accelerator: Accelerator
    network: CanvasDenoiser
    module: Any
    optimizer: Any
    state: OptimizerState
    recipe: Recipe

    @classmethod
    def around(cls, network: CanvasDenoiser, accelerator: Accelerator, recipe: Recipe) -> Self:
        """An engine for a denoiser whose trainable parameters are marked."""
        module, optimizer = accelerator.prepare(network, build_optimizer(network, recipe))
        unwrapped = accelerator.unwrap_model(module)
        assert isinstance(unwrapped, CanvasDenoiser)
        network = unwrapped
        if isinstance(module, FSDPModule):
            # accelerate casts in copies of the model, but not in a sharded one.
            cast_passes(network, accelerator, recipe)
        return cls(accelerator, network, module, optimizer, TorchState(optimizer.optimizer), recipe)

    @property
    def sharded(self) -> bool:
        """Whether the weights are sharded over several processes."""
        return isinstance(self.module, FSDPModule)  # accelerate ignores FSDP on CPUs

    @property
    def one_sample_a_pass(self) -> bool:
        """Sharded weights are gathered in every pass."""
        return self.sharded

    def accumulate(self, compute: Callable[[], Tensor], *, last: bool) -> Tensor:
        """See `Engine`."""
        with self._synced(last=last):
            loss = compute()
            self.accelerator.backward(loss)
        return loss.detach()

    def update(self, loss: float) -> float:
        """See `Engine`; it also takes no step if the loss is not finite."""
        clipped = self.accelerator.clip_grad_norm_(self.module.parameters(), self.recipe.clip_gradient)
        assert isinstance(clipped, Tensor)
        # With FSDP2 the norm is a DTensor.
        whole_norm = clipped.full_tensor() if isinstance(clipped, DTensor) else clipped
        norm = number_of(whole_norm, "gradient norm")
        if math.isfinite(loss) and math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _synced(self, *, last: bool) -> AbstractContextManager[Any]:
        """Copies share their gradients in the last pass; shards do so in each, as whole gradients would not
        fit."""
        return nullcontext() if last or self.sharded else self.accelerator.no_sync(self.module)


def engine_of(models: Models, accelerator: Accelerator, recipe: Recipe) -> Engine:
    """Move the models to their devices, mark the trainable weights, and make the engine."""
    from action_images.training import deepspeed  # it builds on this file

    transformer = models.denoiser.transformer
    choose_trainable(transformer, recipe)
    if recipe.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if accelerator.distributed_type is DistributedType.FSDP:
        # FSDP moves weights to the GPUs block by block, as all together might not fit.
        models.others_to(accelerator.device)
    else:
        models.to(accelerator.device)
    models.denoiser.train()
    engine: Any = deepspeed.DeepSpeedEngine if deepspeed.wanted() else TorchEngine
    return engine.around(models.denoiser, accelerator, recipe)


def cast_passes(network: CanvasDenoiser, accelerator: Accelerator, recipe: Recipe) -> None:
    """Run every pass of a network in the recipe's precision, in training and in validation."""
    if recipe.mixed_precision == "bf16":
        network.forward = torch.autocast(accelerator.device.type, torch.bfloat16)(network.forward)
