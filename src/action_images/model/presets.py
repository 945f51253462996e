"""Presets: named sizes of the whole model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from action_images.errors import no_such

WAN22_LATENTS = json.loads((Path(__file__).parent / "wan22_latents.json").read_text())
"""Mean and standard deviation of each of the 48 channels of Wan2.2's latents, from its published config."""


@dataclass(frozen=True)
class Preset:
    """The sizes of a model, and of the clips that it is meant for.

    `transformer` has the arguments of the `backbone` (a name of `BACKBONES`), `autoencoder` those of the
    `autoencoder_kind` (a name of `AUTOENCODERS`), and `hashed_words` those of `HashedWords`. Without
    `hashed_words` (None), the text encoder is the language model of the released weights. `axis_length` (m)
    is that of the action images, see `codec.ActionImageFormat`.
    """

    transformer: dict[str, Any]
    autoencoder: dict[str, Any]
    hashed_words: dict[str, Any] | None
    size: tuple[int, int]
    num_frames: int
    sampling: str
    axis_length: float = 0.1
    backbone: str = "wan"
    autoencoder_kind: str = "pca"
    num_views: int = 2

    @property
    def factors(self) -> tuple[int, int]:
        """The autoencoder's factors: pixel frames of a latent frame, and pixel rows of a latent row."""
        names = {
            "pca": ("temporal_factor", "spatial_factor"),
            "wan": ("scale_factor_temporal", "scale_factor_spatial"),
        }
        time, space = names.get(self.autoencoder_kind, names["pca"])
        return self.autoencoder.get(time, 4), self.autoencoder.get(space, 8)

    @property
    def num_words(self) -> int:
        """The number of text tokens of the network."""
        return 512 if self.hashed_words is None else self.hashed_words.get("max_words", 24)


FROM_SCRATCH = {
    "camera": "rays",
    "prediction": "clean",
    "per_frame_noise_level": True,
    "pixels_per_token": 16,
    "bias_frames": 11,
    "max_views": 4,
}
"""Conditions that a small model needs to learn; docs/model.md has the effect of each."""

LARGE_CELLS = {
    "patch_size": [1, 4, 4],
    "pixels_per_token": 32,
    "stem_channels": [24, 48, 64, 96],
    "output_split": 2,
}
"""Cells of 32 px, a stem that is narrow where the image is large, and finer tokens for the last layer. They
give 2.2 times the samples a second of cells of 16 px, and each teaches as much
(docs/experiments/learning.md)."""

WAN22_AUTOENCODER = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "latents_mean": WAN22_LATENTS["mean"],
    "latents_std": WAN22_LATENTS["std"],
}
"""From its published config."""
WITH_RAYS = {"camera": "rays", "per_frame_noise_level": True}
"""Additions to Wan's plain weights: cameras that change nothing at first, and marks on given frames."""

PRESETS = {
    "debug": Preset(
        transformer={
            "num_attention_heads": 2,
            "attention_head_dim": 24,
            "ffn_dim": 96,
            "num_layers": 2,
            "in_channels": 32,
            "out_channels": 32,
            "text_dim": 64,
            "stem_channels": 16,
            "motion_channels": 16,
            "action_channels": 16,
            "word_pickers": 8,
            **FROM_SCRATCH,
        },
        autoencoder={"channels": 32},
        hashed_words={"dim": 64},
        size=(32, 32),
        num_frames=5,
        sampling="one-step",
    ),
    "tiny": Preset(
        transformer={
            "num_attention_heads": 6,
            "attention_head_dim": 32,
            "ffn_dim": 576,
            "num_layers": 4,
            "in_channels": 64,
            "out_channels": 64,
            "text_dim": 128,
            "motion_channels": 32,
            "action_channels": 32,
            "word_pickers": 8,
            **FROM_SCRATCH,
            **LARGE_CELLS,
            "still_anchor": True,
        },
        autoencoder={"channels": 64},
        hashed_words={"dim": 128},
        size=(64, 64),
        num_frames=9,
        sampling="one-step-averaged",
    ),
    "base": Preset(
        transformer={
            "num_attention_heads": 12,
            "attention_head_dim": 64,
            "ffn_dim": 3072,
            "num_layers": 10,
            "in_channels": 16,
            "out_channels": 16,
            "text_dim": 128,
            "stem_channels": 64,
            "motion_channels": 48,
            "action_channels": 48,
            "word_pickers": 8,
            **FROM_SCRATCH,
            "still_anchor": True,
        },
        autoencoder={"base_dim": 32, "z_dim": 16},
        hashed_words={"dim": 128},
        size=(128, 128),
        num_frames=17,
        sampling="one-step-averaged",
        autoencoder_kind="wan",
    ),
    "wan2.2-5b": Preset(
        transformer={"camera": "released"},
        autoencoder=WAN22_AUTOENCODER,
        hashed_words=None,
        size=(512, 512),
        num_frames=41,
        sampling="release",
        autoencoder_kind="wan",
    ),
    "wan2.2-5b-rays": Preset(
        transformer=WITH_RAYS,
        autoencoder=WAN22_AUTOENCODER,
        hashed_words=None,
        size=(512, 512),
        num_frames=41,
        sampling="release",
        autoencoder_kind="wan",
    ),
    "wan2.1-1.3b": Preset(
        transformer={
            "num_attention_heads": 12,
            "ffn_dim": 8960,
            "in_channels": 16,
            "out_channels": 16,
            "pixels_per_token": 16,
            **WITH_RAYS,
        },
        # The defaults of `AutoencoderKLWan` are Wan2.1's.
        autoencoder={},
        hashed_words=None,
        size=(256, 256),
        num_frames=41,
        sampling="release",
        autoencoder_kind="wan",
    ),
}
"""`debug` runs in seconds, `tiny` trains on two CPU cores, `wan2.2-5b` fits the released weights.
`base` is for one GPU, after `train-autoencoder`.
`wan2.2-5b-rays` and `wan2.1-1.3b` start from Wan's own weights."""


def preset_named(name: str) -> Preset:
    """A preset by its name; raises ValueError with all names if there is none."""
    if name not in PRESETS:
        raise no_such("preset", name, PRESETS)
    return PRESETS[name]
