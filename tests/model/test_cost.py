"""What is counted without running a network agrees with what is measured by running small ones."""

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from pass_inputs import inputs_for
from peft import LoraConfig
from tensor_bytes import peak_bytes
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from action_images.canvas import MODES
from action_images.errors import ActionImagesError
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.build import build_autoencoder
from action_images.model.cost import (
    LORA_TARGETS,
    Load,
    Network,
    count_parameters,
    forward_flops,
    load_of,
    lora_parameters,
    memory,
    training_flops,
)
from action_images.model.presets import PRESETS
from action_images.model.sketches import frozen
from tiny_models import FULL, TINY

POLICY = MODES["policy"]
WIDE = FULL | {"num_attention_heads": 8, "ffn_dim": 400, "stem_channels": 24}
# The release's camera branch takes latents of 48 channels and at least 16 x 16 places.
RELEASED = TINY | {"camera": "released", "in_channels": 48, "out_channels": 48}
SMALL_CLIP = {
    "num_views": 2,
    "num_frames": 9,
    "size": (64, 64),
    "factors": (4, 8),
    "num_words": 24,
    "batch_size": 2,
}
CONFIGS: dict[str, tuple[dict[str, Any], Load]] = {
    "plain": (TINY, Load(POLICY, num_views=2, num_latents=3, size=(8, 8), num_words=5, batch_size=2)),
    "released": (RELEASED, Load(POLICY, num_views=2, num_latents=3, size=(16, 32), num_words=5)),
    "full": (FULL, Load(POLICY, num_views=2, num_latents=3, size=(8, 12), num_words=5, batch_size=2)),
    "wide": (WIDE, Load(POLICY, num_views=2, num_latents=3, size=(12, 8), num_words=20)),
    "deep": (FULL | {"num_layers": 7}, Load(POLICY, num_views=2, num_latents=3, size=(8, 8), num_words=5)),
    "tiny": (
        PRESETS["tiny"].transformer,
        Load(POLICY, num_views=2, num_latents=3, size=(8, 8), num_words=24),
    ),
    "label": (PRESETS["tiny"].transformer, load_of(MODES["label"], **SMALL_CLIP)),
    "simulate": (PRESETS["tiny"].transformer, load_of(MODES["simulate"], **SMALL_CLIP)),
}
"""Name -> a network, and what it is given."""
Use = Literal["lora", "full"]
Precision = Literal["float32", "bfloat16"]


def real(
    config: dict[str, Any], use: str = "full", *, checkpointed: bool = False
) -> ActionImagesTransformer3DModel:
    """The network with weights."""
    model = ActionImagesTransformer3DModel(**config)
    model.requires_grad_(use == "full")
    if use == "lora":
        model.add_adapter(LoraConfig(r=4, target_modules=list(LORA_TARGETS)))
    if checkpointed:
        model.enable_gradient_checkpointing()
    return model


def measured_flops(model: ActionImagesTransformer3DModel, load: Load, *, backward: bool) -> int:
    # The counter does not know the CPU's fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(**inputs_for(model, load, torch.float32, "cpu")).sample
        if backward:
            output.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", CONFIGS)
def test_operations_of_a_pass(name: str):
    config, load = CONFIGS[name]
    assert forward_flops(Network("wan", config), load) == measured_flops(real(config), load, backward=False)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("use", ["full", "lora"])
@pytest.mark.parametrize("name", CONFIGS)
def test_operations_of_a_training_step(name: str, use: Use, checkpointed: bool):
    config, load = CONFIGS[name]
    counted = training_flops(Network("wan", config), load, use, checkpointed=checkpointed, lora_rank=4)
    assert counted == measured_flops(real(config, use, checkpointed=checkpointed), load, backward=True)


def test_operations_are_those_of_the_formula_for_matrix_products_and_attention():
    """A plain count by hand of a network without additions, so that the counter is not its own judge."""
    config, load = CONFIGS["plain"]
    width, tokens, words, layers = 24, 8 * 4 * 4, 5, 2
    attention = 4 * width * tokens * (tokens + words)
    projections = 2 * width * (6 * width * tokens + 2 * width * words + 2 * config["ffn_dim"] * tokens)
    ends = 2 * tokens * width * 4 * (8 + 8)
    text, level = 2 * words * width * (16 + width), 2 * width * (256 + 7 * width)
    expected = load.batch_size * (layers * (attention + projections) + ends + text + level)
    assert forward_flops(Network("wan", config), load) == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters(name: str):
    config, _ = CONFIGS[name]
    assert count_parameters(Network("wan", config)) == sum(part.numel() for part in real(config).parameters())


def test_parameters_of_adapters():
    config, _ = CONFIGS["wide"]
    trained = sum(part.numel() for part in real(config, "lora").parameters() if part.requires_grad)
    assert lora_parameters(Network("wan", config), 4) == trained


@pytest.mark.parametrize("use", ["full", "lora"])
@pytest.mark.parametrize("name", ["plain", "wide"])
def test_weights_gradients_and_optimizer_state(name: str, use: Use):
    config, load = CONFIGS[name]
    model = real(config, use)
    optimizer = torch.optim.AdamW(part for part in model.parameters() if part.requires_grad)
    measured_flops(model, load, backward=True)
    optimizer.step()
    predicted = memory(Network("wan", config), load, use, "float32", lora_rank=4)
    gradients = [part.grad for part in model.parameters() if part.grad is not None]
    state = [list(of_parameter.values()) for of_parameter in optimizer.state.values()]
    assert predicted.weights == sum(part.nbytes for part in model.parameters())
    assert predicted.gradients == pytest.approx(sum(part.nbytes for part in gradients), rel=0.05)
    # AdamW's step counters are not counted: four bytes for each tensor.
    assert predicted.optimizer == pytest.approx(sum(part.nbytes for part in chain(*state)), rel=0.05)


def tensors_of(model: ActionImagesTransformer3DModel, given: dict[str, Any]) -> list[torch.Tensor]:
    """All that is there before a pass."""
    inputs = [part for part in given.values() if isinstance(part, torch.Tensor)]
    return [*model.parameters(), *model.buffers(), *inputs]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_pass_holds_at_its_peak(tmp_path: Path, name: str, precision: Precision):
    dtype = getattr(torch, precision)
    config, load = CONFIGS[name]
    real(config).save_pretrained(tmp_path)
    # As it comes from disk: in bfloat16 but for rotations, norms and noise levels.
    model = ActionImagesTransformer3DModel.from_pretrained(tmp_path, torch_dtype=dtype)
    given = inputs_for(model, load, dtype, "cpu")
    measured = peak_bytes(lambda: model(**given), tensors_of(model, given))
    held = memory(Network("wan", config), load, "inference", precision)
    assert held.weights == sum(part.nbytes for part in model.parameters())
    predicted = held.activations
    assert predicted == pytest.approx(measured, rel=0.05)


def forget(parameter: torch.Tensor) -> None:
    """Gradients are counted apart: each is let go as soon as it is whole."""
    parameter.grad = None


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("use", ["full", "lora"])
@pytest.mark.parametrize("name", ["plain", "full", "deep"])
def test_what_a_training_step_holds_at_its_peak(name: str, use: Use, checkpointed: bool):
    config, load = CONFIGS[name]
    model = real(config, use, checkpointed=checkpointed)
    given = inputs_for(model, load, torch.float32, "cpu")
    for part in model.parameters():
        if part.requires_grad:
            part.register_post_accumulate_grad_hook(forget)

    def step() -> None:
        with torch.enable_grad():
            # Held until the end, as a loss holds what it compares.
            output = model(**given).sample
            output.sum().backward()

    measured = peak_bytes(step, tensors_of(model, given))
    how = {"checkpointed": checkpointed, "lora_rank": 4}
    predicted = memory(Network("wan", config), load, use, "float32", **how)
    # What is measured holds a gradient for the moment in which it becomes whole.
    assert predicted.activations == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("name", ["plain", "deep"])
def test_what_a_step_holds_whose_passes_run_in_bfloat16(name: str, checkpointed: bool):
    """Weights that learn are float32: autocast holds copies of them.

    Attention is as on cards, for which memory is predicted; on a processor more of it is float32.
    """
    config, load = CONFIGS[name]
    model = real(config, checkpointed=checkpointed)
    model.set_attn_processor(WanAttnProcessor())
    given = inputs_for(model, load, torch.float32, "cpu")
    for part in model.parameters():
        part.register_post_accumulate_grad_hook(forget)

    def step() -> None:
        with torch.enable_grad():
            with torch.autocast("cpu", torch.bfloat16):
                output = model(**given).sample
            output.sum().backward()

    measured = peak_bytes(step, tensors_of(model, given))
    network = Network("wan", config)
    predicted = memory(network, load, "full", "float32", passes="bfloat16", checkpointed=checkpointed)
    assert predicted.activations == pytest.approx(measured, rel=0.05)


SMALL_AUTOENCODERS: dict[str, dict[str, Any]] = {
    "Wan2.2": {
        "base_dim": 16,
        "decoder_base_dim": 32,
        "z_dim": 8,
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_spatial": 16,
    },
    "Wan2.1": {"base_dim": 16, "z_dim": 8},
}


@pytest.mark.parametrize("name", SMALL_AUTOENCODERS)
def test_what_an_autoencoder_holds_at_its_peak(name: str):
    config = SMALL_AUTOENCODERS[name]
    statistics = {"latents_mean": [0.0] * 8, "latents_std": [1.0] * 8}
    real_one = WanAutoencoder.new(**config, **statistics)
    known = [*real_one.parameters(), *real_one.buffers()]
    video = torch.zeros(1, 9, 3, 64, 96)
    encoded = peak_bytes(lambda: real_one.encode(video), [*known, video])
    latents = real_one.encode(video)
    decoded = peak_bytes(lambda: real_one.decode(latents), [*known, latents])
    preset = replace(PRESETS["wan2.2-5b"], autoencoder=config)
    counted = frozen.autoencoder(preset, 9, (64, 96), 1, 4)
    assert counted.weights == 4 * sum(part.numel() for part in real_one.vae.parameters())
    assert counted.encoding == pytest.approx(encoded, rel=0.05)
    assert counted.decoding == pytest.approx(decoded, rel=0.05)


def test_what_principal_components_hold_at_their_peak():
    preset = PRESETS["tiny"]
    fitted = build_autoencoder(preset).fit([(torch.randn(9, 3, 64, 64), 1.0)])
    known = list(fitted.buffers())
    video = torch.zeros(2, 9, 3, 64, 64)
    encoded = peak_bytes(lambda: fitted.encode(video), [*known, video])
    counted = frozen.autoencoder(preset, 9, (64, 64), 2, 4)
    assert counted.weights == sum(part.nbytes for part in known)
    assert counted.encoding == pytest.approx(encoded, rel=0.05)


def test_the_language_models_size_is_the_published_one():
    assert frozen.umt5_parameters() == 5_680_910_336


def test_the_methods_canvas_has_the_methods_size():
    clip = {"num_views": 2, "num_frames": 41, "size": (512, 512), "factors": (4, 16), "num_words": 512}
    joint, policy = (load_of(MODES[mode], **clip) for mode in ("joint", "policy"))
    assert (joint.num_frames, policy.num_frames) == (44, 24)
    assert joint.num_tokens((2, 2)) == 44 * 256


def test_sharding_splits_what_is_kept_and_adds_one_block():
    config, load = CONFIGS["tiny"]
    whole, split = (
        memory(Network("wan", config), load, "full", "float32", num_devices=4, sharded=sharded)
        for sharded in (False, True)
    )
    assert split.optimizer == whole.optimizer // 4
    assert split.weights == whole.weights // 4 + whole.weights // config["num_layers"]


def test_a_family_of_transformers_that_is_not_counted_is_named():
    with pytest.raises(ActionImagesError, match="the family 'ltx' are not counted, only wan"):
        Network("ltx", {})
