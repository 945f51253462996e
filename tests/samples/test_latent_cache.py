"""Latents are computed once for everything that they depend on."""

import pytest
import torch

from action_images.episodes.episode import EpisodeError
from action_images.samples.latent_cache import LatentCache, damaged, entries


def test_each_address_and_stream_is_encoded_once(tmp_path):
    made = torch.rand(2, 3).to(torch.bfloat16)
    first = LatentCache(tmp_path, {"weights": 1}).latents("e#a[...]", "video", lambda: made)
    again = LatentCache(tmp_path, {"weights": 1}).latents("e#a[...]", "video", lambda: 1 / 0)
    assert torch.equal(first, again)
    assert again.dtype == torch.bfloat16


def test_another_key_stream_or_address_is_another_entry(tmp_path):
    for key in (1, 2):
        cache = LatentCache(tmp_path, {"weights": key})
        for address in ("a", "b"):
            for stream in ("video", "action", "camera"):
                assert cache.find(address, stream) is None
                cache.keep(address, stream, torch.rand(1, 3))
    assert len(entries(tmp_path)) == 12
    assert LatentCache(tmp_path, {"weights": 1}).others() == [{"weights": 2}]
    assert not list(tmp_path.rglob("*-part*"))


def test_the_same_latents_are_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        LatentCache(tmp_path / name, {"weights": 1}).keep("a", "video", torch.ones(2, 3))
    first, second = (entries(tmp_path / name)[0].read_bytes() for name in ("one", "other"))
    assert first == second


@pytest.mark.parametrize("place", [0, 100, "a number"])
def test_a_damaged_entry_is_named(tmp_path, place):
    cache = LatentCache(tmp_path, {"weights": 1})
    cache.keep("a", "video", torch.full((64,), 1.5))
    (path,) = entries(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\0\0\xc0?", b"\0\0\xc1?") if place == "a number" else whole[:place])
    with pytest.raises(EpisodeError, match=r"\.pt: the cached latents are damaged"):
        cache.find("a", "video")
    (line,) = damaged(tmp_path)
    assert str(path) in line


def test_an_entry_in_the_wrong_place_is_named(tmp_path):
    cache = LatentCache(tmp_path, {"weights": 1})
    cache.keep("a", "video", torch.ones(1))
    (path,) = entries(tmp_path)
    cache.keep("b", "video", torch.ones(1))
    (other,) = set(entries(tmp_path)) - {path}
    other.write_bytes(path.read_bytes())
    with pytest.raises(EpisodeError, match="holds the latents of a, not b"):
        cache.find("b", "video")
