"""Options of a command that choose models, where they run and how."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import Self

from action_images.terminal.paths import GivenModels

if TYPE_CHECKING:
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.model.bundle import Models


@dataclass(frozen=True)
class ModelOptions:
    """The models, and where and how they run."""

    model: GivenModels = "shipped"
    """Folder of saved models, or shipped, which know the embedded world alone."""
    sampling: str | None = None
    """Name of the sampling (docs/model.md); the models' own if not given."""
    device: str = "auto"
    """Where the models run: cuda, cuda:1, mps, cpu, or auto for the first one available."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the transformer and the language model; auto takes what is fast on the device."""
    compiled: bool = False
    """Compile the network's blocks (torch.compile): the first clip is slow, and last digits differ."""
    shared_by: int = 1
    """How many cards share the tokens of each clip (docs/scale.md); on the CPU, how many processes."""

    def placed(self, *, on_cluster: bool = False) -> Self:
        """The options with an available device and dtype, printed on stderr; see `placing.placed`."""
        from action_images.terminal.placing import placed

        return placed(self, on_cluster=on_cluster)

    @property
    def folder(self) -> Path:
        """The folder of the models."""
        from action_images.model.shipped import models_folder

        return models_folder(self.model)

    def resolved(self) -> Self:
        """The options with the folder's absolute path, for workers in another working directory."""
        return replace(self, model=str(self.folder.resolve()))

    @property
    def name(self) -> str:
        """The name of the models in results."""
        from action_images.model.shipped import models_name

        return models_name(self.model, self.dtype)

    def load(self) -> "Models":
        """The models, on their device."""
        from action_images.device import place_of
        from action_images.model.bundle import Models

        place = place_of(self.device, self.dtype)
        return Models.load(self.folder, place.dtype).to(place.device)

    def generator(self) -> "ClipGenerator":
        """The models, loaded and ready to generate clips."""
        from action_images.inference.clip_generator import ClipGenerator

        return ClipGenerator.load(
            self.folder,
            self.device,
            self.sampling,
            self.dtype,
            compiled=self.compiled,
            shared_by=self.shared_by,
        )
