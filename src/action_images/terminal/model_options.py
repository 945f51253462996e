"""Which models a command runs, where and how, as its options."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenModels

if TYPE_CHECKING:
    from action_images.inference.clip_generator import ClipGenerator


@dataclass(frozen=True)
class ModelOptions:
    """The models, and where and how they run."""

    model: GivenModels = "shipped"
    """Folder of saved models, or shipped, which know the embedded world alone."""
    sampling: str | None = None
    """How to sample, by name (docs/model.md); the models' own if not given."""
    device: str = "cpu"
    """Where the models run, such as cuda or cpu."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the transformer and the language model."""

    @property
    def folder(self) -> Path:
        """The folder of the models."""
        from action_images.model.shipped import models_folder

        return models_folder(self.model)

    def resolved(self) -> Self:
        """The same with the folder's whole path, for workers that may stand in another one."""
        return replace(self, model=str(self.folder.resolve()))

    @property
    def name(self) -> str:
        """What the models are called in results."""
        from action_images.model.shipped import models_name

        return models_name(self.model, self.dtype)

    def generator(self) -> "ClipGenerator":
        """The models, loaded and ready to generate clips."""
        import torch

        from action_images.inference.clip_generator import ClipGenerator

        device = checked_device(self.device)
        return ClipGenerator.load(self.folder, device, self.sampling, getattr(torch, self.dtype))


def checked_device(name: str) -> str:
    """The same name; raises ActionImagesError where this machine has no such device."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ActionImagesError(
            f"--device {name}: there is no such device; give cpu, cuda or cuda:1"
        ) from error
    num_devices = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= num_devices:
        raise ActionImagesError(
            f"--device {name}: torch sees {num_devices} CUDA devices on this machine; "
            "give --device cpu, or see that torch was installed for CUDA and the driver works"
        )
    return name
