"""The arithmetic of costs agrees with what is measured on small models, to 5 %."""

import pytest
import torch
from tiny_models import FULL, TINY
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from action_images.canvas import TASKS
from action_images.model.cost import (
    Load,
    count_parameters,
    forward_flops,
    full_config,
    load_of,
    lora_parameters,
    memory,
    saved_by_a_block,
    training_flops,
)
from action_images.model.denoiser import ActionImagesTransformer3DModel, CameraBlock
from action_images.model.presets import PRESETS

LAYOUT = TASKS["policy"].layout(2, 3)
CONFIGS = {
    "plain": (TINY, Load(2, 8, 8, 8, 5)),
    "released": (TINY | {"camera": "released"}, Load(1, 8, 16, 32, 5)),
    "full": (FULL, Load(2, 8, 8, 12, 5, per_frame_levels=True)),
    "wide": (FULL | {"num_attention_heads": 8, "ffn_dim": 400, "stem_channels": 24}, Load(1, 8, 12, 8, 20, per_frame_levels=True)),
    "tiny": (PRESETS["tiny"].transformer, Load(2, 8, 8, 8, 24, per_frame_levels=True)),
}


def measure(model: ActionImagesTransformer3DModel, load: Load, backward: bool = False) -> int:
    config = model.config
    camera = {"released": (96, load.height, load.width), "rays": (24, load.height // 2, load.width // 2), None: None}[config["camera"]]
    level = (load.batch_size, load.num_frames) if load.per_frame_levels else (load.batch_size,)
    side = config["pixels_per_token"]
    # The counter does not know the CPU's fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(
            torch.randn(load.batch_size, config["in_channels"], load.num_frames, load.height, load.width),
            torch.rand(level),
            torch.randn(load.batch_size, load.num_words, config["text_dim"]),
            camera=None if camera is None else torch.randn(load.batch_size, load.num_frames, *camera),
            first_frames=torch.rand(load.batch_size, 2, 3, load.height // 2 * side, load.width // 2 * side),
            layout=LAYOUT,
        ).sample
        if backward:
            output.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", CONFIGS)
def test_operations_of_a_pass(name: str):
    config, load = CONFIGS[name]
    measured = measure(ActionImagesTransformer3DModel(**config), load)
    assert forward_flops(full_config(config), load) == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_operations_of_a_training_step(checkpointed: bool):
    config, load = CONFIGS["wide"]
    model = ActionImagesTransformer3DModel(**config)
    if checkpointed:
        model.enable_gradient_checkpointing()
    assert training_flops(full_config(config), load, "full", checkpointed) == pytest.approx(measure(model, load, True), rel=0.05)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters(name: str):
    config, _ = CONFIGS[name]
    expected = sum(parameter.numel() for parameter in ActionImagesTransformer3DModel(**config).parameters())
    assert count_parameters(config) == expected


def test_parameters_of_adapters():
    from peft import LoraConfig

    config, _ = CONFIGS["wide"]
    model = ActionImagesTransformer3DModel(**config)
    model.add_adapter(LoraConfig(r=4, target_modules=r"blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ffn\.net\.(0\.proj|2))"))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert lora_parameters(full_config(config), 4) == trained


@pytest.mark.parametrize("name", ["plain", "wide"])
def test_weights_gradients_and_optimizer_state(name: str):
    config, load = CONFIGS[name]
    model = ActionImagesTransformer3DModel(**config)
    optimizer = torch.optim.AdamW(model.parameters())
    measure(model, load, backward=True)
    optimizer.step()
    predicted = memory(full_config(config), load, "full", torch.float32)
    nbytes = lambda tensors: sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))  # noqa: E731
    assert predicted.weights == pytest.approx(nbytes(model.parameters()), rel=0.05)
    assert predicted.gradients == pytest.approx(nbytes(parameter.grad for parameter in model.parameters()), rel=0.05)
    state = [tensor for per_parameter in optimizer.state.values() for tensor in per_parameter.values()]
    assert predicted.optimizer == pytest.approx(nbytes(state), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_block_keeps_for_its_backward_pass(dtype: torch.dtype):
    tokens, words, width, ffn = 512, 32, 96, 192
    block = CameraBlock(width, ffn, 4, "rms_norm_across_heads", True, 1e-6).to(dtype)
    hidden, text = (torch.randn(1, number, width, dtype=dtype, requires_grad=True) for number in (tokens, words))
    rotary = torch.randn(1, tokens, 1, width // 4)
    known = {tensor.untyped_storage().data_ptr() for tensor in (hidden, text, rotary, *block.parameters())}
    kept = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in known:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        block(hidden, text, torch.randn(1, 1, 6, width), (rotary, rotary), None, torch.zeros(1, tokens, dtype=torch.long))
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert saved_by_a_block(tokens, words, width, ffn, dtype) == pytest.approx(measured, rel=0.05)


def test_the_methods_canvas_has_the_methods_size():
    factors, size = (4, 16), (512, 512)
    joint, policy = (load_of(TASKS[task], 2, 41, size, factors, 512) for task in ("joint", "policy"))
    assert (joint.num_frames, policy.num_frames) == (44, 24)
    assert joint.num_tokens((2, 2)) == 44 * 256


def test_sharding_splits_what_is_kept_and_adds_one_block():
    config, load = CONFIGS["tiny"]
    config = full_config(config)
    whole, split = (memory(config, load, "full", torch.float32, 4, sharded) for sharded in (False, True))
    assert split.optimizer == whole.optimizer // 4
    assert split.weights == whole.weights // 4 + whole.weights // config["num_layers"]
