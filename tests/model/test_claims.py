"""Folders of models by strangers: one sentence names what is wrong, before memory is taken or a hub asked."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from action_images.errors import ActionImagesError
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.build import build, build_autoencoder
from action_images.model.bundle import Models, load_clips
from action_images.model.presets import PRESETS
from action_images.model.shipped import INDEX, models_folder
from action_images.model.text import LanguageModel
from tiny_models import tiny_language_model


@pytest.fixture
def folder(tmp_path):
    """A whole folder of debug models."""
    import torch

    autoencoder = build_autoencoder(PRESETS["debug"])
    assert isinstance(autoencoder, PcaAutoencoder)
    fitted = autoencoder.fit([(torch.rand(2, 5, 3, 32, 32), 1.0)])
    build(PRESETS["debug"], autoencoder=fitted).save(tmp_path / "model")
    return tmp_path / "model"


def say(file: Path, **claims: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **claims}))


CONFIGS = {
    "layers": ("transformer", {"num_layers": 100_000}),
    "width": ("transformer", {"num_attention_heads": 10**6}),
    "positions": ("transformer", {"rope_max_seq_len": 10**9}),
    "text": ("transformer", {"text_dim": 10**11}),
    "places": ("transformer", {"bias_frames": 10**9}),
    "views": ("transformer", {"max_views": 10**10}),
    "patch": ("vae", {"spatial_factor": 10**5}),
    "time": ("vae", {"temporal_factor": 10**9}),
    "words for numbers": ("transformer", {"num_layers": "many"}),
    "a list for a number": ("transformer", {"ffn_dim": [96]}),
    "nothing": ("transformer", {"num_attention_heads": None}),
    "no heads": ("transformer", {"num_attention_heads": 0}),
    "a patch of nothing": ("transformer", {"patch_size": [1, 0, 0]}),
    "negative": ("vae", {"channels": -1}),
}


@pytest.mark.parametrize(("part", "claims"), CONFIGS.values(), ids=CONFIGS)
def test_claims_of_a_config_are_refused_before_they_take_memory(folder, part, claims):
    say(folder / part / "config.json", **claims)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ActionImagesError, match=rf"{part}: the weights do not fit config\.json"):
        Models.load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


INDEXES = {
    "text of a million words": {"text_config": {"dim": 64, "max_words": 10**9}},
    "text without numbers": {"text_config": {"dim": "wide"}},
    "a list": {"text_config": []},
    "no answers": {"answers": None},
    "a version of words": {"version": "newest"},
    "clips of a gigapixel": {
        "clips": {"size": [10**6, 10**6], "num_frames": 9, "fps": 5.0, "sampling": "one-step"}
    },
    "clips without end": {
        "clips": {"size": [64, 64], "num_frames": 10**9, "fps": 5.0, "sampling": "one-step"}
    },
    "clips of one side": {"clips": {"size": [64], "num_frames": 9, "fps": 5.0, "sampling": "one-step"}},
    "clips of words": {"clips": "of all kinds"},
    "clips with more": {
        "clips": {"size": [64, 64], "num_frames": 9, "fps": 5.0, "sampling": "one-step", "more": 1}
    },
    "checksums of words": {"sha256": "none"},
}


@pytest.mark.parametrize("claims", INDEXES.values(), ids=INDEXES)
def test_an_index_that_cannot_be_is_refused_by_name(folder, claims):
    say(folder / INDEX, **claims)
    with pytest.raises(ActionImagesError, match=str(folder)):
        Models.load(folder)


@pytest.mark.parametrize("file", [INDEX, "transformer/config.json", "vae/config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": ' * 2000, "\udcff"])
def test_json_that_is_none_is_refused_by_name(folder, file, content):
    (folder / file).write_text(content, errors="surrogateescape")
    with pytest.raises(ActionImagesError, match=file):
        Models.load(folder)


@pytest.mark.parametrize("file", ["transformer/config.json", "vae/diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("kind", ["zero", "pipe", "nowhere", "empty", "claims"])
def test_weights_and_configs_that_are_no_files_are_refused(folder, file, kind):
    path = folder / file
    path.unlink()
    if kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "nowhere":
        path.symlink_to("nowhere")
    else:
        # The length of a header that is not there.
        path.write_bytes(b"" if kind == "empty" else (1 << 40).to_bytes(8, "little"))
    with pytest.raises(ActionImagesError, match=path.parent.name):
        Models.load(folder)


HUB = """
import sys
from pathlib import Path
import socket
def no_network(*_):
    raise SystemExit("the network was asked")
socket.create_connection = socket.getaddrinfo = no_network
from action_images.errors import ActionImagesError
from action_images.model.bundle import Models
for part in ("tokenizer", "text_encoder", "vae", "transformer"):
    # A relative path of two names is what a repository of a hub is called.
    Path("model", part).rename(part)
    try:
        Models.load(Path("model"))
    except ActionImagesError as error:
        print(error)
"""


def test_no_hub_is_asked_for_a_part_that_a_folder_lacks(tmp_path):
    models = build(PRESETS["debug"])
    LanguageModel.save(tiny_language_model(), tmp_path / "model")
    models.save(tmp_path / "model")
    say(tmp_path / "model" / INDEX, text="language_model", text_config={"num_tokens": 5})
    ended = subprocess.run(
        [sys.executable, "-c", HUB], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    for part in ("tokenizer", "text_encoder", "vae", "transformer"):
        assert f"model/{part}: is missing" in ended.stdout, ended.stdout + ended.stderr


def test_an_index_has_no_other_files_read(folder):
    say(folder / INDEX, sha256={"../../secret": "0", "/etc/hostname": "0"})
    (folder.parents[1] / "secret").write_text("x")
    Models.load(folder)


def test_what_the_shipped_models_claim_is_true():
    assert load_clips(models_folder("shipped")) is not None
    Models.load(models_folder("shipped"))
