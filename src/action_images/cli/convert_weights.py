"""Convert the release's or Wan2.2's transformer checkpoint into a folder that this project loads.

action-images convert-weights released.pt weights
action-images convert-weights wan/transformer weights --wan wan
"""

from pathlib import Path
from typing import Annotated

import tyro

from action_images.errors import ActionImagesError


def main(
    source: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    wan: Path | None = None,
    max_shard_gb: float = 2.0,
) -> None:
    """Convert a checkpoint; no code in it is run, and memory holds at most about two shards at a time.

    With --wan the whole folder of models is written, which every command takes; without it, only the
    transformer's folder is written. Wan's own weights get untrained camera inputs: fine-tune them
    (docs/finetune.md) before you plan with them.

    Args:
        source: a .ckpt, .pt, .pth or .safetensors file, or a folder of .safetensors shards.
        out: the folder to write; the file that marks it complete is written last.
        wan: a download of Wan-AI/Wan2.2-TI2V-5B-Diffusers, from which vae, text_encoder and tokenizer are
            copied; for Wan2.1's own weights, of Wan-AI/Wan2.1-T2V-1.3B-Diffusers.
        max_shard_gb: the largest size of one written file, in GB.
    """
    from action_images.files.lock import LOCK
    from action_images.model.convert import convert
    from action_images.model.hub import RELEASED, UNTRAINED, assemble
    from action_images.terminal.progress import working

    if out.exists() and any(one.name != LOCK for one in out.iterdir()):
        raise ActionImagesError(
            f"{out}: already holds converted weights or something else; name another folder or remove it"
        )
    if max_shard_gb <= 0:
        raise ActionImagesError(f"max-shard-gb is more than 0, not {max_shard_gb:g}")
    shard_bytes = int(max_shard_gb * 1e9)
    if wan is not None:
        with working("converting the transformer, copying the other parts"):
            preset = assemble(source, wan, out, shard_bytes)
        if preset != RELEASED:
            print(f"these are Wan's own weights, as of the preset {preset}: {UNTRAINED}")
        print(f"transformer, autoencoder and language model, ready for --model: {out}")
        return
    with working("converting"):
        done = convert(source, out, shard_bytes)
    cameras = "with the pooled camera branch" if done.config["camera"] else "without cameras"
    print(
        f"{done.num_tensors} tensors, {done.num_bytes / 1e9:.2f} GB, {cameras}, in {len(done.files)} files: "
        f"{out}"
    )
