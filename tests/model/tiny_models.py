"""Configurations that run in milliseconds."""

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 8,
    "out_channels": 8,
    "text_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}
"""A transformer that runs in milliseconds; its head width is the release's golden one."""

FULL = TINY | {
    "camera": "rays",
    "prediction": "clean",
    "per_frame_noise_level": True,
    "stem_channels": 8,
    "pixels_per_token": 16,
    "bias_frames": 3,
    "max_views": 2,
}
"""The same with every addition for training from scratch."""
