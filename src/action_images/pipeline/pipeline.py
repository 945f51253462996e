"""From samples to canvases and back: read this first.

`encode`: draw -> autoencoder -> pack -> given. `decode`: unpack -> autoencoder -> read. Between the two
stands `sampler.sample`, or in training `flow`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import Self

from action_images.canvas import Canvas, Layout, Mode
from action_images.canvas.layout import Segment, Stream
from action_images.codec import RELEASED, ActionImageFormat, Reading, draw, read
from action_images.device import is_true, sent
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Trajectory
from action_images.model.autoencoders.autoencoder import num_latent_frames, num_pixel_frames
from action_images.model.bundle import Models
from action_images.model.conditioning.rays import map_shape
from action_images.model.deferred import DeferredAutoencoder
from action_images.model.denoiser import Condition
from action_images.pipeline.fitting_samples import checked_sample, per_frame, shared_layout
from action_images.pipeline.rigs import Rigs
from action_images.pipeline.still_video import over_still
from action_images.samples.sample import Sample
from action_images.structs import Struct


@dataclass(frozen=True)
class Shown:
    """What is to be encoded, and what it is: pixels are made where somebody asks for them."""

    stream: str
    """'video', 'action', 'still' (a video that stands still), or 'camera', whose pixels are cameras."""
    num_frames: int
    """How many of `pixels` there are."""
    pixels: Callable[[], Any]
    """(b view frame 3 height width) in [-1, 1]."""
    device: torch.device
    drawn_from: Callable[[int, int], tuple[Struct, ...]] | None = None
    """Of action images: what a view of a sample of the batch is drawn from."""


@runtime_checkable
class Encoder(Protocol):
    """What stands between pixels and an autoencoder: a cache, or nothing."""

    def __call__(self, shown: Shown, encode: Callable[[Any], Tensor]) -> Float[Tensor, "b ..."]:
        """What `encode` makes of the pixels, for each sample of a batch."""
        ...


def _encode(shown: Shown, encode: Callable[[Any], Tensor]) -> Tensor:
    return encode(shown.pixels())


@dataclass(frozen=True)
class Prediction(Struct):
    """What a canvas shows, in pixels and in space; None where it was not on the canvas or not wanted."""

    video: Float[Tensor, "*batch view frame 3 h w"] | None
    """In [0, 1]."""
    action_images: Float[Tensor, "*batch view action_frame 3 h w"] | None
    """In [0, 1]."""
    reading: Reading | None
    sure: Float[Tensor, "*batch action_frame"] | None = None
    """How sure each frame's pose is, in [0, 1], where several answers were averaged; see
    `inference.confidence`."""

    @property
    def trajectory(self) -> Trajectory | None:
        """The tool's path that the action images show; frame 0 is the pose that was given."""
        return None if self.reading is None else self.reading.trajectory


@dataclass(frozen=True)
class Known:
    """What is known of a batch on the CPU, where Python may branch on it."""

    layout: Layout
    given: Bool[Tensor, "b l"]
    cameras: Camera | None
    """(b view frame), where the caller had them."""


@dataclass(frozen=True)
class Pipeline:
    """The models with the format of action images that they were trained on."""

    models: Models
    format: ActionImageFormat = ActionImageFormat()
    rigs: Rigs = field(default_factory=Rigs)

    @classmethod
    def of(cls, models: Models) -> Self:
        """Models with the format that belongs to them.

        The release's own for its kind of weights, ours for all others.

        How long axes are drawn is the models' own choice, where they say on what clips they were trained.
        """
        is_release = models.denoiser.transformer.config["camera"] == "released"
        format = RELEASED if is_release else ActionImageFormat()
        if models.clips is not None:
            format = replace(format, axis_length=models.clips.axis_length)
        return cls(models, format)

    def encode(
        self,
        sample: Sample,
        mode: Mode | Sequence[Mode],
        num_frames: int | None = None,
        encoder: Encoder | None = None,
    ) -> tuple[Canvas, Condition]:
        """A batch of samples as a canvas for `mode` (or a mode for each), and what else the denoiser is told.

        `num_frames` pixel frames are to be on the canvas (None: as many as the sample has). Where the sample
        holds fewer than that of a stream of which only the first frame is shown, the rest is asked: one image
        and the current tool pose are enough to plan. `encoder` stands between pixels and the autoencoder, and
        may know latents already. Raises ValueError for frame counts and sizes that do not fit the models, for
        missing cameras or trajectories, and for modes that do not share a layout.

        The sample is moved to the models' device here. Leave cameras, path and `valid` on the CPU until then:
        what decides shapes is looked at there, and the device is not waited for.
        """
        modes = (mode,) * len(sample.video) if isinstance(mode, Mode) else tuple(mode)
        sample, cameras, num_frames = checked_sample(sample, modes, num_frames, self.models)
        num_latents = num_latent_frames(self.models.autoencoder, num_frames)
        layout = shared_layout(modes, sample.video.shape[1], num_latents)
        given, valid = (
            torch.stack([one.given(layout) for one in modes]),
            self._valid(sample, layout, num_frames),
        )
        known, numbers = Known(layout, given, cameras), None
        if modes[0].action is not None:
            # By the numbers on the CPU, an encoder may know what is drawn.
            numbers = _numbers(*self._drawable(sample.trajectory, cameras))
        device, encoder = self.device, encoder or _encode
        sample = sent(sample, device)
        cameras = None if cameras is None else sent(cameras, device)
        shown = {"video": Shown("video", sample.video.shape[2], lambda: sample.video, device)}
        if modes[0].action is not None:
            path, rig = self._drawable(sample.trajectory, cameras)
            # Drawn where somebody asks for the pixels, and once.
            drawn = cache(lambda: self.draw(path, rig))
            shown["action"] = Shown("action", path.num_frames, drawn, device, numbers)
        streams = {stream: self._encoded(one, layout, encoder) for stream, one in shown.items()}
        parts = {segment: streams[segment.stream][:, segment.view] for segment in layout.segments}
        latents = layout.pack(parts)
        valid = None if valid is None else sent(valid, device)
        canvas = Canvas(latents, sent(given, device), layout, valid).check()
        return canvas, self._condition(sample, known, canvas, shown, encoder)

    def decode(
        self,
        canvas: Canvas,
        condition: Condition | None,
        cameras: Camera | None,
        wanted: Collection[Stream] = ("video", "action"),
    ) -> Prediction:
        """What the wanted streams of a canvas (batched once) show, actions read back through these cameras.

        Each segment is decoded on its own; what is not wanted is not decoded. Cameras follow
        `Camera.per_frame`; without them, or with one view alone, which shows no depth, action images have no
        reading. With the `condition` of a model that has a still anchor, what hardly moves in imagined videos
        is shown as it was given, and that of a model that has a painter paints them; None: all as the canvas
        has it.
        """
        return self.read(self.show(canvas, condition, wanted), cameras)

    def show(
        self, canvas: Canvas, condition: Condition | None, wanted: Collection[Stream] = ("video", "action")
    ) -> Prediction:
        """The first half of `decode`: pixels without a reading."""
        parts = canvas.layout.unpack(canvas.latents)
        pixels: dict[str, Tensor] = {}
        for stream in wanted:
            views = [part for segment, part in parts.items() if segment.stream == stream]
            if views:
                pixels[stream] = self._pixels(torch.stack(views, 1))
        imagined = ~canvas.layout.later(canvas.given, "video").all(-1)
        anchored = "video" in pixels and condition is not None and condition.still is not None
        if condition is not None and anchored and is_true(imagined.any(), "still video"):
            shown = self._over_still(pixels["video"], canvas.layout, condition)
            pixels["video"] = torch.where(imagined[..., None, None, None, None], shown, pixels["video"])
        if "video" in pixels and condition is not None:
            seen = condition.first_frames
            given = pixels["video"][:, :, 0] * 2 - 1 if seen is None else seen
            pixels["video"] = self._painted(pixels, parts, imagined, given)
        return Prediction(pixels.get("video"), pixels.get("action"), None)

    def read(self, shown: Prediction, cameras: Camera | None) -> Prediction:
        """The second half of `decode`: what is shown, with its action images read."""
        images = shown.action_images
        if images is None or cameras is None or images.shape[1] == 1:
            return shown
        return replace(shown, reading=read(images, per_frame(cameras, *images.shape[:3]), self.format))

    @property
    def device(self) -> torch.device:
        """Where samples are encoded: that of the autoencoder, or of the denoiser where that is no module."""
        autoencoder = self.models.autoencoder
        if isinstance(autoencoder, DeferredAutoencoder):
            return autoencoder.device
        if isinstance(autoencoder, torch.nn.Module):
            tensors = chain(autoencoder.parameters(), autoencoder.buffers())
            return next(tensors).device
        return self.models.denoiser.transformer.device

    def to(self, device: torch.device | str) -> Self:
        """The same with its models on another device; what was remembered of rigs is forgotten."""
        return replace(self, models=self.models.to(device), rigs=Rigs())

    def unconditional(self, batch_size: int) -> Float[Tensor, "b token dim"]:
        """The empty instruction, which guidance compares with."""
        return self.models.text.encode([""] * batch_size)

    def draw(
        self, trajectory: Trajectory | None, cameras: Camera | None
    ) -> Float[Tensor, "b view action_frame 3 h w"]:
        """A path (b frame) as action images in [-1, 1], in cameras (b view frame).

        Raises ValueError where either is missing.
        """
        path, rig = self._drawable(trajectory, cameras)
        return draw(path, rig, self.format).mul_(2).sub_(1)

    def _drawable(self, trajectory: Trajectory | None, cameras: Camera | None) -> tuple[Trajectory, Camera]:
        """Both, with as many frames; raises ActionImagesError where one is missing."""
        if trajectory is None or cameras is None:
            missing = "trajectory" if trajectory is None else "cameras"
            raise ActionImagesError(
                f"this mode draws actions, but the sample has no {missing}; give them, or take mode 'video'"
            )
        return trajectory, cameras[:, :, : trajectory.num_frames]

    def _pixels(
        self, latents: Float[Tensor, "b view c l h w"]
    ) -> Float[Tensor, "b view frame 3 height width"]:
        """In [0, 1]."""
        return self.models.autoencoder.decode(latents).add(1).div(2).clamp(0, 1)

    def _painted(
        self,
        pixels: Mapping[str, Tensor],
        parts: Mapping[Segment, Tensor],
        imagined: Bool[Tensor, "b view"],
        given: Float[Tensor, "b view 3 h w"],
    ) -> Float[Tensor, "b view frame 3 height width"]:
        """The imagined videos painted, where the models have a painter and the canvas has action images."""
        painter, video = self.models.painter, pixels["video"]
        actions = [part for segment, part in parts.items() if segment.stream == "action"]
        if painter is None or not actions or not is_true(imagined.any(), "painted video"):
            return video
        drawn = pixels["action"] if "action" in pixels else self._pixels(torch.stack(actions, 1))
        painted = painter.paint(given, drawn, video)
        return torch.where(imagined[..., None, None, None, None], painted, video)

    def _over_still(
        self, video: Tensor, layout: Layout, condition: Condition
    ) -> Float[Tensor, "b view frame 3 height width"]:
        """Videos (the same) with the given image shown where they hardly move: see `still_video`."""
        assert condition.still is not None
        assert condition.first_frames is not None
        parts = [
            part[:, :, :2]
            for segment, part in layout.unpack(condition.still).items()
            if segment.stream == "video"
        ]
        decoded = self._pixels(torch.stack(parts, 1))
        first, last = decoded[:, :, :1], decoded[:, :, -1:]
        still = torch.cat([first, last.expand(-1, -1, video.shape[2] - 1, -1, -1, -1)], 2)
        return over_still(video, still, condition.first_frames.add(1).div(2))

    def _encoded(self, shown: Shown, layout: Layout, encoder: Encoder) -> Tensor:
        """Latents (b view c l h w) of one stream, zeros where the sample holds no frames."""
        num_latents = next(part.num_frames for part in layout.segments if part.stream == shown.stream)
        autoencoder = self.models.autoencoder
        num_frames = min(num_pixel_frames(autoencoder, num_latents), shown.num_frames)
        part = replace(shown, num_frames=num_frames, pixels=lambda: shown.pixels()[:, :, :num_frames])
        known = encoder(part, autoencoder.encode)
        return torch.nn.functional.pad(known, (0, 0, 0, 0, 0, num_latents - known.shape[3]))

    def _valid(self, sample: Sample, layout: Layout, num_frames: int) -> Bool[Tensor, "b l"] | None:
        """A latent frame is valid where all pixel frames that it stands for are."""
        if sample.valid.shape[-1] < num_frames or is_true(sample.valid.all(), "samples"):
            return None
        first, rest = sample.valid[:, :1], sample.valid[:, 1:num_frames]
        rest = rest.unflatten(-1, (-1, self.models.autoencoder.temporal_factor)).all(-1)
        latent = torch.cat([first, rest], -1)
        return layout.pack({segment: latent[:, : segment.num_frames] for segment in layout.segments}, dim=-1)

    def _condition(
        self,
        sample: Sample,
        known: Known,
        canvas: Canvas,
        shown: Mapping[str, Shown],
        encoder: Encoder,
    ) -> Condition:
        layout = canvas.layout
        text = self.models.text.encode([instruction or "" for instruction in _instructions(sample)])
        network, packed = self.models.denoiser.transformer, None
        if network.config["camera"] is not None:
            rig = known.cameras
            maps = self._no_maps(canvas, sample) if rig is None else self._maps(rig, encoder)
            parts = {segment: maps[:, segment.view, : segment.num_frames] for segment in layout.segments}
            packed = layout.pack(parts, dim=1)
        seen = sample.video[:, :, 0] if network.stem is not None or network.still_anchor else None
        still = self._still(sample.video[:, :, :1], layout, encoder) if network.still_anchor else None
        later = {
            stream: _later(shown[stream].pixels, known, stream)
            for stream in network.later_stems
            if stream in shown
        }
        return Condition(text, packed, seen, still, later.get("video"), later.get("action"))

    def _maps(self, cameras: Camera, encoder: Encoder) -> Float[Tensor, "b view l c h w"]:
        """What the network is shown of cameras; those of the release pass through the autoencoder."""
        if self.models.denoiser.transformer.config["camera"] != "released":
            return self.rigs.maps(cameras, self.models, self.device)
        shown = Shown("camera", cameras.batch_shape[2], lambda: cameras, self.device)
        return encoder(shown, lambda rig: self.rigs.maps(rig, self.models, self.device))

    def _no_maps(self, canvas: Canvas, sample: Sample) -> Float[Tensor, "b view l c h w"]:
        """What the network is shown of cameras that nobody has calibrated.

        Zeros, as where training leaves them out.
        """
        condition = self.models.denoiser.transformer.config["camera"]
        num_latents = max(one.num_frames for one in canvas.layout.segments)
        size = (sample.video.shape[-2], sample.video.shape[-1])
        shape = map_shape(
            condition, canvas.latents.shape[1], self.models.autoencoder, size, self.models.pixels_per_token
        )
        return canvas.latents.new_zeros(len(canvas.latents), sample.video.shape[1], num_latents, *shape)

    def _still(
        self, first: Float[Tensor, "b view 1 3 height width"], layout: Layout, encoder: Encoder
    ) -> Float[Tensor, "b c l h w"]:
        """The canvas of videos that repeat their first frame; zeros for actions."""
        autoencoder = self.models.autoencoder
        moves = any(segment.stream == "video" and segment.num_frames > 1 for segment in layout.segments)
        num_frames = 1 + autoencoder.temporal_factor * moves
        repeated = first.expand(-1, -1, num_frames, -1, -1, -1)
        latents = encoder(Shown("still", num_frames, lambda: repeated, first.device), autoencoder.encode)
        parts = {}
        for segment in layout.segments:
            place = torch.arange(segment.num_frames, device=latents.device).clamp(max=int(moves))
            still = latents[:, segment.view].index_select(2, place)
            parts[segment] = still if segment.stream == "video" else torch.zeros_like(still)
        return layout.pack(parts)


def _numbers(path: Trajectory, rig: Camera) -> Callable[[int, int], tuple[Struct, ...]]:
    """What the action images of a view of a sample of a batch are drawn from."""
    return lambda number, view: (path[number], rig[number, view])


def _later(
    frames: Callable[[], Tensor], known: Known, stream: Stream
) -> Float[Tensor, "b view later part 3 h w"] | None:
    """What given videos (or actions) show after their first frame, zeros for the others.

    None where none is given.
    """
    shown = known.layout.later(known.given, stream)
    if not shown.any():
        return None
    pixels = frames()
    shown = sent(shown, pixels.device)
    return torch.where(
        shown[..., None, None, None, None], pixels[:, :, 1:].unflatten(2, (shown.shape[-1], -1)), 0
    )


def _instructions(sample: Sample) -> tuple[str | None, ...]:
    """One instruction for each sample of the batch."""
    given = sample.instruction
    return given if isinstance(given, tuple) else (given,) * len(sample.video)
