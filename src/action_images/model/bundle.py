"""The denoiser, autoencoder and text encoder that belong together, saved and loaded as one folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_json
from action_images.model.autoencoders import AUTOENCODERS
from action_images.model.autoencoders.autoencoder import SavedAutoencoder
from action_images.model.backbones import BACKBONES
from action_images.model.deferred import DeferredAutoencoder, DeferredText
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.familiarity import Familiarity
from action_images.model.index import CHECKSUMS, check_tensors, read_index, write_index
from action_images.model.loading import load_module
from action_images.model.painter import PAINTER, Painter
from action_images.model.reliability import Reliability
from action_images.model.shipped import INDEX
from action_images.model.text import TEXT_ENCODERS, LanguageModel, SavedTextEncoder

MAX_CLIP, MAX_FPS = 1 << 13, 1000
"""Limits of clips: pixels of a side and frames; frames a second."""


@dataclass(frozen=True)
class Clips:
    """The clips that a model was trained on: image size (height, width) in px, pixel frames, frames a second.

    `sampling` is a name of `inference.generation.GENERATIONS`; `axis_length` (m) is that of the action
    images, see `codec.ActionImageFormat`.
    """

    size: tuple[int, int]
    num_frames: int
    fps: float
    sampling: str
    axis_length: float = 0.1

    def __post_init__(self) -> None:
        if min(*self.size, self.num_frames) < 1 or not self.fps > 0:
            raise ActionImagesError(f"clips have sizes, frames and a rate greater than 0, got {self}")

    def check(self) -> Self:
        """Return self; raise ActionImagesError for clips that no model can have been trained on."""
        numbers = (*self.size, self.num_frames)
        if len(self.size) != 2 or not all(type(one) is int and one <= MAX_CLIP for one in numbers):
            raise ActionImagesError(f"sizes and frames are whole numbers up to {MAX_CLIP}, got {numbers}")
        if not (isinstance(self.sampling, str) and 0 < self.fps <= MAX_FPS and 0 < self.axis_length <= 10):
            raise ActionImagesError(f"got {self.sampling}, {self.fps} frames a second, {self.axis_length} m")
        return self


@dataclass(frozen=True)
class Models:
    """A denoiser with the autoencoder and the text encoder that it was trained with.

    `clips` is None if the clips of training are unknown. `familiarity` is None without statistics of the
    training pictures, `reliability` if the reliability of confidence was not measured, `painter` if imagined
    frames are shown as the autoencoder decodes them.
    """

    denoiser: CanvasDenoiser
    autoencoder: SavedAutoencoder
    text: SavedTextEncoder
    clips: Clips | None = None
    familiarity: Familiarity | None = None
    reliability: Reliability | None = None
    painter: Painter | None = None

    def __post_init__(self) -> None:
        config = self.denoiser.transformer.config
        if config["in_channels"] != self.autoencoder.channels:
            raise ActionImagesError(
                f"the denoiser takes {config['in_channels']} channels, "
                f"the autoencoder makes {self.autoencoder.channels}"
            )
        if config["text_dim"] != self.text.dim:
            raise ActionImagesError(
                f"the denoiser takes text of width {config['text_dim']}, "
                f"the text encoder makes {self.text.dim}"
            )

    @property
    def pixels_per_token(self) -> int:
        """The sides of images must be multiples of this."""
        return self.autoencoder.spatial_factor * self.denoiser.transformer.patch[0]

    def to(self, device: torch.device | str) -> Self:
        """The same models (moved in place, as modules are) on another device."""
        self.denoiser.to(device)
        return self.others_to(device)

    def others_to(self, device: torch.device | str) -> Self:
        """The same models with all but the denoiser on another device."""
        for module in (self.autoencoder, self.text, self.painter):
            if hasattr(module, "to"):
                module.to(device)  # type: ignore[attr-defined]
        return replace(self)

    def release(self) -> None:
        """Free frozen parts that can be read again."""
        for part in (self.autoencoder, self.text):
            if hasattr(part, "release"):
                part.release()  # type: ignore[attr-defined]

    def save(self, folder: Path) -> None:
        """Write all three as safetensors with their configs.

        The index comes last, so a folder with an index is complete.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.denoiser.save(folder)
        self.autoencoder.save(folder / "vae")
        index: dict[str, Any] = {
            "answers": self.denoiser.answers,
            "backbone": self.denoiser.transformer.kind,
            "autoencoder": self.autoencoder.kind,
            "text": self.text.kind,
            "text_config": self.text.save(folder),
        }
        if self.clips is not None:
            index["clips"] = asdict(self.clips)
        if self.painter is not None:
            self.painter.save(folder)
            index[PAINTER] = self.painter.kind
        for known in (self.familiarity, self.reliability):
            if known is not None:
                known.save(folder)
        _tidy(folder)
        write_index(folder, index)

    @classmethod
    def load(
        cls,
        folder: Path,
        dtype: torch.dtype = torch.float32,
        *,
        denoiser: type[CanvasDenoiser] = CanvasDenoiser,
        text_dtype: torch.dtype | None = None,
        autoencoder_dtype: torch.dtype = torch.float32,
        deferred: bool = False,
        weightless: bool = False,
    ) -> Self:
        """Read what `save` wrote, each part in its dtype (`text_dtype` None: the transformer's).

        `deferred`: autoencoder and language model are read at their first use. `weightless`: the same, and
        the network has only shapes, on torch's meta device.

        `denoiser` is the kind of denoiser that was saved; another one is refused. Raises ActionImagesError
        for other folders, for damaged files and for unknown kinds.
        """
        index = read_index(folder)
        deferred = deferred or weightless
        if index["answers"] != denoiser.answers and not weightless:
            raise ActionImagesError(
                f"{folder}: these models answer with a {index['answers']}, wanted are some that "
                "answer with a "
                f"{denoiser.answers}; 'action-images evaluate --policy {quote(str(folder))}' takes both"
            )
        backbone = _known(BACKBONES, index, "backbone", folder)
        autoencoder = _known(AUTOENCODERS, index, "autoencoder", folder)
        text = _known(TEXT_ENCODERS, index, "text", folder)
        if weightless:
            config = backbone.load_config(folder / "transformer")
            with torch.device("meta"):
                network = backbone.from_config(config)
        else:
            network = load_module(backbone, folder / "transformer", dtype)
        denoiser_read = CanvasDenoiser(network) if weightless else denoiser.opened(network, folder)
        told = (index["text_config"], text_dtype or dtype)
        if deferred:
            # Their checksums are checked when they are read.
            sums = index.pop(CHECKSUMS, {})
            autoencoder_read: Any = DeferredAutoencoder(
                folder / "vae", autoencoder_dtype, _of_part(sums, "vae")
            )
            is_large = text is LanguageModel
            text_read = DeferredText(folder, *told, _of_part(sums, "text_encoder")) if is_large else None
            read_now = _of_part(sums, "transformer") | _of_part(sums, PAINTER)
            index[CHECKSUMS] = {} if weightless else read_now
        else:
            autoencoder_read, text_read = autoencoder.load(folder / "vae", autoencoder_dtype), None
        text_read = text_read or text.load(folder, *told)
        known = (_clips(index, folder), Familiarity.load(folder), Reliability.load(folder))
        painter = None if weightless or PAINTER not in index else _painter(index, folder)
        models = cls(denoiser_read, autoencoder_read, text_read, *known, painter)
        # Last: an error about what does not fit is more helpful than one about different bytes.
        check_tensors(folder, index)
        return models


def answers_of(folder: Path) -> str:
    """The kind of a folder of models' answers, "canvas" or "path", without loading it.

    Raises as `index.read_index`.
    """
    return read_index(folder)["answers"]


def load_clips(folder: Path) -> Clips | None:
    """The clips that the models of a folder were trained on, without loading them.

    Raises as `index.read_index`.
    """
    return _clips(read_index(folder), folder)


def _clips(index: dict[str, Any], folder: Path) -> Clips | None:
    clips = index.get("clips")
    if clips is None:
        return None
    try:
        return Clips(**{**clips, "size": tuple(clips["size"])}).check()
    except (TypeError, KeyError, ValueError) as error:
        raise ActionImagesError(f"{folder / INDEX}: 'clips' are none ({error}); copy it again") from error


def _known(kinds: Mapping[str, Any], index: dict[str, Any], part: str, folder: Path) -> Any:
    """The class for a kind in an index."""
    word = index[part]
    if word not in kinds:
        raise ActionImagesError(
            f"{folder / INDEX}: names an unknown {part}, '{word}'; known are {', '.join(kinds)}"
        )
    return kinds[word]


def _painter(index: dict[str, Any], folder: Path) -> Painter:
    return _known({Painter.kind: Painter}, index, PAINTER, folder).load(folder)


def _of_part(checksums: dict[str, str], part: str) -> dict[str, str]:
    return {name: value for name, value in checksums.items() if name.startswith(f"{part}/")}


def _tidy(folder: Path) -> None:
    """Remove traces of the machine that the weights came from, and make the weights readable for all."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        write_json(path, {key: value for key, value in config.items() if key != "_name_or_path"})
    for path in folder.glob("*/*.safetensors"):
        path.chmod(0o644)  # safetensors writes files that only the owner can read
