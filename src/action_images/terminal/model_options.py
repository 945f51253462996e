"""Options of a command that choose models, where they run and how."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from typing_extensions import Self

from action_images.errors import WeightsChanged
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
    holds: tyro.conf.Suppress[str] = ""
    """The contents that the folder must have, as `models_name` says; empty: any."""

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
        """The options with the folder's absolute path and its contents (`held`), for workers elsewhere and
        later."""
        folder = str(self.folder.resolve())
        return replace(self, model=folder, holds=self.holds or self._contents())

    def held(self) -> Self:
        """The options with the folder's contents now: a training may replace its models meanwhile."""
        return replace(self, holds=self._contents())

    def check_held(self) -> None:
        """Raise WeightsChanged if the folder's contents are no longer those that `holds` says."""
        if self.holds and (now := self._contents()) != self.holds:
            raise WeightsChanged(
                f"{self.folder}: now holds '{now}', no longer '{self.holds}', as a training replaces its "
                "models: copy the folder, and give the copy"
            )

    def _contents(self) -> str:
        from action_images.model.shipped import models_name

        return models_name(str(self.folder))

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
        models = Models.load(self.folder, place.dtype).to(place.device)
        self.check_held()
        return models

    def generator(self) -> "ClipGenerator":
        """The models, loaded and ready to generate clips."""
        from action_images.inference.clip_generator import ClipGenerator

        generator = ClipGenerator.load(
            self.folder,
            self.device,
            self.sampling,
            self.dtype,
            compiled=self.compiled,
            shared_by=self.shared_by,
        )
        self.check_held()
        return generator
