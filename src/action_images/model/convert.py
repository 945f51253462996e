"""Convert foreign checkpoints to our layout in a stream: the release's pickle, or Wan2.2's own files."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.files.atomic import whole_file, write_json
from action_images.files.lock import alone_in
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.conditioning.rays import RayEncoder

NAMES = (
    (r"^(patch_embedding)\.", r"\1."),
    (r"^text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"^text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
    (r"^time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"^time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"^head\.modulation$", "scale_shift_table"),
    (r"^head\.head\.", "proj_out."),
    (r"^(blocks\.\d+)\.modulation$", r"\1.scale_shift_table"),
    (r"^(blocks\.\d+)\.self_attn\.([qkv])\.", r"\1.attn1.to_\2."),
    (r"^(blocks\.\d+)\.cross_attn\.([qkv])\.", r"\1.attn2.to_\2."),
    (r"^(blocks\.\d+)\.self_attn\.o\.", r"\1.attn1.to_out.0."),
    (r"^(blocks\.\d+)\.cross_attn\.o\.", r"\1.attn2.to_out.0."),
    (r"^(blocks\.\d+)\.self_attn\.norm_", r"\1.attn1.norm_"),
    (r"^(blocks\.\d+)\.cross_attn\.norm_", r"\1.attn2.norm_"),
    # Wan numbers its norms in the order of its code, diffusers in the order of execution.
    (r"^(blocks\.\d+)\.norm3\.", r"\1.norm2."),
    (r"^(blocks\.\d+)\.ffn\.0\.", r"\1.ffn.net.0.proj."),
    (r"^(blocks\.\d+)\.ffn\.2\.", r"\1.ffn.net.2."),
    (r"^(blocks\.\d+)\.(cam_encoder\.2|projector)\.", r"\1.\2."),
    # Names that are the same in diffusers and here.
    (r"^(condition_embedder\.(?:text|time)_embedder|condition_embedder\.time_proj|proj_out)\.", r"\1."),
    (r"^scale_shift_table$", "scale_shift_table"),
    (r"^(blocks\.\d+\.(?:attn[12]|ffn\.net\.(?:0\.proj|2)|norm2))\.", r"\1."),
    (r"^(blocks\.\d+\.scale_shift_table)$", r"\1"),
)
"""Patterns of Wan's names -> our names, which are diffusers'."""
IMAGE_EMBEDDING = re.compile(r"img_emb|image_embedder|add_[kv]_proj|[kv]_img|norm_added_k|norm_k_img")
"""Occurs in the names of weights for an embedded image besides the text."""
PREFIXES = ("module.", "model.diffusion_model.", "pipe.dit.", "dit.")
"""Prefixes that training programs add to every name."""
NEW_WEIGHTS = "diffusion_pytorch_model-new.safetensors"
"""The file with the new weights that a checkpoint did not have."""
KNOWN_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Conversion:
    """The result of converting a checkpoint."""

    num_tensors: int
    num_bytes: int
    files: tuple[Path, ...]
    config: dict[str, Any]


def convert(
    source: Path,
    folder: Path,
    max_shard_bytes: int = 2 * 10**9,
    additions: Mapping[str, Any] | None = None,
) -> Conversion:
    """Write a transformer checkpoint (a pickle, a safetensors file, or a folder of its shards) to our layout.

    Tensors are read and written shard by shard, with about two shards in memory at most. Pickles are read
    with `weights_only`, so no code in them runs. Raises ValueError, before any tensor is read, for names that
    are unknown, missing or duplicate, and for shapes that do not fit each other. The index and config are
    written last, so a folder with a config.json is complete.

    `additions` are config values to add to plain weights; cameras as 'rays' are new weights that change
    nothing at the start.
    """
    tensors = _open(source)
    ours = _renamed(tensors, source)
    shapes = {name: tuple(tensors[theirs].shape) for name, theirs in ours.items()}
    config = config_of(shapes, source)
    check_shapes(shapes, config, source)
    added = dict(additions or {})
    if config["camera"] is not None and added:
        raise ActionImagesError(
            f"{source}: has a camera branch already; these are the released weights, take them as they are "
            "(fetch-weights --preset wan2.2-5b)"
        )
    config |= added
    shards = list(_shards({name: tensors[theirs].nbytes for name, theirs in ours.items()}, max_shard_bytes))
    names = [
        f"diffusion_pytorch_model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))
    ]
    with alone_in(folder):
        for file, shard in zip(names, shards, strict=True):
            part = _read({name: tensors[ours[name]] for name in shard})
            with whole_file(folder / file) as path:
                save_file(part, path, {"format": "pt"})
            del part
        total = sum(tensor.nbytes for tensor in tensors.values())
        weight_map: dict[str, str] = {}
        for file, shard in zip(names, shards, strict=True):
            weight_map |= dict.fromkeys(shard, file)
        if config["camera"] == "rays":
            new = _new_ray_encoder(config)
            with whole_file(folder / NEW_WEIGHTS) as path:
                save_file(new, path, {"format": "pt"})
            weight_map |= dict.fromkeys(new, NEW_WEIGHTS)
            names.append(NEW_WEIGHTS)
            total += sum(tensor.nbytes for tensor in new.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(folder / "diffusion_pytorch_model.safetensors.index.json", index)
        write_json(folder / "config.json", {"_class_name": ActionImagesTransformer3DModel.__name__, **config})
    return Conversion(len(ours), total, tuple(folder / name for name in names), config)


def config_in(source: Path) -> dict[str, Any]:
    """The config of a checkpoint, from its tensors' names and shapes; raises ValueError as `convert`."""
    tensors = _open(source)
    ours = _renamed(tensors, source)
    return config_of({name: tuple(tensors[theirs].shape) for name, theirs in ours.items()}, source)


def _new_ray_encoder(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a new ray encoder, which adds nothing yet; the same in every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = RayEncoder(config["num_attention_heads"] * config["attention_head_dim"])
    return {f"ray_encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}


def rename(name: str) -> str | None:
    """Our name for a name of Wan or of the release; None for any other name."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return next((re.sub(theirs, ours, name) for theirs, ours in NAMES if re.match(theirs, name)), None)


def config_of(shapes: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
    """The sizes of a transformer from the shapes of its tensors; heads are 128 wide in all of Wan's models.

    A width that is not a multiple of 128 (no Wan model has one) is read as two heads.
    """
    for needed in (
        "patch_embedding.weight",
        "proj_out.weight",
        "condition_embedder.text_embedder.linear_1.weight",
        "blocks.0.ffn.net.0.proj.weight",
    ):
        if needed not in shapes:
            raise ActionImagesError(
                f"{source}: holds no '{needed}', so it is no video transformer of Wan's kind"
            )
    width, in_channels, *patch = shapes["patch_embedding.weight"]
    heads = width // 128 if width % 128 == 0 else 2
    pooled = shapes.get("blocks.0.cam_encoder.2.weight")
    blocks = {int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")}
    # With the largest number alone, one name could make the network for the comparison arbitrarily large.
    if blocks != set(range(len(blocks))):
        raise ActionImagesError(
            f"{source}: holds {len(blocks)} blocks with numbers up to {max(blocks)}; some are missing"
        )
    return {
        "patch_size": list(patch),
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "in_channels": in_channels,
        "out_channels": shapes["proj_out.weight"][0] // (patch[0] * patch[1] * patch[2]),
        "text_dim": shapes["condition_embedder.text_embedder.linear_1.weight"][1],
        "freq_dim": shapes["condition_embedder.time_embedder.linear_1.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.net.0.proj.weight"][0],
        "num_layers": len(blocks),
        "camera": "released" if pooled is not None else None,
    }


def check_shapes(shapes: Mapping[str, tuple[int, ...]], config: dict[str, Any], source: Path) -> None:
    """Raise ValueError unless these are exactly the tensors of a transformer of this config."""
    with torch.device("meta"):
        expected = {
            name: tuple(tensor.shape)
            for name, tensor in ActionImagesTransformer3DModel(**config).state_dict().items()
        }
    missing, left_over = sorted(set(expected) - set(shapes)), sorted(set(shapes) - set(expected))
    if missing or left_over:
        raise ActionImagesError(
            f"{source}: {len(missing)} tensors are missing {missing[:3]}, {len(left_over)} are "
            f"left over {left_over[:3]}"
        )
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise ActionImagesError(
                f"{source}: '{name}' has shape {shape}, its neighbours call for {expected[name]}; "
                "the file is damaged or of another model"
            )


@dataclass(frozen=True)
class _OnDisk:
    """A tensor that is not read yet; only its name and shape are known."""

    shape: tuple[int, ...]
    nbytes: int
    file: Path
    name: str


def _read(wanted: Mapping[str, _OnDisk]) -> dict[str, Tensor]:
    """Read tensors into memory. Their files are opened only for this, as all pages of a mapped file would
    stay."""
    read: dict[str, Tensor] = {}
    for file in dict.fromkeys(tensor.file for tensor in wanted.values()):
        names = {ours: tensor.name for ours, tensor in wanted.items() if tensor.file == file}
        if file.suffix == ".safetensors":
            with safe_open(str(file), "pt") as tensors:
                read |= {ours: tensors.get_tensor(name) for ours, name in names.items()}
        else:
            tensors = _load_pickle(file)
            # `clone`, since tensors of a pickle may be views of each other and of the mapped file.
            read |= {ours: tensors[name].contiguous().clone() for ours, name in names.items()}
    return read


def _open(source: Path) -> dict[str, _OnDisk]:
    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
    if not files or not all(file.is_file() for file in files) or files[0].suffix not in KNOWN_SUFFIXES:
        raise ActionImagesError(
            f"{source}: no checkpoint there; give a {', '.join(KNOWN_SUFFIXES)} file or a folder "
            "of .safetensors shards"
        )
    opened: dict[str, _OnDisk] = {}
    for file in files:
        part = _open_safetensors(file) if file.suffix == ".safetensors" else _open_pickle(file)
        if twice := opened.keys() & part.keys():
            raise ActionImagesError(
                f"{file}: '{min(twice)}' is in another file of {source} too; remove what does not "
                "belong there"
            )
        opened |= part
    return opened


def _open_safetensors(file: Path) -> dict[str, _OnDisk]:
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    try:
        with safe_open(str(file), "pt") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 (not a dict)
            found = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except SafetensorError as error:
        raise ActionImagesError(
            f"{file}: is damaged or cut short ({error}); copy or download it again"
        ) from error
    return {
        name: _OnDisk(shape, torch.Size(shape).numel() * sizes.get(dtype, 1), file, name)
        for name, (shape, dtype) in found.items()
    }


def _open_pickle(file: Path) -> dict[str, _OnDisk]:
    loaded = _load_pickle(file)
    for name, value in loaded.items():
        # A pickled tensor may repeat its storage without end, and would take its claimed size once copied.
        if value.nbytes > value.untyped_storage().nbytes():
            raise ActionImagesError(
                f"{file}: '{name}' has shape {tuple(value.shape)}, but the file holds less than "
                "that; it is damaged"
            )
    return {name: _OnDisk(tuple(value.shape), value.nbytes, file, name) for name, value in loaded.items()}


def _load_pickle(file: Path) -> dict[str, Tensor]:
    """The tensors of a pickle, memory-mapped and not yet read."""
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ActionImagesError(
            f"{file}: cannot be read as plain tensors ({reason}); it is damaged, or holds more than weights"
        ) from error
    for wrapper in ("state_dict", "model", "module"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if (
        not isinstance(loaded, dict)
        or not loaded
        or not all(isinstance(value, Tensor) for value in loaded.values())
    ):
        raise ActionImagesError(f"{file}: is no dictionary of tensors; give a checkpoint of weights alone")
    return loaded


def _renamed(tensors: Mapping[str, _OnDisk], source: Path) -> dict[str, str]:
    """Our names -> the checkpoint's, which must all be known."""
    ours: dict[str, str] = {}
    unknown = [name for name in tensors if rename(name) is None]
    if embedded := [name for name in tensors if IMAGE_EMBEDDING.search(name)]:
        raise ActionImagesError(
            f"{source}: embeds an image besides the text ('{embedded[0]}'), as image-to-video weights do; "
            "here first frames are given on the canvas, so take the text-to-video weights"
        )
    if unknown:
        raise ActionImagesError(
            f"{source}: {len(unknown)} of {len(tensors)} tensors have names that are not Wan's: {unknown[:3]}"
        )
    for theirs in tensors:
        name = rename(theirs)
        assert name is not None
        if name in ours:
            raise ActionImagesError(f"{source}: '{theirs}' and '{ours[name]}' are the same tensor twice")
        ours[name] = theirs
    return ours


def _shards(sizes: Mapping[str, int], max_bytes: int) -> Iterator[list[str]]:
    """Names in groups of at most `max_bytes`; a larger tensor is alone in its group."""
    shard: list[str] = []
    for name, size in sizes.items():
        if shard and sum(sizes[held] for held in shard) + size > max_bytes:
            yield shard
            shard = []
        shard.append(name)
    yield shard
