"""The released weights by their hub ids: fetched at a pinned revision, converted once, loaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from action_images.model.autoencoder import WanAutoencoder
from action_images.model.door import CanvasDenoiser
from action_images.model.models import Models, load_transformer
from action_images.model.text import LanguageModel
from action_images.model.weights import convert


@dataclass(frozen=True)
class Source:
    """Files of one hub repository at one revision: a commit hash pins them, a branch follows it."""

    repository: str
    files: tuple[str, ...]
    revision: str = "main"


TRANSFORMER = Source("anyeZHY/ActionImages", ("step125750.ckpt",))
"""The release's transformer, a pickle that is read as plain tensors."""
REST = Source("Wan-AI/Wan2.2-TI2V-5B-Diffusers", ("vae/*", "text_encoder/*", "tokenizer/*"))
"""The autoencoder and language model that it was trained with, in diffusers' layout."""

Fetch = Callable[[Source], Path]
"""From files of a repository to the folder in which they lie; its name is the commit."""


def load_released(
    converted: Path,
    transformer: Source = TRANSFORMER,
    rest: Source = REST,
    dtype: torch.dtype = torch.bfloat16,
    fetch: Fetch | None = None,
) -> Models:
    """The released models. The transformer is converted into a folder of `converted` named after its commit, once.

    Needs the network or a filled hub cache (HF_HOME), 33 GB of disk and, in bfloat16, 25 GB of memory. Raises OSError
    where the hub cannot be reached, ValueError where a file is not what it should be.
    """
    from diffusers import AutoencoderKLWan
    from transformers import AutoTokenizer, UMT5EncoderModel

    fetch = fetch or from_hub
    snapshot, others = fetch(transformer), fetch(rest)
    folder = converted / f"{transformer.repository.replace('/', '--')}-{snapshot.name}"
    if not (folder / "config.json").exists():
        convert(_only_file(snapshot, transformer.files), folder)
    text = LanguageModel(
        AutoTokenizer.from_pretrained(others / "tokenizer"), UMT5EncoderModel.from_pretrained(others / "text_encoder", dtype=dtype)
    )
    vae = AutoencoderKLWan.from_pretrained(others / "vae", torch_dtype=dtype)
    return Models(CanvasDenoiser(load_transformer(folder, dtype)), WanAutoencoder(vae), text)


def from_hub(source: Source, cache: Path | None = None) -> Path:
    """Fetch through huggingface_hub, whose cache keeps every commit apart; offline, what the cache holds is taken."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source.repository, revision=source.revision, allow_patterns=list(source.files), cache_dir=cache))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        where = f"{source.repository} at {source.revision}"
        raise OSError(f"{where}: neither the hub nor its cache has it; check the network, the revision and HF_TOKEN") from error


def _only_file(snapshot: Path, patterns: Sequence[str]) -> Path:
    found = sorted(path for pattern in patterns for path in snapshot.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"{snapshot}: {len(found)} files fit {list(patterns)}; exactly one checkpoint is needed")
    return found[0]
