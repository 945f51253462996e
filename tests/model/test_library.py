"""diffusers and peft work on our models: saving, LoRA, caches, offloading, context parallelism."""

import pytest
import torch

from action_images.canvas import MODES
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from tiny_models import FULL

LAYOUT = MODES["policy"].layout(2, 3)


@pytest.fixture
def model() -> ActionImagesTransformer3DModel:
    """A tiny transformer with every addition, and nothing in it at its zero start."""
    model = ActionImagesTransformer3DModel(**FULL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def call(inputs):
    """Calls a model on one fixed input."""
    given = inputs(num_frames=LAYOUT.num_frames, height=4, width=4)
    given |= {
        "camera": torch.randn(2, 8, 24, 2, 2),
        "first_frames": torch.rand(2, 2, 3, 32, 32),
        "layout": LAYOUT,
    }

    def run(model, **changes):
        with torch.no_grad():
            return model(**{**given, **changes}).sample

    return run


def test_it_comes_back_from_disk_as_safetensors(model, call, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = ActionImagesTransformer3DModel.from_pretrained(tmp_path)
    assert {name: loaded.config[name] for name in FULL} == FULL
    assert torch.equal(call(loaded), call(model))


def test_wans_weights_load_under_our_class(inputs, tmp_path):
    from diffusers import WanTransformer3DModel

    from tiny_models import TINY

    wan = WanTransformer3DModel(**TINY).eval()
    wan.save_pretrained(tmp_path)
    ours, given = ActionImagesTransformer3DModel.from_pretrained(tmp_path), inputs()
    with torch.no_grad():
        torch.testing.assert_close(ours(**given).sample, wan(**given).sample, atol=1e-6, rtol=0)


def test_a_lora_is_trained_saved_and_loaded(model, call, tmp_path):
    from peft import LoraConfig

    before = call(model)
    model.add_adapter(
        LoraConfig(r=2, target_modules=["to_q", "to_v", "projector", "proj"], init_lora_weights=False)
    )
    adapted = call(model)
    assert not torch.allclose(adapted, before, atol=1e-3)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trainable
    assert all("lora" in name for name in trainable)
    model.save_lora_adapter(tmp_path)
    model.delete_adapters("default")
    torch.testing.assert_close(call(model), before)
    model.load_lora_adapter(tmp_path, weight_name="pytorch_lora_weights.safetensors", prefix=None)
    torch.testing.assert_close(call(model), adapted)


def test_a_lora_is_scaled_for_one_call(model, call):
    from peft import LoraConfig

    before = call(model)
    model.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    torch.testing.assert_close(call(model, attention_kwargs={"scale": 0.0}), before)


def test_first_block_cache_skips_the_rest_where_little_changes(model, call):
    from diffusers import FirstBlockCacheConfig

    before, num_calls = call(model), []
    model.blocks[-1].attn1.register_forward_hook(lambda *_: num_calls.append(1))
    model.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    with model.cache_context("cond"):
        torch.testing.assert_close(call(model), before)
        call(model)
    assert len(num_calls) == 1
    model.disable_cache()
    torch.testing.assert_close(call(model), before)


def test_pyramid_attention_broadcast_reuses_attention(model, call):
    from diffusers import PyramidAttentionBroadcastConfig

    num_calls = []
    model.blocks[0].attn1.to_q.register_forward_hook(lambda *_: num_calls.append(1))
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(-1, 1001),
        current_timestep_callback=lambda: 500,
    )
    model.enable_cache(config)
    with model.cache_context("cond"):
        for _ in range(4):
            call(model)
    assert len(num_calls) == 2


@pytest.mark.parametrize("offload_type", ["block_level", "leaf_level"])
def test_group_offloading_changes_nothing(model, call, offload_type: str):
    before = call(model)
    groups = {"num_blocks_per_group": 1} if offload_type == "block_level" else {}
    model.enable_group_offload(torch.device("cpu"), torch.device("cpu"), offload_type=offload_type, **groups)
    torch.testing.assert_close(call(model), before)


def test_blocks_can_stay_on_disk(model, call, tmp_path):
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import compute_module_sizes

    before = call(model)
    block = compute_module_sizes(model)["blocks.1"]
    room = {"cpu": compute_module_sizes(model)[""] - block, "disk": 10**9}
    device_map = infer_auto_device_map(model, room, no_split_module_classes=model._no_split_modules)
    assert "disk" in device_map.values()
    assert not any(name.startswith("blocks.0.") for name in device_map), "a block was split"
    dispatched = dispatch_model(model, device_map, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
    assert any(parameter.device.type == "meta" for parameter in dispatched.parameters())
    torch.testing.assert_close(call(dispatched), before)


def test_layers_can_be_stored_in_fewer_bits_than_they_compute_in(model, call):
    before = call(model)
    model.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)
    assert model.blocks[0].ffn.net[2].weight.dtype == torch.bfloat16
    torch.testing.assert_close(call(model), before, atol=0.05, rtol=0.05)


def _context_parallel(rank: int, folder: str) -> None:
    import torch.distributed as dist
    from diffusers import ContextParallelConfig

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = ActionImagesTransformer3DModel.from_pretrained(folder).eval()
    model.set_attention_backend("native")
    # diffusers counts accelerators to place ranks; on the CPU all ranks share the one device.
    torch.accelerator.device_count = lambda: 1
    model.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
    given = torch.load(f"{folder}/given.pt", weights_only=False)
    with torch.no_grad():
        torch.testing.assert_close(model(**given["inputs"]).sample, given["expected"], atol=1e-5, rtol=1e-5)
    dist.destroy_process_group()


def test_two_processes_share_the_tokens_of_one_sample(model, inputs, tmp_path):
    # Ulysses; diffusers' ring attention has no CPU kernel that returns what it needs.
    given = inputs(num_frames=LAYOUT.num_frames, height=4, width=4)
    given |= {
        "camera": torch.randn(2, 8, 24, 2, 2),
        "first_frames": torch.rand(2, 2, 3, 32, 32),
        "layout": LAYOUT,
    }
    given["timestep"] = torch.rand(2, LAYOUT.num_frames) * 1000
    with torch.no_grad():
        torch.save({"inputs": given, "expected": model(**given).sample}, tmp_path / "given.pt")
    model.save_pretrained(tmp_path)
    torch.multiprocessing.spawn(_context_parallel, (str(tmp_path),), nprocs=2)


def test_what_is_pushed_to_a_hub_is_what_loads(model, call, tmp_path, monkeypatch):
    """The hub itself is out of reach of tests: what would be uploaded to it is caught at the door."""
    import shutil

    from diffusers.utils import hub_utils

    monkeypatch.setattr(
        hub_utils, "create_repo", lambda repo_id, **_: type("Repository", (), {"repo_id": repo_id})
    )
    monkeypatch.setattr(hub_utils, "load_or_create_model_card", lambda *_, **__: None)
    monkeypatch.setattr(
        hub_utils, "populate_model_card", lambda *_, **__: type("Card", (), {"save": lambda *_: None})
    )
    monkeypatch.setattr(
        hub_utils, "upload_folder", lambda folder_path, **_: shutil.copytree(folder_path, tmp_path / "hub")
    )
    model.push_to_hub("someone/tiny")
    assert torch.equal(call(ActionImagesTransformer3DModel.from_pretrained(tmp_path / "hub")), call(model))
