"""What a container says of its pictures is followed or refused by name: turns, crops, colours, order."""

import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from action_images.episodes.episode import EpisodeError
from action_images.episodes.resize import FramesFitted
from action_images.episodes.video import VideoFrames, read_video, write_video

H, W = 48, 64


def picture(number: int) -> torch.Tensor:
    """A picture (3, h, w) without any symmetry, whose grey level is its number."""
    frame = torch.zeros(3, H, W, dtype=torch.uint8)
    frame[:] = 20 + 8 * number
    frame[0, : H // 2, : W // 2] = 250
    frame[1, : H // 4] = 250
    return frame


def encode(path, frames, *, codec="libx264", options=None, degrees=0, mirrored=(False, False), aspect=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = frames[0].shape[1], frames[0].shape[2], "yuv420p"
        stream.options = options or {"crf": "5"}
        if degrees or any(mirrored):
            stream.set_display_rotation(degrees, hflip=mirrored[0], vflip=mirrored[1])
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for frame in frames:
            pixels = np.ascontiguousarray(frame.movedim(0, -1).numpy())
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("degrees", "mirrored", "shown"),
    [
        (180, (False, False), lambda x: x.flip(-1, -2)),
        (90, (False, False), lambda x: torch.rot90(x, 1, (-2, -1))),  # the note counts anticlockwise
        (-90, (False, False), lambda x: torch.rot90(x, -1, (-2, -1))),
        (0, (True, False), lambda x: x.flip(-1)),
        (0, (False, True), lambda x: x.flip(-2)),
    ],
)
def test_a_note_to_turn_or_mirror_is_followed_as_players_do(tmp_path, degrees, mirrored, shown):
    encode(tmp_path / "plain.mp4", [picture(i) for i in range(6)])
    encode(tmp_path / "noted.mp4", [picture(i) for i in range(6)], degrees=degrees, mirrored=mirrored)
    noted = VideoFrames(tmp_path / "noted.mp4")
    expected = shown(read_video(tmp_path / "plain.mp4"))
    assert noted.size == tuple(expected.shape[-2:])
    assert torch.equal(noted.read(range(6)), expected)
    assert torch.equal(noted.read([4, 1]), expected[[4, 1]])
    assert "stored turned or mirrored" in noted.notes[0]
    assert VideoFrames(tmp_path / "plain.mp4").notes == ()


def test_a_turn_that_is_no_quarter_is_refused_by_name(tmp_path):
    encode(tmp_path / "v.mp4", [picture(0)], degrees=30)
    with pytest.raises(EpisodeError, match=r"rotation note .* no quarter turn; encode it again"):
        len(VideoFrames(tmp_path / "v.mp4"))


def test_an_avi_without_times_is_read_in_the_order_that_decoding_gives(tmp_path):
    """AVI numbers packets as they are decoded: sorted by those numbers, pictures come 0, 2, 1, 4, 3, 8 ..."""
    frames = [picture(i) for i in range(24)]
    encode(tmp_path / "v.avi", frames, options={"crf": "5", "bf": "3", "b-pyramid": "normal"})
    video = VideoFrames(tmp_path / "v.avi")
    levels = [round((int(frame[2, -1, -1]) - 20) / 8) for frame in video.read(range(len(video)))]
    assert levels == list(range(24))
    assert [round((int(frame[2, -1, -1]) - 20) / 8) for frame in video.read([17, 3, 17])] == [17, 3, 17]
    assert "holds no times" in video.notes[0]


def test_pixels_that_are_not_square_are_kept_as_stored_and_said(tmp_path):
    encode(tmp_path / "v.mp4", [picture(i) for i in range(3)], aspect=Fraction(4, 3))
    video = VideoFrames(tmp_path / "v.mp4")
    assert video.size == (H, W)
    assert video.notes == ("players stretch its pixels (4:3); they are kept as stored, as OpenCV reads them",)


def test_remarks_on_videos_outlive_a_change_of_size_and_a_crop_is_told(tmp_path):
    encode(tmp_path / "v.mp4", [picture(i) for i in range(3)], aspect=Fraction(4, 3))
    video = VideoFrames(tmp_path / "v.mp4")
    assert FramesFitted(video, (24, 32)).notes == video.notes
    cropped = FramesFitted(video, (32, 32)).notes
    assert cropped[:-1] == video.notes
    assert cropped[-1] == "the middle 48 x 48 px of 48 x 64 are kept, as 32 x 32 has another aspect"


RED = (200, 40, 50)


def coloured(path, size, matrix, *, is_tagged):
    """One colour, converted by a matrix that the file names or does not."""
    frame = av.VideoFrame.from_ndarray(np.full((*size, 3), RED, np.uint8), format="rgb24")
    number = {"ITU601": 6, "ITU709": 1}[matrix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if is_tagged:
            stream.codec_context.colorspace = number
        converted = frame.reformat(format="yuv420p", dst_colorspace=matrix)
        container.mux(stream.encode(converted))
        container.mux(stream.encode())


@pytest.mark.parametrize("matrix", ["ITU601", "ITU709"])
@pytest.mark.parametrize("size", [(48, 64), (720, 1280)])
def test_tagged_colours_are_followed_at_any_size(tmp_path, matrix, size):
    coloured(tmp_path / "v.mp4", size, matrix, is_tagged=True)
    found = read_video(tmp_path / "v.mp4")[0, :, 10, 10]
    assert (found.int() - torch.tensor(RED)).abs().max() <= 6


@pytest.mark.parametrize(("size", "matrix"), [((48, 64), "ITU601"), ((720, 1280), "ITU709")])
def test_untagged_colours_are_guessed_by_height_and_said(tmp_path, size, matrix):
    coloured(tmp_path / "v.mp4", size, matrix, is_tagged=False)
    video = VideoFrames(tmp_path / "v.mp4")
    assert (video.read([0])[0, :, 10, 10].int() - torch.tensor(RED)).abs().max() <= 6
    assert any("BT.709 is taken" in note for note in video.notes) == (matrix == "ITU709")


def test_our_own_videos_have_the_colours_that_were_written_at_any_size(tmp_path):
    for size in ((64, 64), (720, 1280)):
        frame = torch.tensor(RED, dtype=torch.uint8)[:, None, None].expand(3, *size)
        write_video(tmp_path / "v.mp4", [frame], 10, crf=1)
        assert (read_video(tmp_path / "v.mp4")[0, :, 9, 9].int() - torch.tensor(RED)).abs().max() <= 4
        assert VideoFrames(tmp_path / "v.mp4").notes == ()


def with_box(content: bytes, path: tuple[bytes, ...], box: bytes) -> bytes:
    """An mp4 with one more box at the end of the innermost of `path`; every box around it grows."""
    place = 0
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if kind == path[0]:
            head = {b"stsd": 16, b"avc1": 86}.get(kind, 8)
            inner = content[place + head : place + size]
            inner = with_box(inner, path[1:], box) if len(path) > 1 else inner + box
            grown = struct.pack(">I4s", head + len(inner), kind) + content[place + 8 : place + head] + inner
            return content[:place] + grown + content[place + size :]
        place += size
    raise AssertionError(path)


@pytest.mark.parametrize(("width", "is_refused"), [(W - 16, True), (W, False)])
def test_a_note_to_crop_an_mp4_is_refused_by_name(tmp_path, width, is_refused):
    write_video(tmp_path / "v.mp4", [picture(i) for i in range(3)], 10)
    clap = struct.pack(">I4s8i", 40, b"clap", width, 1, H, 1, 0, 1, 0, 1)
    path = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")
    (tmp_path / "v.mp4").write_bytes(with_box((tmp_path / "v.mp4").read_bytes(), path, clap))
    if not is_refused:
        assert len(VideoFrames(tmp_path / "v.mp4")) == 3
        return
    with pytest.raises(EpisodeError, match=f"note to crop to {width}x{H} px, .*encode it again"):
        len(VideoFrames(tmp_path / "v.mp4"))


def element(kind: int, content: bytes) -> bytes:
    """A Matroska element whose size has eight bytes."""
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content


def test_a_note_to_crop_a_matroska_file_is_refused_by_name(tmp_path):
    video = element(0xE0, element(0xB0, b"\x40") + element(0x54DD, b"\x08") + element(0x54BB, b"\x00"))
    tracks = element(0x1654AE6B, element(0xAE, element(0xD7, b"\x01") + video))
    start = element(0x1A45DFA3, element(0x4282, b"matroska"))
    (tmp_path / "v.mkv").write_bytes(start + element(0x18538067, element(0xEC, bytes(30)) + tracks))
    from action_images.episodes.container_crop import cropped_sides

    assert cropped_sides(tmp_path / "v.mkv") == "8 px at the right"


def test_pipes_devices_and_pointers_are_named_instead_of_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    (tmp_path / "lfs.mp4").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    for name, message in (
        ("pipe", "device or a pipe"),
        ("device", "device or a pipe"),
        ("lfs", "git lfs pull"),
    ):
        with pytest.raises(EpisodeError, match=message):
            VideoFrames(tmp_path / f"{name}.mp4").read([0])


def test_a_title_that_is_no_text_hides_no_pictures(tmp_path):
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        container.metadata["title"] = "a title"
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = H, W, "yuv420p"
        pixels = np.ascontiguousarray(picture(3).movedim(0, -1).numpy())
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    content = (tmp_path / "v.avi").read_bytes()
    assert content.count(b"a title") == 1
    (tmp_path / "shift_jis.avi").write_bytes(
        content.replace(b"a title", "動画x".encode("shift_jis") + b"\xff\xff")
    )
    titled, untitled = VideoFrames(tmp_path / "v.avi"), VideoFrames(tmp_path / "shift_jis.avi")
    assert torch.equal(untitled.read([0]), titled.read([0]))


def test_a_file_of_two_videos_is_refused_and_a_cover_picture_is_none(tmp_path):
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        for stream in streams:
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    with pytest.raises(
        EpisodeError, match="holds 2 videos, and programs differ in which they show; keep one"
    ):
        len(VideoFrames(tmp_path / "v.mp4"))
