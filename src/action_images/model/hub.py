"""Fetch the released weights by their hub ids once, record their commits, and assemble a folder of models."""

import json
import re
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from action_images.errors import ActionImagesError
from action_images.files.atomic import whole_folder, write_json
from action_images.files.lock import alone_in
from action_images.model.bundle import Clips, Models
from action_images.model.claims import read_object
from action_images.model.convert import config_in, convert
from action_images.model.index import write_index
from action_images.model.presets import preset_named
from action_images.model.shipped import INDEX
from action_images.model.text import LanguageModel

SOURCES = "sources.json"
"""The file in every fetched folder with repository -> commit, which identifies its weights for good, and
with the preset under `preset`; earlier versions did not write that one."""


@dataclass(frozen=True)
class Source:
    """Files of one hub repository at one revision: a commit hash pins them, a branch follows it."""

    repository: str
    files: tuple[str, ...]
    revision: str = "main"

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit hash."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


TRANSFORMER = Source("anyeZHY/ActionImages", ("step125750.ckpt",))
"""The release's transformer, a pickle that is read as plain tensors."""
WAN = Source("Wan-AI/Wan2.2-TI2V-5B-Diffusers", ("vae/*", "text_encoder/*", "tokenizer/*"))
"""The autoencoder and language model of its training, in diffusers' layout."""
WANS_PARTS = ("vae", "text_encoder", "tokenizer")
"""The folders of Wan's download that are used unchanged."""
PLAIN = {
    "wan2.2-5b-rays": replace(WAN, files=("transformer/*", *WAN.files)),
    "wan2.1-1.3b": Source(
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", ("transformer/*", "vae/*", "text_encoder/*", "tokenizer/*")
    ),
}
"""Preset -> Wan's own weights that it starts from, all four parts in diffusers' layout."""
PRESET = "preset"
"""The name of the preset in `SOURCES`; repositories have a slash in theirs."""
RELEASED = "wan2.2-5b"
"""The preset of the released weights."""
RELEASED_CLIPS = Clips((512, 512), 41, 5.0, "release")
"""The clips of the release's training; 5 frames a second is the rate of its RLBench and BridgeData sets."""
UNTRAINED = "they have never seen an action image or a camera; fine-tune them before you plan with them"
"""What the weights of a preset of `PLAIN` lack."""
ADDED = ("camera", "per_frame_noise_level", "pixels_per_token")
"""Values of a preset's config that plain weights do not have."""
WHOLE = {
    "vae": ("config.json",),
    "text_encoder": ("config.json",),
    "tokenizer": ("tokenizer.json", "spiece.model", "tokenizer_config.json"),
}
"""Part -> files of which it must have one; a part with a config must have its weights too."""
# No commit is pinned here, as none has been tried yet. The user chooses, and the fetched commit is recorded.

Fetch = Callable[[Source], Path]
"""From files of a repository to the folder that contains them; its name is the commit."""


def load_released(
    folder: Path,
    transformer: Source = TRANSFORMER,
    wan: Source = WAN,
    dtype: torch.dtype = torch.bfloat16,
    fetch: Fetch | None = None,
) -> Models:
    """The released models from `folder` (25 GB of memory in bfloat16), filled from the hub if it is empty.

    A filled folder is never compared with the hub again: its commits are in its sources.json. Warns if a
    branch was followed. Raises OSError if the hub cannot be reached. Raises ValueError if a file has the
    wrong contents, or the folder was filled from other commits than those requested.
    """
    commits = fetch_released(folder, transformer, wan, fetch)
    for source in (transformer, wan):
        if not source.pinned:
            name, commit = source.repository, commits[source.repository]
            warnings.warn(
                f"{name}: '{source.revision}' can change; this is commit {commit}, pin it as the revision",
                stacklevel=2,
            )
    return Models.load(folder, dtype)


def fetch_released(
    folder: Path, transformer: Source = TRANSFORMER, wan: Source = WAN, fetch: Fetch | None = None
) -> dict[str, str]:
    """Fill a folder of models from the hub, unless it is filled; returns repository -> commit.

    Raises as `load_released`.
    """

    def made(snapshots: Mapping[str, Path]) -> Callable[[], None]:
        checkpoint = _only_file(snapshots[transformer.repository], transformer.files)
        _check_parts(snapshots[wan.repository])
        return partial(_assemble, checkpoint, snapshots[wan.repository], folder)

    return _fetch(folder, RELEASED, (transformer, wan), fetch=fetch or from_hub, made=made)


def fetch_plain(
    folder: Path, preset: str, source: Source | None = None, fetch: Fetch | None = None
) -> dict[str, str]:
    """Fill a folder with Wan's own weights and the additions of a preset of `PLAIN`; as `fetch_released`.

    Cameras are new weights, which change nothing until they are trained.
    """
    source = source or PLAIN[preset]

    def made(snapshots: Mapping[str, Path]) -> Callable[[], None]:
        snapshot = snapshots[source.repository]
        if not (snapshot / "transformer").is_dir():
            raise ActionImagesError(
                f"{snapshot}: has no transformer; give a whole download of {source.repository}"
            )
        checkpoint, (additions, clips) = snapshot / "transformer", _of_preset(preset)
        _check_parts(snapshot)
        return partial(_assemble, checkpoint, snapshot, folder, additions=additions, clips=clips)

    return _fetch(folder, preset, (source,), fetch=fetch or from_hub, made=made)


def _of_preset(preset: str) -> tuple[dict[str, Any], Clips]:
    """The additions to Wan's own weights for a preset of `PLAIN`, and the clips that it is for."""
    wanted = preset_named(preset)
    additions = {name: wanted.transformer[name] for name in ADDED if name in wanted.transformer}
    clips = Clips(wanted.size, wanted.num_frames, RELEASED_CLIPS.fps, wanted.sampling, wanted.axis_length)
    return additions, clips


def preset_of(checkpoint: Path) -> str:
    """The preset of a checkpoint: the released weights', or the one for Wan's own weights of these channels.

    Raises ActionImagesError for Wan's own weights that are of no preset, and as `convert`.
    """
    config = config_in(checkpoint)
    if config["camera"] is not None:
        return RELEASED
    channels = {preset_named(name).autoencoder.get("z_dim", 16): name for name in PLAIN}
    if config["in_channels"] not in channels:
        told = ", ".join(f"{number} ({name})" for number, name in channels.items())
        raise ActionImagesError(
            f"{checkpoint}: takes {config['in_channels']} channels, Wan's own weights that are known here "
            f"{told}; take the weights of one of these presets"
        )
    return channels[config["in_channels"]]


def _fetch(
    folder: Path,
    preset: str,
    sources: Sequence[Source],
    *,
    fetch: Fetch,
    made: Callable[[Mapping[str, Path]], Callable[[], None]],
) -> dict[str, str]:
    """Fill a folder from snapshots of some repositories, unless it is filled; returns the commits.

    `made` checks the snapshots before the folder exists, and returns the function that fills it.
    """
    if (folder / INDEX).is_file() and not (folder / SOURCES).is_file():
        raise ActionImagesError(
            f"{folder}: holds models of unknown origin (no {SOURCES}); name another folder"
        )
    recorded = json.loads((folder / SOURCES).read_text()) if (folder / SOURCES).is_file() else None
    if recorded is not None:
        begun_for = recorded.pop(PRESET, preset)
        pinned = {source.repository: source.revision for source in sources if source.pinned}
        _check_commits(folder, recorded, {source.repository: None for source in sources} | pinned)
        if begun_for != preset:
            raise ActionImagesError(
                f"{folder}: was begun for the preset {begun_for}, not {preset}; name another folder"
            )
        if (folder / INDEX).is_file():
            return recorded
    snapshots = {source.repository: fetch(source) for source in sources}
    commits = {repository: snapshot.name for repository, snapshot in snapshots.items()}
    if recorded is not None:
        _check_commits(folder, recorded, commits)
    fill = made(snapshots)
    with alone_in(folder):
        write_json(folder / SOURCES, {**commits, PRESET: preset})
        fill()
    return commits


def assemble(
    checkpoint: Path,
    wan: Path,
    folder: Path,
    max_shard_bytes: int = 2 * 10**9,
) -> str:
    """Make a folder for `Models.load` from a transformer checkpoint and a folder with Wan's vae, text_encoder
    and tokenizer.

    Wan's own weights get the additions and clips of their preset, as by `fetch_plain`. Returns the preset.
    Files written by an earlier, interrupted call are kept. Raises ValueError for files that are missing or do
    not fit.
    """
    _check_parts(wan)
    preset = preset_of(checkpoint)
    additions, clips = (None, RELEASED_CLIPS) if preset == RELEASED else _of_preset(preset)
    with alone_in(folder):
        _assemble(checkpoint, wan, folder, max_shard_bytes, additions=additions, clips=clips)
    return preset


def _check_parts(wan: Path) -> None:
    if missing := [part for part in WANS_PARTS if not (wan / part).is_dir()]:
        raise ActionImagesError(
            f"{wan}: has no {' and no '.join(missing)}; give a whole download of {WAN.repository}"
        )
    for part, files in WHOLE.items():
        _check_whole(wan / part, files)


def _assemble(
    checkpoint: Path,
    wan: Path,
    folder: Path,
    max_shard_bytes: int = 2 * 10**9,
    *,
    additions: Mapping[str, Any] | None = None,
    clips: Clips = RELEASED_CLIPS,
) -> None:
    if not (folder / "transformer" / "config.json").is_file():
        convert(checkpoint, folder / "transformer", max_shard_bytes, additions)
    _check_channels(folder / "transformer", wan / "vae")
    for part in WANS_PARTS:
        if not (folder / part).is_dir():
            with whole_folder(folder / part) as unfinished:
                shutil.copytree(wan / part, unfinished, dirs_exist_ok=True)
    index = {
        "answers": "canvas",
        "backbone": "wan",
        "autoencoder": "wan",
        "text": LanguageModel.kind,
        "text_config": {"num_tokens": 512},
        "clips": asdict(clips),
    }
    write_index(folder, index)


def _check_channels(transformer: Path, autoencoder: Path) -> None:
    """Refuse a transformer and an autoencoder that do not belong together."""
    taken = json.loads((transformer / "config.json").read_text())["in_channels"]
    made = json.loads((autoencoder / "config.json").read_text()).get("z_dim", 16)
    if taken != made:
        raise ActionImagesError(
            f"{autoencoder}: makes {made} channels, but the transformer takes {taken}; they are of different "
            "models: take both from one repository"
        )


def _check_whole(part: Path, files: Sequence[str]) -> None:
    """Refuse a download that lacks a file, or has a Git LFS pointer instead of one."""
    if not any((part / name).is_file() for name in files):
        raise ActionImagesError(
            f"{part}: has no {' or '.join(files)}; give a whole download of {WAN.repository}"
        )
    told = [read_object(index).get("weight_map") for index in part.glob("*.index.json")]
    weight_maps = [weight_map for weight_map in told if isinstance(weight_map, dict)]
    if len(weight_maps) < len(told):
        raise ActionImagesError(
            f"{part}: its index names no weights; give a whole download of {WAN.repository}"
        )
    named = set(chain.from_iterable(weight_map.values() for weight_map in weight_maps))
    weights = {path.name for path in part.glob("*.safetensors")} | named
    for name in sorted(weights):
        _check_weights(part / name)
    if "config.json" in files and not weights:
        raise ActionImagesError(f"{part}: has no weights; give a whole download of {WAN.repository}")


def _check_weights(file: Path) -> None:
    try:
        with safe_open(file, "pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise ActionImagesError(
            f"{file}: is no file of weights ({error}); download it again (with git: git lfs pull)"
        ) from error


def from_hub(source: Source, cache: Path | None = None) -> Path:
    """Fetch through huggingface_hub, whose cache separates commits; offline, the cached files are used."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                source.repository,
                revision=source.revision,
                allow_patterns=list(source.files),
                cache_dir=cache,
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        where = f"{source.repository} at {source.revision}"
        raise OSError(
            f"{where}: neither the hub nor its cache has it; check the network, the revision and HF_TOKEN"
        ) from error


def _check_commits(folder: Path, recorded: Mapping[str, str], asked: Mapping[str, str | None]) -> None:
    """Refuse a folder started from other repositories, or from other commits (None: any) of them."""
    if recorded.keys() != asked.keys():
        raise ActionImagesError(
            f"{folder}: was begun from {' and '.join(recorded)}, not from {' and '.join(asked)}; name "
            "another folder"
        )
    for repository, commit in asked.items():
        if commit is not None and recorded[repository] != commit:
            raise ActionImagesError(
                f"{folder}: was begun from {repository} at {recorded.get(repository)}, not "
                f"{commit}; ask for that commit, or name another "
                "folder"
            )


def _only_file(snapshot: Path, patterns: Sequence[str]) -> Path:
    found = sorted(chain.from_iterable(map(snapshot.glob, patterns)))
    if len(found) != 1:
        raise ActionImagesError(
            f"{snapshot}: {len(found)} files fit {list(patterns)}; exactly one checkpoint is needed"
        )
    return found[0]
