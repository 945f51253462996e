"""Video files: written from and read into uint8 tensors."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor


def write_video(path: Path, frames: Iterable[UInt8[Tensor, "3 h w"]], fps: float, crf: int = 18, pixel_format: str = "yuv420p") -> None:
    """Write RGB frames as an H.264 mp4; `crf` 0 (lossless) to 51, yuv420p needs even sizes."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1_000_000))
                stream.height, stream.width, stream.pix_fmt = *frame.shape[-2:], pixel_format
                stream.options = {"crf": str(crf)}
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.movedim(0, -1).numpy()), format="rgb24")
            container.mux(stream.encode(picture))
        if stream is None:
            raise ValueError(f"{path}: a video needs at least one frame")
        container.mux(stream.encode())


def read_video(path: Path) -> UInt8[Tensor, "frame 3 h w"]:
    """All frames of a video file."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).movedim(-1, -3)
