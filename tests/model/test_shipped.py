"""What models are called says which weights they are."""

import torch
from safetensors.torch import save_file

from action_images.model.shipped import models_name


def weights(folder, value):
    (folder / "transformer").mkdir(parents=True, exist_ok=True)
    save_file(
        {"w": torch.full((100_000,), value)}, folder / "transformer" / "diffusion_pytorch_model.safetensors"
    )
    return str(folder)


def test_two_runs_have_two_names_though_their_folders_are_called_the_same(tmp_path):
    one, other = weights(tmp_path / "a" / "model", 0.0), weights(tmp_path / "b" / "model", 1.0)
    assert models_name(one).startswith("a-")
    assert models_name(other).startswith("b-")
    assert models_name(one).split("-")[1] != models_name(other).split("-")[1]


def test_weights_that_went_on_learning_have_another_name_and_the_same_keep_theirs(tmp_path):
    before = models_name(weights(tmp_path / "mine", 0.0))
    assert models_name(weights(tmp_path / "mine", 0.0)) == before
    assert models_name(weights(tmp_path / "mine", 0.5)) != before
    assert models_name("shipped").startswith("shipped-")


def test_other_ways_to_sample_are_other_models(tmp_path):
    """The index says how models are sampled, which is half of what they answer."""
    folder = weights(tmp_path / "mine", 0.0)
    before = models_name(folder)
    (tmp_path / "mine" / "action_images.json").write_text('{"clips": {"sampling": "one-step"}}')
    assert models_name(folder) != before
