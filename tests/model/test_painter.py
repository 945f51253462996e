"""A painter begins with what is there, paints each frame alone, and is kept in the folder of its models."""

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.model.build import build
from action_images.model.bundle import Models
from action_images.model.painter import FIRST_SHARE, PAINTER, Painter
from action_images.model.presets import PRESETS
from action_images.model.shipped import INDEX
from small_scenes import clips, scenes


@pytest.fixture
def painter() -> Painter:
    """A painter whose weights are random everywhere, none at its start."""
    made, noise = Painter(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in made.parameters():
            values.add_(0.05 * torch.randn(values.shape, generator=noise))
    return made.eval()


def shown(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """A given image, action images and imagined frames (batch, views, frames, height, width)."""
    noise = torch.Generator().manual_seed(1)
    batch, views, _, height, width = shape
    given = torch.rand(batch, views, 3, height, width, generator=noise) * 2 - 1
    frames = (*shape[:3], 3, *shape[3:])
    return given, torch.rand(frames, generator=noise), torch.rand(frames, generator=noise)


def test_an_untrained_painter_shows_mostly_the_given_image():
    given, actions, imagined = shown(2, 2, 3, 32, 40)
    share = torch.tensor(FIRST_SHARE).sigmoid()
    expected = torch.lerp((given[:, :, None] + 1) / 2, imagined[:, :, 1:], share)
    painted = Painter().paint(given, actions, imagined)
    torch.testing.assert_close(painted[:, :, 1:], expected)


def test_the_first_frame_stays_and_each_frame_is_painted_on_its_own(painter: Painter):
    given, actions, imagined = shown(2, 2, 4, 32, 32)
    whole = painter.paint(given, actions, imagined)
    assert torch.equal(whole[:, :, 0], imagined[:, :, 0])
    assert not torch.allclose(whole[:, :, 1], imagined[:, :, 1])
    order = [0, 3, 1, 2]
    moved = painter.paint(given, actions[:, :, order], imagined[:, :, order])
    torch.testing.assert_close(moved, whole[:, :, order])
    views = painter.paint(given.flip(1), actions.flip(1), imagined.flip(1))
    torch.testing.assert_close(views, whole.flip(1))
    assert painter.paint(given, actions[:, :, :1], imagined[:, :, :1]).equal(imagined[:, :, :1])


def test_it_takes_images_of_other_sizes_and_refuses_those_that_it_cannot_halve(painter: Painter):
    given, actions, imagined = shown(1, 1, 2, 96, 128)
    assert painter.paint(given, actions, imagined).shape == imagined.shape
    with pytest.raises(ActionImagesError, match=r"multiples of 8 px, not \(36, 32\)"):
        painter.paint(*shown(1, 1, 2, 36, 32))


def test_it_is_kept_in_the_folder_of_its_models(painter: Painter, tmp_path):
    models = build(PRESETS["debug"])
    models.autoencoder.fit(clips(scenes(4, size=(32, 32))))
    replace(models, painter=painter).save(tmp_path)
    loaded = Models.load(tmp_path).painter
    assert loaded is not None
    seen = shown(1, 2, 3, 32, 32)
    assert torch.equal(loaded.paint(*seen), painter.paint(*seen))
    weights = tmp_path / PAINTER / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for deferred in (False, True):
        with pytest.raises(ActionImagesError, match="painter/diffusion"):
            Models.load(tmp_path, deferred=deferred)
    # Saved there without one, the old one is not read again.
    models.save(tmp_path)
    assert Models.load(tmp_path).painter is None


def test_an_unknown_kind_of_painter_is_refused(painter: Painter, tmp_path):
    models = build(PRESETS["debug"])
    models.autoencoder.fit(clips(scenes(4, size=(32, 32))))
    replace(models, painter=painter).save(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps(index | {PAINTER: "brush"}))
    with pytest.raises(ActionImagesError, match="unknown painter, 'brush'; known are unet"):
        Models.load(tmp_path)
