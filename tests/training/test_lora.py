"""Low-rank adaptation: the adapters alone learn, and what they learnt is in the exported weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from runs import assert_same_weights, losses_of, parts_of, weights_of

from action_images.model.bundle import Models
from action_images.pipeline import Pipeline
from action_images.training.batches import losses
from action_images.training.checkpoint import checkpoints, load
from action_images.training.recipe import LoraRecipe
from action_images.training.train import Run, train


@pytest.fixture
def adapted(recipe, tmp_path_factory):
    """A recipe that adapts models which were trained a little."""
    base = train(replace(recipe, validation=(), num_steps=1), tmp_path_factory.mktemp("base"))
    lora = LoraRecipe(rank=2, alpha=4)
    return replace(
        recipe, validation=(), pretrained=base, trainable="lora", lora=lora, num_steps=3, ema_decay=None
    )


def test_only_the_adapters_learn_and_the_checkpoint_holds_nothing_else(adapted, tmp_path):
    run = Run.start(replace(adapted, transformer_dtype="bfloat16"), tmp_path)
    names = {name for name, value in run.engine.module.named_parameters() if value.requires_grad}
    assert names
    assert all(".lora_" in name for name in names)
    before = {name: value.clone() for name, value in run.engine.module.named_parameters()}
    for step, batches in run.steps():
        run.learn(step, batches)
    run.save()
    changed = {
        name for name, value in run.engine.module.named_parameters() if not torch.equal(value, before[name])
    }
    assert changed == names
    dtypes = {name: value.dtype for name, value in run.engine.module.named_parameters()}
    assert all(dtypes[name] == torch.float32 for name in names)
    assert any(dtype == torch.bfloat16 for name, dtype in dtypes.items() if name not in names)
    tensors, _ = load(checkpoints(tmp_path / "checkpoints")[-1])
    assert all(".lora_" in name for name in tensors)


def test_the_exported_weights_answer_as_the_adapted_network_does(adapted, tmp_path):
    run = Run.start(adapted, tmp_path)
    for step, batches in run.steps():
        run.learn(step, batches)
    part = parts_of(run, adapted)[0]
    with torch.no_grad():
        here = losses(run.models.denoiser.eval(), part, adapted)
        models = Models.load(run.finish())
        there = losses(models.denoiser.eval(), part, adapted)
        assert adapted.pretrained is not None
        base = Models.load(adapted.pretrained).denoiser.state_dict()
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(base[name], value) for name, value in models.denoiser.state_dict().items())
    assert Pipeline.of(models).models.clips == run.clips


def test_on_rounded_weights_the_merged_ones_are_not_rounded_again(adapted, tmp_path):
    """A frozen network in bfloat16 with float32 adapters is what was validated."""
    run = Run.start(replace(adapted, transformer_dtype="bfloat16", learning_rate=1e-5), tmp_path)
    for step, batches in run.steps():
        run.learn(step, batches)
    layer = run.models.denoiser.transformer.blocks[0].attn1.to_q
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    change = layer.scaling["default"] * (up @ down).detach()
    assert change.abs().max() > 0
    merged = weights_of(run.finish())["blocks.0.attn1.to_q.weight"]
    assert merged.dtype == torch.float32
    torch.testing.assert_close(merged - layer.base_layer.weight.float(), change, rtol=1e-3, atol=1e-8)


def test_the_exported_adapters_on_their_base_answer_as_the_merged_weights_do(adapted, tmp_path):
    """Loaded by diffusers and by peft, alpha (4) other than the rank (2)."""
    adapted = replace(adapted, learning_rate=0.3)
    finished = train(adapted, tmp_path)
    part = parts_of(Run.start(adapted, tmp_path), adapted)[0]
    merged = Models.load(finished)

    def answer(models: Models) -> torch.Tensor:
        with torch.no_grad():
            return losses(models.denoiser.eval(), part, adapted)

    by_diffusers, by_peft = (Models.load(adapted.pretrained) for _ in range(2))
    before = answer(by_diffusers)
    by_diffusers.denoiser.transformer.load_lora_adapter(
        str(finished / "adapter"), prefix="base_model.model", weight_name="adapter_model.safetensors"
    )
    PeftModel.from_pretrained(by_peft.denoiser.transformer, finished / "adapter")
    wanted = answer(merged)
    assert not torch.allclose(before, wanted, rtol=1e-4)
    torch.testing.assert_close(answer(by_diffusers), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answer(by_peft), wanted, rtol=1e-4, atol=1e-5)


def test_an_adaptation_resumes_bit_by_bit(adapted, tmp_path: Path):
    whole = train(adapted, tmp_path / "whole")
    run = Run.start(adapted, tmp_path / "stopped")
    for step, batches in run.steps():
        run.log.step(step, *run.learn(step, batches), 0.0, 1)
        run.save()
        break
    assert_same_weights(train(adapted, tmp_path / "stopped"), whole)
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "stopped")
