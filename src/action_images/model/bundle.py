"""The three models that belong together, saved and loaded as one folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.model.autoencoders.pca import PatchAutoencoder
from action_images.model.autoencoders.wan import Autoencoder, WanAutoencoder
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.convert import for_everybody, write_json
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.text import HashedWords, LanguageModel, TextEncoder

INDEX = "action_images.json"


@dataclass(frozen=True)
class Clips:
    """What clips a model was trained on: image size (height, width) in px, pixel frames, frames a second, and how to sample.

    `sampling` is a name of `inference.generation.GENERATIONS`, `axis_length` (m) that of the action images' `codec.ActionImageFormat`.
    """

    size: tuple[int, int]
    num_frames: int
    fps: float
    sampling: str
    axis_length: float = 0.1

    def __post_init__(self) -> None:
        if min(*self.size, self.num_frames) < 1 or not self.fps > 0:
            raise ActionImagesError(f"clips have sizes, frames and a rate greater than 0, got {self}")


@dataclass(frozen=True)
class Models:
    """A denoiser with the autoencoder and the text encoder that it was trained with.

    `clips` is None where it is not known what the weights were trained on.
    """

    denoiser: CanvasDenoiser
    autoencoder: Autoencoder
    text: TextEncoder
    clips: Clips | None = None

    def __post_init__(self) -> None:
        config = self.denoiser.transformer.config
        if config["in_channels"] != self.autoencoder.channels:
            raise ActionImagesError(
                f"the denoiser takes {config['in_channels']} channels, the autoencoder makes {self.autoencoder.channels}"
            )
        if config["text_dim"] != self.text.dim:
            raise ActionImagesError(
                f"the denoiser takes text of width {config['text_dim']}, the text encoder makes {self.text.dim}"
            )

    @property
    def pixels_per_token(self) -> int:
        """Sides of images must be multiples of this."""
        return self.autoencoder.spatial_factor * self.denoiser.transformer.config["patch_size"][1]

    def to(self, device: torch.device | str) -> Self:
        """The same models (moved in place, as modules are) on another device."""
        self.denoiser.to(device)
        return self.others_to(device)

    def others_to(self, device: torch.device | str) -> Self:
        """The same with all but the denoiser on another device."""
        for module in (self.autoencoder, self.text):
            if isinstance(module, nn.Module):
                module.to(device)
        return replace(self)

    def save(self, folder: Path) -> None:
        """Write all three as safetensors with their configs; the index comes last, so a folder with one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        self.denoiser.save(folder)
        if isinstance(self.autoencoder, WanAutoencoder):
            self.autoencoder.vae.save_pretrained(folder / "vae")
        elif isinstance(self.autoencoder, PatchAutoencoder):
            self.autoencoder.save_pretrained(folder / "vae")
        index: dict = {"door": type(self.denoiser).__name__, "text": type(self.text).__name__}
        if self.clips is not None:
            index["clips"] = asdict(self.clips)
        if isinstance(self.text, HashedWords):
            vocabulary = self.text.vocabulary
            known = {} if vocabulary is None else {"vocabulary": sorted(vocabulary)}
            index["text_config"] = {"dim": self.text.dim, "max_words": self.text.max_words, **known}
        elif isinstance(self.text, LanguageModel):
            self.text.model.save_pretrained(folder / "text_encoder")  # pyright: ignore
            self.text.tokenizer.save_pretrained(folder / "tokenizer")
            index["text_config"] = {"num_tokens": self.text.num_tokens}
        for config in folder.glob("*/config.json"):
            # diffusers and transformers write down from which folder of which machine the weights once came.
            write_json(
                config,
                {
                    key: value
                    for key, value in json.loads(config.read_text()).items()
                    if key != "_name_or_path"
                },
            )
        for weights in folder.glob("*/*.safetensors"):
            for_everybody(weights)
        write_json(folder / INDEX, index)

    @classmethod
    def load(
        cls,
        folder: Path,
        dtype: torch.dtype = torch.float32,
        door: type[CanvasDenoiser] = CanvasDenoiser,
        text_dtype: torch.dtype | None = None,
    ) -> Self:
        """Read what `save` wrote, its transformer in `dtype`, its language model in `text_dtype` (None: the same).

        Raises ValueError for another folder. `door` is the kind of denoiser that was saved; another one is refused.
        """
        index = _index(folder)
        if _door(index) != door.__name__:
            raise ActionImagesError(
                f"{folder}: holds a {_door(index)} and is wanted as a {door.__name__}: its network answers in another form; "
                f"'action-images evaluate --policy {folder}' knows both"
            )
        denoiser = door.opened(load_transformer(folder / "transformer", dtype), folder)
        return cls(
            denoiser,
            load_autoencoder(folder / "vae"),
            _text(index, folder, text_dtype or dtype),
            _clips(index),
        )


def door_of(folder: Path) -> str:
    """The name of the class of denoiser that a folder of models holds; raises ValueError where it is no such folder."""
    return _door(_index(folder))


def load_clips(folder: Path) -> Clips | None:
    """What clips the models of a folder were trained on, without loading them; raises ValueError where it is no such folder."""
    return _clips(_index(folder))


def load_transformer(folder: Path, dtype: torch.dtype = torch.float32) -> ActionImagesTransformer3DModel:
    """A saved transformer; raises ValueError where a file is damaged or tensors are missing, left over or of another shape."""
    return load_module(ActionImagesTransformer3DModel, folder, dtype)


def load_autoencoder(folder: Path, dtype: torch.dtype = torch.float32) -> Autoencoder:
    """A saved autoencoder, ours or Wan's in diffusers' layout; raises ValueError as `load_transformer` does."""
    if not (folder / "config.json").is_file():
        raise ActionImagesError(
            f"{folder}: has no config.json; name the folder of an autoencoder, such as the `vae` of a model"
        )
    kind = json.loads((folder / "config.json").read_text()).get("_class_name")
    if kind == AutoencoderKLWan.__name__:
        return WanAutoencoder(load_module(AutoencoderKLWan, folder, dtype))
    if kind == PatchAutoencoder.__name__:
        return load_module(PatchAutoencoder, folder)
    known = f"{AutoencoderKLWan.__name__}, {PatchAutoencoder.__name__}"
    raise ActionImagesError(
        f"{folder / 'config.json'}: names an unknown autoencoder, '{kind}'; known are {known}"
    )


def load_module(kind: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A saved diffusers model of this class, all of whose tensors come from the folder; raises ValueError as `load_transformer` does."""
    with _named(folder):
        loaded, report = kind.from_pretrained(folder, torch_dtype=dtype, output_loading_info=True)
    problems = {name: keys for name, keys in report.items() if keys}
    if problems:
        raise ActionImagesError(
            f"{folder}: the weights do not fit config.json: "
            + "; ".join(f"{name} {keys[:3]}" for name, keys in problems.items())
        )
    return loaded


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Errors of the libraries that read weights become one that names the folder and the cure."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ActionImagesError(
            f"{folder}: a weights file is missing, damaged or cut short; copy or download it again ({error})"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise ActionImagesError(
            f"{folder}: the weights do not fit config.json ({str(error).splitlines()[0]})"
        ) from error


def _index(folder: Path) -> dict:
    if not (folder / INDEX).is_file():
        raise ActionImagesError(
            f"{folder}: has no {INDEX}, so it is no folder of saved models; fetch-weights or convert-weights --wan makes one"
        )
    return json.loads((folder / INDEX).read_text())


def _door(index: dict) -> str:
    # Folders written before there was a second kind do not say.
    return index.get("door", CanvasDenoiser.__name__)


def _clips(index: dict) -> Clips | None:
    clips = index.get("clips")
    if clips is None:
        return None
    axis_length = clips.get(
        "axis_length", Clips.axis_length
    )  # folders written before there was a choice do not say
    return Clips(tuple(clips["size"]), clips["num_frames"], clips["fps"], clips["sampling"], axis_length)


def _text(index: dict, folder: Path, dtype: torch.dtype) -> TextEncoder:
    if index["text"] == HashedWords.__name__:
        return HashedWords(**index["text_config"])
    if index["text"] == LanguageModel.__name__:
        from transformers import AutoTokenizer, UMT5EncoderModel

        with _named(folder / "text_encoder"):
            loaded: Any = UMT5EncoderModel.from_pretrained(
                folder / "text_encoder", dtype=dtype, output_loading_info=True
            )
        model, told = loaded
        # transformers fills what is missing with chance, and only warns.
        missing = sorted({*told["missing_keys"], *(str(key) for key in told["mismatched_keys"])})
        if missing:
            raise ActionImagesError(
                f"{folder / 'text_encoder'}: lacks weights of a UMT5 encoder, or has others of another shape ({len(missing)}, such as "
                f"{missing[0]}); fetch it again"
            )
        with _named(folder / "tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        return LanguageModel(tokenizer, model, **index["text_config"])
    raise ActionImagesError(f"{folder / INDEX}: names an unknown text encoder, '{index['text']}'")
