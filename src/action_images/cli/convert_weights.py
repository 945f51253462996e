"""Turn the release's or Wan2.2's transformer checkpoint into a folder that this project loads."""

from pathlib import Path
from typing import Annotated

import tyro


def main(
    source: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    max_shard_gb: float = 2.0,
) -> None:
    """Convert a checkpoint; nothing in it is run, and no more than about two shards are in memory at a time.

    Args:
        source: a .ckpt, .pt, .pth or .safetensors file, or a folder of .safetensors shards.
        out: the folder to write; its config.json comes last, so that a folder with one is whole.
        max_shard_gb: the largest size of one written file.
    """
    from action_images.model.weights import convert

    if (out / "config.json").exists():
        raise ValueError(f"{out}: already holds converted weights; name another folder or remove it")
    done = convert(source, out, int(max_shard_gb * 1e9))
    cameras = "with the pooled camera branch" if done.config["camera"] else "without cameras"
    print(f"{done.num_tensors} tensors, {done.num_bytes / 1e9:.2f} GB, {cameras}, in {len(done.files)} files: {out}")
