"""One place chooses the device and the dtype, and says why."""

import pytest
import torch

from action_images import device as devices
from action_images.device import ENOUGH, bfloat16_gain, learning_gain, place_of
from action_images.errors import ActionImagesError


@pytest.fixture
def cards(monkeypatch):
    """What torch says of this machine's cards, so that every answer can be tried on a machine without one."""

    def say(count: int, capability: tuple[int, int] = (9, 0), built: str | None = "13.0") -> None:
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Card")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    return say


def test_auto_is_cuda_then_mps_then_cpu(cards, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    cards(2)
    assert place_of("auto", "auto").line == (
        "runs on cuda:0 in bfloat16: the first CUDA card, Card; the card has bfloat16"
    )
    cards(0)
    assert devices._device("auto")[0].type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    place = place_of("auto")
    assert (place.device.type, place.dtype) == ("cpu", torch.float32)
    assert "neither" in place.why


@pytest.mark.parametrize(
    ("name", "told", "message"),
    [
        ("cuda", {"count": 0, "built": None}, "built without CUDA; install a CUDA build of torch 2"),
        ("cuda", {"count": 0}, "finds no card; see that nvidia-smi lists one"),
        ("cuda:3", {"count": 2}, "has 2 CUDA cards, the last is cuda:1; give that"),
        ("mps", {"count": 0}, "no Apple computer"),
        ("gpu", {"count": 1}, "there is no such device; give auto, cpu, cuda"),
        ("meta", {"count": 1}, "models run on auto, cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_sentence_with_the_cure(cards, name, told, message):
    cards(**told)
    with pytest.raises(ActionImagesError, match=message):
        place_of(name)


def test_a_dtype_that_the_card_lacks_is_refused_and_auto_avoids_it(cards):
    cards(1, capability=(7, 5))
    with pytest.raises(
        ActionImagesError, match=r"Card \(cuda:0\) has no bfloat16 products; give --dtype float32"
    ):
        place_of("cuda", "bfloat16")
    assert devices._dtype(torch.device("cuda", 0)) == (torch.float32, "the card has no bfloat16")


def test_a_dtype_that_cannot_multiply_is_refused():
    with pytest.raises(ActionImagesError, match="mps cannot multiply in it; give --dtype float32"):
        devices._checked(torch.device("mps"), torch.float64)  # nor can Apple's own


def test_the_processor_gets_what_it_measures_faster(monkeypatch):
    place = place_of("cpu", "auto")
    gain = bfloat16_gain()
    assert 0.01 < gain < 100
    assert place.dtype is (torch.bfloat16 if gain >= ENOUGH else torch.float32)
    assert f"measured {gain:.2f} times" in place.line
    monkeypatch.setattr(devices, "bfloat16_gain", lambda: 2.3)
    monkeypatch.setattr(devices, "learning_gain", lambda: 0.7)
    assert place_of("cpu", "auto").dtype is torch.bfloat16
    assert place_of("cpu", "auto", learns=True).dtype is torch.float32


def test_training_is_measured_with_its_gradient():
    gain = learning_gain()
    assert 0.01 < gain < 100
    assert f"measured {gain:.2f} times" in place_of("cpu", "auto", learns=True).line
