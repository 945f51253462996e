"""Attention in bfloat16 on a processor: learnt in float32, as torch's own gradient is slow there."""

from contextlib import nullcontext

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from action_images.canvas import MODES
from action_images.model.backbones.attention import Attention
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from tiny_models import FULL

LAYOUT = MODES["policy"].layout(2, 3)


class Softmax(TorchFunctionMode):
    """Notes the dtypes in which fused attention is computed."""

    def __init__(self):
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            given = (*args, *(kwargs or {}).values())
            self.dtypes |= {one.dtype for one in given if isinstance(one, torch.Tensor)}
        return func(*args, **(kwargs or {}))


@pytest.fixture
def attention():
    torch.manual_seed(0)
    attention = WanAttention(32, heads=2, dim_head=16)
    attention.set_processor(Attention())
    return attention


def learn(attention, tokens, *, cast: bool):
    """The answer and the gradient of the first weights."""
    with torch.autocast("cpu", torch.bfloat16) if cast else nullcontext():
        answer = attention(tokens)
    answer.float().square().sum().backward()
    gradient = attention.to_q.weight.grad.float()
    attention.zero_grad()
    return answer, gradient


@pytest.mark.parametrize("whole", [False, True], ids=["autocast", "all in bfloat16"])
def test_what_learns_in_bfloat16_takes_its_softmax_in_float32(attention, whole):
    tokens = torch.randn(2, 9, 32)
    exact = [value.detach() for value in learn(attention, tokens, cast=False)]
    if whole:
        attention, tokens = attention.bfloat16(), tokens.bfloat16()
    with Softmax() as softmax:
        answer, gradient = learn(attention, tokens, cast=not whole)
    assert softmax.dtypes == {torch.float32}
    assert answer.dtype == torch.bfloat16
    for found, right in zip((answer.float(), gradient), exact, strict=True):
        assert (found - right).norm() < 0.02 * right.norm()


def test_nothing_changes_where_nothing_learns_or_all_is_float32(attention):
    tokens = torch.randn(2, 9, 32)
    answer, gradient = learn(attention, tokens, cast=False)
    attention.set_processor(WanAttnProcessor())
    for found, right in zip((answer, gradient), learn(attention, tokens, cast=False), strict=True):
        assert torch.equal(found, right)
    attention.set_processor(Attention())
    with Softmax() as softmax, torch.no_grad():
        attention.bfloat16()(tokens.bfloat16())
    assert softmax.dtypes == {torch.bfloat16}


@pytest.mark.parametrize("way", ["checkpointed", "compiled"])
def test_checkpointed_and_compiled_blocks_learn_the_same(inputs, way):
    given = inputs(num_frames=LAYOUT.num_frames, height=4, width=4)
    given |= {
        "camera": torch.randn(2, 8, 24, 2, 2),
        "first_frames": torch.rand(2, 2, 3, 32, 32),
        "layout": LAYOUT,
    }
    model = ActionImagesTransformer3DModel(**FULL)

    def gradients():
        with torch.autocast("cpu", torch.bfloat16):
            model(**given).sample.float().square().mean().backward()
        found = [one.grad.clone() for one in model.parameters() if one.grad is not None]
        model.zero_grad()
        return found

    plain = gradients()
    if way == "checkpointed":
        model.enable_gradient_checkpointing()
    else:
        model.compile_repeated_blocks(dynamic=False, backend="aot_eager")
    with Softmax() as softmax:
        found = gradients()
    assert way == "compiled" or softmax.dtypes == {torch.float32}
    for one, other in zip(found, plain, strict=True):
        assert (one - other).norm() <= 0.02 * other.norm() + 1e-6
