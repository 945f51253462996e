"""What was learnt as models of their own: weights whole, adapters merged into the layers that they adapt."""

import torch
from torch import Tensor

<<<<<<< HEAD
from action_images.model.conditioning.conditioned import Conditioned
from action_images.training.checkpoint import sync
=======
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
>>>>>>> 877aff4 (Training reads downward: engines, run folder and migration have files; labelling in five short files; still video beside the pipeline)
from action_images.training.fsdp import whole

ADAPTER = "default"


<<<<<<< HEAD
def whole_transformer(transformer: Conditioned, keep: bool = True) -> Conditioned | None:
    """A copy on the CPU that any process can save alone; every process takes part, and gets None unless it is to `keep` it."""
=======
def whole_transformer(
    transformer: ActionImagesTransformer3DModel, *, keep: bool = True
) -> ActionImagesTransformer3DModel | None:
    """A copy on the CPU that any process can save alone, with adapters merged into the layers that they adapt.

    Every process takes part, and gets None unless it is to `keep` it.
    """
>>>>>>> 877aff4 (Training reads downward: engines, run folder and migration have files; labelling in five short files; still video beside the pipeline)
    state = {}
    for name, value in transformer.state_dict().items():
        gathered = whole(value)
        if keep:
            state[name] = gathered
    if not keep:
        return None
    with torch.device("meta"):
        copy = type(transformer).from_config(transformer.config)
    copy.load_state_dict(_merged(state, _scaling(transformer)), assign=True)
    return copy


<<<<<<< HEAD
def put_in_place(unfinished: Path, folder: Path) -> None:
    """Give a finished folder of models its name, in the place of an older one, once all of it is on the disk."""
    for path in (*unfinished.rglob("*"), unfinished):
        sync(path)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _scaling(transformer: Conditioned) -> dict[str, float]:
=======
def _scaling(transformer: ActionImagesTransformer3DModel) -> dict[str, float]:
>>>>>>> 877aff4 (Training reads downward: engines, run folder and migration have files; labelling in five short files; still video beside the pipeline)
    """How much each adapted layer's adapter counts."""
    return {
        name: module.scaling[ADAPTER]
        for name, module in transformer.named_modules()
        if hasattr(module, "lora_A")
    }


def _merged(state: dict[str, Tensor], scaling: dict[str, float]) -> dict[str, Tensor]:
    merged = {
        name.replace(".base_layer.", "."): value for name, value in state.items() if ".lora_" not in name
    }
    for layer, scale in scaling.items():
        down, up = (state[f"{layer}.lora_{which}.{ADAPTER}.weight"].float() for which in "AB")
        weight = merged[f"{layer}.weight"]
        merged[f"{layer}.weight"] = (weight.float() + scale * (up @ down)).to(weight.dtype)
    return merged
