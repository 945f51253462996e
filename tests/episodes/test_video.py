"""Frames are read by exact index, from whole files alone."""

import contextlib
import random

import av
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_images.episodes import video as videos
from action_images.episodes import video_index
from action_images.episodes.episode import EpisodeError, FramesSelected
from action_images.episodes.video import VideoFrames, read_video, write_video


def numbered_frames(num_frames: int, size: tuple[int, int] = (32, 64)) -> torch.Tensor:
    """Each frame carries its number as eight black or white bars over a moving ground."""
    numbers = torch.arange(num_frames)
    bits = (numbers[:, None] >> torch.arange(8)) & 1
    bars = (bits * 255).repeat_interleave(size[1] // 8, 1)[:, None, None, :].expand(-1, 3, 12, -1)
    ground = torch.stack([torch.arange(size[1]).roll(int(i) * 3) * 3 % 256 for i in numbers])[
        :, None, None, :
    ]
    return torch.cat([bars, ground.expand(-1, 3, size[0] - 12, -1)], 2).to(torch.uint8)


def numbers_in(frames: torch.Tensor) -> list[int]:
    bars = frames[:, :, 2:10].float().mean((1, 2)).unflatten(-1, (8, -1)).mean(-1)
    return ((bars > 128).long() << torch.arange(8)).sum(-1).tolist()


def encode(path, frames, keyframe_interval=250, extra=None):
    """An H.264 file with B-frames, as an encoder's defaults make it."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[-2:], "yuv420p"
        stream.options = {"crf": "18", "bf": "3", "b-adapt": "0", "g": str(keyframe_interval)} | (extra or {})
        for frame in frames:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(frame.movedim(0, -1).contiguous().numpy(), format="rgb24")
                )
            )
        container.mux(stream.encode())


@pytest.fixture(
    scope="module",
    params=[(250, {}), (12, {}), (2, {}), (30, {"x264-params": "open-gop=1:keyint=30:bframes=3:b-adapt=0"})],
)
def long_video(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "b_frames.mp4"
    encode(path, numbered_frames(150), *request.param)
    return path


def test_the_test_video_has_frames_that_depend_on_later_ones(tmp_path):
    encode(tmp_path / "v.mp4", numbered_frames(60))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert sum(frame.pict_type == 3 for frame in container.decode(video=0)) > 20
    with av.open(str(tmp_path / "v.mp4")) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert times != sorted(times)


def test_every_frame_is_found_by_its_own_index(long_video):
    frames = VideoFrames(long_video)
    assert len(frames) == 150
    assert frames.size == (32, 64)
    assert [numbers_in(frames.read([i]))[0] for i in range(150)] == list(range(150))


def test_a_range_read_alone_equals_the_same_range_of_the_whole(long_video):
    whole = read_video(long_video)
    rng = random.Random(0)
    for _ in range(20):
        indices = [rng.randrange(150) for _ in range(rng.randrange(1, 12))]
        assert torch.equal(VideoFrames(long_video).read(indices), whole[indices])


def test_only_the_range_that_is_needed_is_decoded(tmp_path, monkeypatch):
    write_video(tmp_path / "v.mp4", numbered_frames(120), 20, keyframe_interval=8)
    decoded = []
    original = videos._frames_from

    def counting(path, start):
        for number, frame in original(path, start):
            decoded.append(frame.pts)
            yield number, frame

    monkeypatch.setattr(videos, "_frames_from", counting)
    assert numbers_in(VideoFrames(tmp_path / "v.mp4").read([100, 101])) == [100, 101]
    assert len(decoded) <= 8 + 2


def test_a_file_whose_frame_times_are_uneven_is_read_by_index_too(tmp_path):
    frames = numbered_frames(20)
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        for i, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame.movedim(0, -1).contiguous().numpy(), format="rgb24")
            picture.pts = i * 40 + (i % 3) * 7
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    assert numbers_in(VideoFrames(tmp_path / "v.mp4").read([13, 4, 4])) == [13, 4, 4]


def test_writing_is_close_to_the_picture_and_the_same_each_time(tmp_path):
    frames = numbered_frames(20)
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", frames, 20, crf=10)
    once, again = read_video(tmp_path / "a.mp4"), read_video(tmp_path / "b.mp4")
    assert (once.float() - again.float()).abs().mean() < 0.01  # see docs/data.md on bytes
    assert (read_video(tmp_path / "a.mp4").float() - frames.float()).abs().mean() < 3
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.mp4", "b.mp4"]


def test_odd_sizes_need_full_colour(tmp_path):
    frames = numbered_frames(4, (33, 64))
    with pytest.raises(EpisodeError, match="yuv444p"):
        write_video(tmp_path / "v.mp4", frames, 20)
    write_video(tmp_path / "v.mp4", frames, 20, pixel_format="yuv444p")
    assert read_video(tmp_path / "v.mp4").shape == (4, 3, 33, 64)


@pytest.mark.parametrize(
    "frames", [[], [torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(3, 8, 8, dtype=torch.uint8)]]
)
def test_a_video_that_cannot_be_written_leaves_no_file(tmp_path, frames):
    with pytest.raises(EpisodeError, match=r"at least one frame|change their size"):
        write_video(tmp_path / "v.mp4", frames, 20)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_not_shortened(tmp_path, kept, faststart):
    path = tmp_path / "v.mp4"
    encode(path, numbered_frames(60))
    if faststart:
        with (
            av.open(str(path)) as source,
            av.open(str(tmp_path / "f.mp4"), "w", options={"movflags": "faststart"}) as target,
        ):
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
        path = tmp_path / "f.mp4"
    content = path.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: int(len(content) * kept)])
    if kept == 0.999 and not faststart:  # what is lost here is the encoder's name, behind all frames
        assert torch.equal(read_video(cut), read_video(path))
        return
    with pytest.raises(EpisodeError, match=r"cut.mp4.*(cut short|readable|decoded|damaged)"):
        read_video(cut)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n"
            "#EXTINF:1.0,\n../secret.ts\n#EXT-X-ENDLIST\n",
        ),
        ("list.mp4", "ffconcat version 1.0\nfile secret.ts\n"),
    ],
)
def test_a_list_of_other_files_is_no_video(tmp_path, name, content):
    (tmp_path / "set").mkdir()
    write_video(tmp_path / "secret.mp4", torch.zeros(3, 3, 32, 32, dtype=torch.uint8), 10)
    for place in (tmp_path / "secret.ts", tmp_path / "set/secret.ts"):
        with av.open(str(tmp_path / "secret.mp4")) as read, av.open(str(place), "w") as written:
            stream = written.add_stream_from_template(read.streams.video[0])
            for packet in read.demux(video=0):
                packet.stream = stream
                written.mux(packet) if packet.size else None
    assert len(read_video(tmp_path / "secret.ts")) == 3
    path = tmp_path / "set" / name
    path.write_text(content)
    with av.open(str(path)) as container:  # FFmpeg left to itself reads what the list names
        assert container.format.name in ("hls", "concat")
    with pytest.raises(
        EpisodeError, match="is none of mov,mp4,matroska,webm,avi,mpegts, and nothing else is read"
    ):
        read_video(path)


def test_indices_that_are_not_there_are_refused(tmp_path):
    write_video(tmp_path / "v.mp4", numbered_frames(5), 20)
    frames = VideoFrames(tmp_path / "v.mp4")
    for indices in ([5], [-1], [0, 7]):
        with pytest.raises(EpisodeError, match=r"v.mp4: frame -?\d was asked for, it has 5"):
            frames.read(indices)
    assert frames.read([]).shape == (0, 3, 32, 64)
    with pytest.raises(EpisodeError, match="no such video"):
        VideoFrames(tmp_path / "absent.mp4").read([0])


def test_a_selection_counts_its_own_frames(tmp_path):
    write_video(tmp_path / "v.mp4", numbered_frames(40), 20)
    selection = FramesSelected(VideoFrames(tmp_path / "v.mp4"), range(10, 40, 5))
    assert (len(selection), selection.fps) == (6, 4)
    assert numbers_in(selection.read([0, 5])) == [10, 35]
    with pytest.raises(EpisodeError):
        selection.read([6])


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    write_video(tmp_path / "v.mp4", numbered_frames(10), 20)
    monkeypatch.setattr(videos, "MAX_READ_BYTES", 32 * 64 * 3 * 5)
    with pytest.raises(EpisodeError, match="do not fit in memory"):
        VideoFrames(tmp_path / "v.mp4").read(range(6))
    monkeypatch.setattr(video_index, "MAX_SIDE_PX", 32)
    video_index._read_version.cache_clear()
    with pytest.raises(EpisodeError, match="beyond what is read"):
        VideoFrames(tmp_path / "v.mp4").read([0])


def test_frames_that_an_edit_list_hides_are_not_there(tmp_path):
    """As a phone cuts a video: the first frames stay in the file, and are not shown."""
    write_video(tmp_path / "whole.mp4", numbered_frames(20), 10)
    with (
        av.open(tmp_path / "whole.mp4") as source,
        av.open(tmp_path / "cut.mp4", "w", options={"avoid_negative_ts": "disabled"}) as cut,
    ):
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        period = sorted(packet.pts for packet in packets)[1]
        copy = cut.add_stream_from_template(stream)
        for packet in packets:
            packet.stream, packet.pts, packet.dts = copy, packet.pts - 3 * period, packet.dts - 3 * period
            cut.mux(packet)
    whole, shown = read_video(tmp_path / "whole.mp4"), VideoFrames(tmp_path / "cut.mp4")
    assert len(shown) == 17
    assert torch.equal(shown.read(range(17)), whole[3:])


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_file_gives_an_error_or_frames_never_a_crash(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "v.mp4"
    write_video(path, numbered_frames(6), 20)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(EpisodeError):  # any other error fails this test
        assert read_video(path).dtype == torch.uint8


def test_frames_that_no_level_of_h264_allows_are_refused_before_they_cost_memory(tmp_path):
    frame = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(3, 8192, 8192)
    with pytest.raises(EpisodeError, match=r"8192x8192 are larger than H.264 allows .* --size"):
        write_video(tmp_path / "v.mp4", [frame], 5)
    assert not list(tmp_path.iterdir())
