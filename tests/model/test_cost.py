"""The arithmetic of costs agrees with what is measured on small models, to 5 %."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from tensor_bytes import peak_bytes, saved_bytes
from tiny_models import FULL, TINY
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from action_images.canvas import MODES
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.cost import (
    Load,
    Mode,
    count_parameters,
    forward_flops,
    full_config,
    load_of,
    lora_parameters,
    memory,
    training_flops,
)
from action_images.model.presets import PRESETS

LAYOUTS = {layout.num_frames: layout for layout in (MODES[mode].layout(2, 3) for mode in ("policy", "label"))}
CONFIGS = {
    "plain": (TINY, Load(2, 8, 8, 8, 5)),
    "released": (TINY | {"camera": "released"}, Load(1, 8, 16, 32, 5)),
    "full": (FULL, Load(2, 8, 8, 12, 5)),
    "wide": (FULL | {"num_attention_heads": 8, "ffn_dim": 400, "stem_channels": 24}, Load(1, 8, 12, 8, 20)),
    "tiny": (PRESETS["tiny"].transformer, Load(2, 8, 8, 8, 24)),
    "label": (PRESETS["tiny"].transformer, load_of(MODES["label"], 2, 9, (64, 64), (4, 8), 24, batch_size=2)),
    "simulate": (
        PRESETS["tiny"].transformer,
        load_of(MODES["simulate"], 2, 9, (64, 64), (4, 8), 24, batch_size=2),
    ),
}


def as_loaded(config: dict[str, Any], dtype: torch.dtype, folder: Path) -> ActionImagesTransformer3DModel:
    """A model as it comes from disk: in bfloat16 but for rotations, norms and noise levels."""
    ActionImagesTransformer3DModel(**config).save_pretrained(folder)
    return ActionImagesTransformer3DModel.from_pretrained(folder, torch_dtype=dtype)


def inputs_for(model: ActionImagesTransformer3DModel, load: Load) -> dict[str, Any]:
    config = model.config
    camera = {
        "released": (96, load.height, load.width),
        "rays": (24, load.height // 2, load.width // 2),
        None: None,
    }[config["camera"]]
    level = (load.batch_size, load.num_frames) if config["per_frame_noise_level"] else (load.batch_size,)
    side, dtype, layout = config["pixels_per_token"], model.dtype, LAYOUTS[load.num_frames]
    shown = (
        load.batch_size,
        2,
        2,
        config["motion_frames"],
        3,
        load.height // 2 * side,
        load.width // 2 * side,
    )
    return {
        "hidden_states": torch.randn(
            load.batch_size, config["in_channels"], load.num_frames, load.height, load.width, dtype=dtype
        ),
        "timestep": torch.rand(level),
        "encoder_hidden_states": torch.randn(
            load.batch_size, load.num_words, config["text_dim"], dtype=dtype
        ),
        "camera": None
        if camera is None
        else torch.randn(load.batch_size, load.num_frames, *camera, dtype=dtype),
        "first_frames": torch.rand(
            load.batch_size, 2, 3, load.height // 2 * side, load.width // 2 * side, dtype=dtype
        ),
        "layout": layout,
        "later_frames": torch.rand(shown, dtype=dtype) if load.num_given else None,
        "later_actions": torch.rand(shown, dtype=dtype) if load.num_given_actions else None,
        "given": MODES["label" if load.num_given else "simulate"].given(layout).expand(load.batch_size, -1),
        "still": torch.zeros(
            load.batch_size, config["in_channels"], load.num_frames, load.height, load.width, dtype=dtype
        ),
    }


def measure(model: ActionImagesTransformer3DModel, load: Load, backward: bool = False) -> int:
    # The counter does not know the CPU's fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(**inputs_for(model, load)).sample
        if backward:
            output.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", CONFIGS)
def test_operations_of_a_pass(name: str):
    config, load = CONFIGS[name]
    measured = measure(ActionImagesTransformer3DModel(**config), load)
    assert forward_flops(full_config(config), load) == pytest.approx(measured, rel=0.05)


PROJECTIONS = r"blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ffn\.net\.(0\.proj|2))"
"""What `lora_parameters` speaks of."""


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("mode", ["full", "lora"])
@pytest.mark.parametrize("name", CONFIGS)
def test_operations_of_a_training_step(name: str, mode: Mode, checkpointed: bool):
    config, load = CONFIGS[name]
    model = ActionImagesTransformer3DModel(**config)
    if mode == "lora":
        model.add_adapter(LoraConfig(r=4, target_modules=PROJECTIONS))
    if checkpointed:
        model.enable_gradient_checkpointing()
    predicted = training_flops(full_config(config), load, mode, checkpointed, lora_rank=4)
    assert predicted == pytest.approx(measure(model, load, True), rel=0.05)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters(name: str):
    config, _ = CONFIGS[name]
    expected = sum(parameter.numel() for parameter in ActionImagesTransformer3DModel(**config).parameters())
    assert count_parameters(config) == expected


def test_parameters_of_adapters():
    config, _ = CONFIGS["wide"]
    model = ActionImagesTransformer3DModel(**config)
    model.add_adapter(LoraConfig(r=4, target_modules=PROJECTIONS))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert lora_parameters(full_config(config), 4) == trained


@pytest.mark.parametrize("mode", ["full", "lora"])
@pytest.mark.parametrize("name", ["plain", "wide"])
def test_weights_gradients_and_optimizer_state(name: str, mode: Mode):
    config, load = CONFIGS[name]
    model = ActionImagesTransformer3DModel(**config)
    if mode == "lora":
        model.add_adapter(LoraConfig(r=4, target_modules=PROJECTIONS))
    optimizer = torch.optim.AdamW(parameter for parameter in model.parameters() if parameter.requires_grad)
    measure(model, load, backward=True)
    optimizer.step()
    predicted = memory(full_config(config), load, mode, torch.float32, lora_rank=4)
    nbytes = lambda tensors: sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))  # noqa: E731
    assert predicted.weights == pytest.approx(nbytes(model.parameters()), rel=0.05)
    assert predicted.gradients == pytest.approx(
        nbytes(parameter.grad for parameter in model.parameters()), rel=0.05
    )
    state = [tensor for per_parameter in optimizer.state.values() for tensor in per_parameter.values()]
    assert predicted.optimizer == pytest.approx(nbytes(state), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_pass_holds_at_its_peak(tmp_path, name: str, dtype: torch.dtype):
    config, load = CONFIGS[name]
    model = as_loaded(config, dtype, tmp_path)
    given = inputs_for(model, load)
    known = [
        *model.parameters(),
        *model.buffers(),
        *(part for part in given.values() if isinstance(part, torch.Tensor)),
    ]
    measured = peak_bytes(lambda: model(**given), known)
    assert memory(full_config(config), load, "inference", dtype).activations == pytest.approx(
        measured, rel=0.05
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_pass_keeps_for_its_backward_pass(tmp_path, name: str, dtype: torch.dtype):
    config, load = CONFIGS[name]
    model = as_loaded(config, dtype, tmp_path).train()
    given = inputs_for(model, load)
    known = [
        *model.parameters(),
        *model.buffers(),
        *(part for part in given.values() if isinstance(part, torch.Tensor)),
    ]
    measured = saved_bytes(lambda: model(**given), known)
    predicted = memory(full_config(config), load, "full", dtype, checkpointed=False).activations
    assert predicted == pytest.approx(measured, rel=0.05)


def test_the_methods_canvas_has_the_methods_size():
    factors, size = (4, 16), (512, 512)
    joint, policy = (load_of(MODES[mode], 2, 41, size, factors, 512) for mode in ("joint", "policy"))
    assert (joint.num_frames, policy.num_frames) == (44, 24)
    assert joint.num_tokens((2, 2)) == 44 * 256


def test_sharding_splits_what_is_kept_and_adds_one_block():
    config, load = CONFIGS["tiny"]
    config = full_config(config)
    whole, split = (memory(config, load, "full", torch.float32, 4, sharded) for sharded in (False, True))
    assert split.optimizer == whole.optimizer // 4
    assert split.weights == whole.weights // 4 + whole.weights // config["num_layers"]
