"""A repository of Wan's own weights, tiny, in the layout of a hub cache."""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from action_images.model.hub import PLAIN
from tiny_models import tiny_tokenizer, tiny_umt5

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}
AUTOENCODER = {"base_dim": 8, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1}


def write_snapshot(cache: Path, preset: str) -> Path:
    """A tiny sibling of a preset's repository in a hub cache."""
    folder = cache / f"models--{PLAIN[preset].repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    torch.manual_seed(0)
    WanTransformer3DModel(**SMALL).save_pretrained(snapshot / "transformer")
    AutoencoderKLWan(**AUTOENCODER).save_pretrained(snapshot / "vae")
    tiny_umt5().save_pretrained(snapshot / "text_encoder")
    tiny_tokenizer().save_pretrained(snapshot / "tokenizer")
    return snapshot
