"""Coded pictures are found in mp4 files as FFmpeg finds them; other and damaged files have none."""

import os

import av
import numpy as np
import pytest
import v3

from action_images.episodes.mp4_samples import samples_of


def written(path, **options):
    """A video with B-frames."""
    times = np.arange(24) / 10
    v3.encode(path, range(24), times, rate=10)
    with av.open(str(path)) as container, av.open(str(path.with_name("other.mp4")), "w", **options) as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path.with_name("other.mp4")


@pytest.mark.parametrize("options", [{}, {"options": {"movflags": "faststart"}}])
def test_samples_lie_where_ffmpeg_finds_them(tmp_path, options):
    path = written(tmp_path / "v.mp4", **options)
    samples = samples_of(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        start = packets[0].dts
        times = [float((packet.dts - start) * packet.time_base) for packet in packets]
        contents = [bytes(packet) for packet in packets]
    assert np.allclose(samples.times, times)
    whole = path.read_bytes()
    places = zip(samples.offsets.tolist(), samples.sizes.tolist(), strict=True)
    assert [whole[place : place + size] for place, size in places] == contents


def test_a_hash_is_that_of_the_pictures_between_two_times(tmp_path):
    samples = samples_of(written(tmp_path / "v.mp4"))
    first, second = samples.hash_between(-0.05, 1.15), samples.hash_between(1.15, 2.35)
    assert first != second
    assert samples.hash_between(-0.05, 1.15) == first
    v3.encode(tmp_path / "w.mp4", [*range(23), 99], np.arange(24) / 10, rate=10)
    assert samples_of(tmp_path / "w.mp4").hash_between(1.15, 2.35) != second


def test_other_and_damaged_files_have_no_samples(tmp_path):
    path = written(tmp_path / "v.mp4")
    content = path.read_bytes()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "short.mp4").write_bytes(content[: len(content) // 2])
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("text", "short", "pipe", "missing"):
        assert samples_of(tmp_path / f"{name}.mp4") is None
    fragmented = written(tmp_path / "f.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    assert samples_of(fragmented) is None


def test_changed_bytes_of_the_header_raise_nothing(tmp_path):
    path = written(tmp_path / "v.mp4")
    content, random = path.read_bytes(), np.random.default_rng(0)
    header = content.index(b"moov")
    for number in range(300):
        damaged = bytearray(content)
        for place in random.integers(header, len(content), 4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        samples = samples_of(path)
        if samples is not None:
            assert len(samples.hash_between(0, 1)) == 64, number
