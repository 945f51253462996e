"""Diffusers' `AutoencoderKLWan` as operations without numbers: its weights, and the cost of one clip."""

from collections.abc import Mapping, Sequence
from typing import Any, no_type_check

from action_images.model.sketches.tape import FLOAT32, Sketch, Tape

DEFAULTS: dict[str, Any] = {
    "base_dim": 96,
    "decoder_base_dim": None,
    "z_dim": 16,
    "dim_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
    "temperal_downsample": (False, True, True),
    "is_residual": False,
    "in_channels": 3,
    "out_channels": 3,
    "patch_size": None,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 8,
}
"""The default config values of `AutoencoderKLWan`."""
CACHED_FRAMES = 2
"""The number of frames that each convolution in time keeps for the next piece of a clip."""

Frames = Sketch
"""A sketch of the shape (channels, frames, height, width)."""


# Called thousands of times: with type checks of every call in tests, counting would take minutes.
@no_type_check
class WanAutoencoder:
    """One clip through the encoder or the decoder, piece by piece, as diffusers runs it."""

    def __init__(self, config: Mapping[str, Any], itemsize: int, tape: Tape | None = None) -> None:
        self.config = {**DEFAULTS, **config}
        self.itemsize, self.tape = itemsize, tape or Tape()
        self.caches: dict[str, Frames] = {}
        """Convolution -> the last frames that it saw."""
        self.repeated: set[str] = set()
        """Layers that upsample time and have seen a first piece."""

    def encode(self, num_frames: int, size: tuple[int, int]) -> None:
        """Encode a clip (frame 3 height width), which existed before."""
        patch, config = self.config["patch_size"] or 1, self.config
        height, width = size[0] // patch, size[1] // patch
        channels = config["in_channels"]
        cast = self._new(3, num_frames, *size) if self.itemsize != FLOAT32 else None
        laid_out = self._new(channels, num_frames, height, width) if patch > 1 else cast
        latents = None
        for first in (0, *range(1, num_frames, 4)):
            piece = Sketch((channels, 4 if first else 1, height, width), self.itemsize)
            encoded = self._encoded(piece)
            latents = encoded if latents is None else self._joined(latents, encoded)
            del encoded
        assert latents is not None
        moments = self._plain(latents, "quant_conv")
        del latents, laid_out, cast
        self._new(*moments.shape)
        self.caches.clear()

    def decode(self, num_latents: int, latent_size: tuple[int, int]) -> None:
        """Decode latents (c l h w), which existed before."""
        config = self.config
        scaled = self._wide(config["z_dim"], num_latents, *latent_size)
        scaled = self._wide(config["z_dim"], num_latents, *latent_size)
        read = self._plain(Sketch(scaled.shape, self.itemsize), "post_quant_conv")
        video = None
        for _ in range(num_latents):
            piece = Sketch((config["z_dim"], 1, *latent_size), self.itemsize)
            decoded = self._decoded(piece)
            video = decoded if video is None else self._joined(video, decoded)
            del decoded
        del read, scaled
        assert video is not None
        if config["patch_size"]:
            video = self._new(*video.shape)
        video = self._new(*video.shape)
        self.caches.clear()
        if self.itemsize != FLOAT32:
            self._wide(*video.shape)

    def num_parameters(self) -> int:
        """All weights of both halves."""
        self.encode(5, (64, 64))
        self.decode(2, (8, 8))
        return sum(self.tape.parameters.values())

    def _encoded(self, seen: Frames) -> Frames:
        config = self.config
        widths = [config["base_dim"] * factor for factor in (1, *config["dim_mult"])]
        seen = self._causal(seen, widths[0], "encoder.conv_in")
        last = len(config["dim_mult"]) - 1
        for number, width in enumerate(widths[1:]):
            in_time = number < last and config["temperal_downsample"][number]
            name = f"encoder.{number}"
            if config["is_residual"]:
                seen = self._down(seen, width, name, in_space=number < last, in_time=in_time)
                continue
            for place in range(config["num_res_blocks"]):
                seen = self._residual(seen, width, f"{name}.resnets.{place}")
            if number < last:
                seen = self._halved(seen, f"{name}.downsampler", in_time=in_time)
        seen = self._middle(seen, "encoder.mid_block")
        return self._causal(self._active(seen, "encoder.norm_out"), 2 * config["z_dim"], "encoder.conv_out")

    def _down(self, seen: Frames, width: int, name: str, *, in_space: bool, in_time: bool) -> Frames:
        """Wan2.2's downsampling, which adds a mean of its input to its output."""
        copied = self._new(*seen.shape)
        for number in range(self.config["num_res_blocks"]):
            seen = self._residual(seen, width, f"{name}.resnets.{number}")
        if in_space:
            seen = self._halved(seen, f"{name}.downsampler", in_time=in_time)
        channels, frames, height, across = copied.shape
        padded = frames + (frames % 2 if in_time else 0)
        shortcut = self._new(channels, padded, height, across)
        shortcut = self._new(channels, padded, height, across)
        shortcut = self._new(*seen.shape)
        seen = self._new(*seen.shape)
        del shortcut
        return seen

    def _decoded(self, seen: Frames) -> Frames:
        config = self.config
        base = config["decoder_base_dim"] or config["base_dim"]
        factors = config["dim_mult"][::-1]
        seen = self._causal(seen, base * factors[0], "decoder.conv_in")
        seen = self._middle(seen, "decoder.mid_block")
        in_times = (*config["temperal_downsample"][::-1], False)
        for number, factor in enumerate(factors):
            more = number < len(factors) - 1
            seen = self._up(seen, base * factor, f"decoder.{number}", in_space=more, in_time=in_times[number])
        return self._causal(
            self._active(seen, "decoder.norm_out"), config["out_channels"], "decoder.conv_out"
        )

    def _up(self, seen: Frames, width: int, name: str, *, in_space: bool, in_time: bool) -> Frames:
        residual = self.config["is_residual"]
        copied = self._new(*seen.shape) if residual else None
        for number in range(self.config["num_res_blocks"] + 1):
            seen = self._residual(seen, width, f"{name}.resnets.{number}")
        if in_space:
            out = width if residual else width // 2
            seen = self._doubled(seen, out, f"{name}.upsampler", in_time=in_time)
        if copied is not None and in_space:
            _, frames, height, across = copied.shape
            times = 2 if in_time else 1
            stretched = (width, frames * times, 2 * height, 2 * across)
            repeated = self._new(*stretched)
            shortcut = self._new(*stretched)
            del repeated
            seen = self._new(*seen.shape)
            del shortcut
        return seen

    def _middle(self, seen: Frames, name: str) -> Frames:
        seen = self._residual(seen, seen.shape[0], f"{name}.resnets.0")
        seen = self._attended(seen, f"{name}.attention")
        return self._residual(seen, seen.shape[0], f"{name}.resnets.1")

    def _residual(self, seen: Frames, width: int, name: str) -> Frames:
        shortcut = seen if seen.shape[0] == width else self._plain(seen, f"{name}.conv_shortcut", width)
        # The block's caller holds the input until the block returns.
        made = self._active(seen, f"{name}.norm1")
        made = self._causal(made, width, f"{name}.conv1")
        made = self._active(made, f"{name}.norm2")
        made = self._causal(made, width, f"{name}.conv2")
        added = self._new(*made.shape)
        del shortcut
        return added

    def _attended(self, seen: Frames, name: str) -> Frames:
        channels, frames, height, width = seen.shape
        laid_out = self._new(*seen.shape)
        laid_out = self._normed(laid_out, f"{name}.norm")
        three = self._convolved(laid_out, 3 * channels, channels, f"{name}.to_qkv")
        three = self._new(*three.shape)
        attended = self._new(*seen.shape)
        sums = self._wide(1, frames, height, width)
        del sums
        attended = self._new(*seen.shape)
        attended = self._convolved(attended, channels, channels, f"{name}.proj")
        del three, laid_out
        return self._new(*seen.shape)

    def _halved(self, seen: Frames, name: str, *, in_time: bool) -> Frames:
        channels, frames, height, width = seen.shape
        laid_out = self._new(*seen.shape) if frames > 1 else seen
        padded = self._new(channels, frames, height + 1, width + 1)
        half = (channels, frames, height // 2, width // 2)
        made = self._convolved(padded, channels, 9 * channels, f"{name}.resample", half)
        del padded, laid_out
        if not in_time:
            return made
        self.tape.register(f"{name}.time_conv", 3 * channels * channels + channels)
        if name not in self.caches:
            self.caches[name] = self._new(*made.shape)
            return made
        cached = self._new(channels, 1, *half[2:])
        joined = self._new(channels, frames + 1, *half[2:])
        made = self._new(channels, frames // 2, *half[2:])
        del joined
        self.caches[name] = cached
        return made

    def _doubled(self, seen: Frames, width: int, name: str, *, in_time: bool) -> Frames:
        channels, frames, height, across = seen.shape
        if in_time:
            self.tape.register(f"{name}.time_conv", 6 * channels * channels + 2 * channels)
            if name in self.repeated:
                seen = self._stretched(seen, name)
            self.repeated.add(name)
        channels, frames, height, across = seen.shape
        laid_out = self._new(*seen.shape) if frames > 1 else seen
        wide = self._wide(*seen.shape) if self.itemsize != FLOAT32 else laid_out
        wide = self._wide(channels, frames, 2 * height, 2 * across)
        if self.itemsize != FLOAT32:
            wide = self._new(*wide.shape)
        place = (width, frames, 2 * height, 2 * across)
        return self._convolved(wide, width, 9 * channels, f"{name}.resample", place)

    def _stretched(self, seen: Frames, name: str) -> Frames:
        channels, frames, height, width = seen.shape
        cached = self._new(channels, CACHED_FRAMES, height, width)
        padded = self._new(channels, frames + 2, height, width)
        twice = self._new(2 * channels, frames, height, width)
        del padded
        self.caches[f"{name}.time_conv"] = cached
        return self._new(channels, 2 * frames, height, width) if twice is not None else twice

    def _causal(self, seen: Frames, width: int, name: str) -> Frames:
        """A convolution over 3 x 3 x 3 that sees the last frames of the previous piece."""
        channels, frames, height, across = seen.shape
        before = self.caches.get(name)
        cached = self._new(channels, min(frames, CACHED_FRAMES), height, across)
        if frames < CACHED_FRAMES and before is not None:
            cached = self._new(channels, CACHED_FRAMES, height, across)
        joined = None if before is None else self._new(channels, frames + before.shape[1], height, across)
        padded = self._new(channels, frames + 2, height + 2, across + 2)
        # The convolution's own call frame holds the joined frames until it is done.
        del joined
        made = self._convolved(padded, width, 27 * channels, name, (width, frames, height, across))
        self.caches[name] = cached
        return made

    def _plain(self, seen: Frames, name: str, width: int | None = None) -> Frames:
        """A convolution over one position; padding by zero still copies."""
        width = width or seen.shape[0]
        padded = self._new(*seen.shape)
        return self._convolved(padded, width, seen.shape[0], name, (width, *seen.shape[1:]))

    def _convolved(
        self, seen: Frames, width: int, fan_in: int, name: str, shape: Sequence[int] = ()
    ) -> Frames:
        self.tape.register(name, fan_in * width + width)
        shape = tuple(shape) or (width, *seen.shape[1:])
        made = self._new(*shape)
        self.tape.meter.flops += 2 * made.numel * fan_in
        return made

    def _active(self, seen: Frames, name: str) -> Frames:
        normed = self._normed(seen, name)
        return self._new(*normed.shape)

    def _normed(self, seen: Frames, name: str) -> Frames:
        self.tape.register(name, seen.shape[0])
        if self.itemsize != FLOAT32:
            wide = self._wide(*seen.shape)
            wide = [wide, self._wide(*seen.shape)]
            normed = self._new(*seen.shape)
            del wide
        else:
            normed = self._new(*seen.shape)
        made = self._new(*seen.shape)
        for _ in range(2):
            made = self._new(*seen.shape)
        del normed
        return made

    def _joined(self, left: Frames, right: Frames) -> Frames:
        return self._new(left.shape[0], left.shape[1] + right.shape[1], *left.shape[2:])

    def _new(self, *shape: int) -> Frames:
        return self.tape.make(shape, self.itemsize)

    def _wide(self, *shape: int) -> Frames:
        return self.tape.make(shape, FLOAT32)
