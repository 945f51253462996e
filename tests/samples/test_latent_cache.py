"""Latents are computed once for everything that they depend on."""

import pytest
import torch

from action_images.episodes.episode import EpisodeError
from action_images.samples.latent_cache import LatentCache


def counting():
    calls = []

    def encode(pixels):
        calls.append(tuple(pixels.shape))
        return (pixels.mean((-1, -2)) * 2).to(torch.bfloat16)

    return encode, calls


def test_each_window_and_stream_is_encoded_once(tmp_path):
    encode, calls = counting()
    pixels = torch.rand(2, 3, 4, 4)
    first = LatentCache(tmp_path, encode, "vae 1").latents("e#a[...]", "video", lambda: pixels)
    again = LatentCache(tmp_path, encode, "vae 1").latents("e#a[...]", "video", lambda: 1 / 0)
    assert torch.equal(first, again)
    assert again.dtype == torch.bfloat16
    assert len(calls) == 1


def test_another_key_stream_or_address_is_another_entry(tmp_path):
    encode, calls = counting()
    for key in ("vae 1", "vae 2"):
        cache = LatentCache(tmp_path, encode, key)
        for address in ("a", "b"):
            for stream in ("video", "action", "camera"):
                cache.latents(address, stream, lambda: torch.rand(1, 3, 2, 2))
    assert len(calls) == 12
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_entry_is_named(tmp_path):
    encode, _ = counting()
    cache = LatentCache(tmp_path, encode, "vae")
    cache.latents("a", "video", lambda: torch.rand(1, 3, 2, 2))
    (path,) = tmp_path.rglob("*.pt")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EpisodeError, match=r"\.pt: the cached latents are damaged"):
        cache.latents("a", "video", lambda: torch.rand(1, 3, 2, 2))
