"""The additions of `conditioning` to a backbone's tokens, as operations without numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, no_type_check

from action_images.model.sizes import stem_widths
from action_images.model.sketches.operations import Operations
from action_images.model.sketches.tape import FLOAT32, Sketch

RAYS = 24
"""Numbers of a token's ray in the four pixel frames of a latent frame."""
RAY_WAVES = 4
RAY_HIDDEN = 128
TEXT_KERNELS = 4
TEXT_CHANNELS, TEXT_SPAN = 64, 5
STEM_KERNEL = 3


# Called thousands of times: with type checks of every call in tests, counting would take minutes.
@no_type_check
@dataclass(frozen=True)
class Given:
    """The input of one pass: sizes of the canvas, of the text, and of the other conditions.

    `later` has, for each stream of one sample, the number of latent frames after the first in all views, and
    the number of those that are given. Streams without given frames are left out.
    """

    batch: int
    frames: int
    rows: int
    columns: int
    levels: int
    words: int
    views: int
    itemsize: int
    later: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """The number of tokens of one sample."""
        return self.frames * self.rows * self.columns

    @property
    def places(self) -> int:
        """The number of tokens of one latent frame."""
        return self.rows * self.columns


def add_conditions(
    tape: Operations, config: Mapping[str, Any], given: Given, tokens: Sketch, text: Sketch, width: int
) -> Sketch:
    """`Conditioned.add_conditions`."""
    if config["camera"] == "rays":
        tokens = tape.add(tokens, _rays(tape, given, width))
    if config.get("max_views"):
        tape.register("view_embedding", config["max_views"] * width)
        learns = tape.register("stream_embedding", 2 * width)
        tokens = tape.add(tokens, tape.make((1, width, given.frames), given.itemsize, learns=learns))
    if config.get("stem_channels"):
        tokens = _add_first_frames(tape, config, given, tokens, text, width)
    for stream, name in (("video", "motion"), ("action", "action")):
        if config.get(f"{name}_channels"):
            tokens = _add_later_frames(tape, config, given, tokens, (stream, name), width)
    return tokens


def _rays(tape: Operations, given: Given, width: int) -> Sketch:
    """`RayEncoder`: each token's ray with its sines and cosines."""
    places = (given.batch, given.tokens)
    parts = [tape.make((*places, RAYS), FLOAT32) for _ in range(RAY_WAVES)]
    angles = tape.join(parts, (*places, RAY_WAVES * RAYS))
    del parts
    waves = [tape.unary(angles) for _ in range(2)]
    features = tape.join(waves, (*places, RAYS * (1 + 2 * RAY_WAVES)))
    del waves
    cast = tape.to(features, given.itemsize)
    # The rows of a product are contiguous: features by place are copied into features by token.
    rows = tape.unary(cast, saves=False)
    hidden = tape.linear(rows, RAY_HIDDEN, "ray_encoder.layers.0")
    del rows, cast
    hidden = tape.unary(hidden)
    return tape.linear(hidden, width, "ray_encoder.layers.2")


@no_type_check
def _add_first_frames(
    tape: Operations, config: Mapping[str, Any], given: Given, tokens: Sketch, text: Sketch, width: int
) -> Sketch:
    """`FirstFrameStem` with the text, on the tokens of each view."""
    pixels, channels = config["pixels_per_token"], config["stem_channels"]
    images, size = given.batch * given.views, given.places * pixels**2
    if config.get("word_pickers"):
        told = _picked(tape, text, config["word_pickers"], width)
    else:
        told = tape.make((given.batch, width), given.itemsize, (text,), tape.copies(text.nbytes))
    told = tape.make((images, width), given.itemsize, (told,), tape.copies(told.nbytes))
    kernels = tape.linear(told, TEXT_KERNELS * 4, "stem.kernels")
    shown = Sketch((images, 3, size), tape.itemsize_given(given.itemsize))
    shown = tape.to(shown, given.itemsize)
    detected = tape.product(kernels, shown, (images, TEXT_KERNELS, size), inner=3)
    detected = tape.add(detected, tape.view(kernels, images, TEXT_KERNELS, 1))
    seen = tape.join([detected], (images, 3 + TEXT_KERNELS, size))
    del detected
    for number, after in enumerate(stem_widths(channels, pixels)):
        film = tape.linear(told, 2 * after, f"stem.films.{number}")
        seen = _halved(tape, seen, after, number, "stem", film)
    seen = _convolved(tape, seen, width, _num_layers(pixels) - 1, "stem")
    return tape.add(tokens, _spread(tape, seen, tokens))


@no_type_check
def _add_later_frames(
    tape: Operations,
    config: Mapping[str, Any],
    given: Given,
    tokens: Sketch,
    name: tuple[str, str],
    width: int,
) -> Sketch:
    """`MotionStem` of a stream's given frames after its first, on the tokens of its view and time."""
    stream, stem = name[0], f"{name[1]}_stem"
    pixels, channels = config["pixels_per_token"], config[f"{name[1]}_channels"]
    slots, shown = given.later.get(stream, (0, 0))
    size, fan_in = given.places * pixels**2, 3 * config["motion_frames"]
    seen = tape.make((given.batch * shown, fan_in, size), tape.itemsize_given(given.itemsize))
    for number, after in enumerate(stem_widths(channels, pixels)):
        seen = _halved(tape, seen, after, number, stem, None)
    seen = _convolved(tape, seen, width, _num_layers(pixels) - 1, stem)
    if not shown:
        return tape.add(tokens, tape.make((1,), given.itemsize, (seen,), lambda _: (tape.storage(0),)))
    placed = tape.make(
        (given.batch * slots, width, given.places), given.itemsize, (seen,), tape.copies(seen.nbytes)
    )
    del seen
    padded = given.batch * (slots + given.views), width, given.places
    placed = tape.make(padded, given.itemsize, (placed,), tape.copies(placed.nbytes))
    return tape.add(tokens, _spread(tape, placed, tokens))


def _spread(tape: Operations, seen: Sketch, tokens: Sketch) -> Sketch:
    """The features of each view, repeated at each of its tokens."""
    return tape.make(tokens.shape, seen.itemsize, (seen,), tape.copies(seen.nbytes))


@no_type_check
def _picked(tape: Operations, text: Sketch, pickers: int, width: int) -> Sketch:
    """`AttentionPooling`."""
    batch, words = text.shape[:2]
    shown = tape.unary(tape.unary(text, saves=False), saves=False)
    fan = width * TEXT_SPAN
    heard = tape.convolution(
        tape.view(shown, batch, width, words), TEXT_CHANNELS, fan, "words.hear", fan_out=words
    )
    heard = tape.unary(tape.unary(heard), saves=False)
    weights = tape.convolution(heard, pickers, TEXT_CHANNELS * TEXT_SPAN, "words.weigh", words, bias=False)
    weights = tape.unary(tape.unary(weights), saves=False)
    taken = tape.linear(text, width, "words.take")
    tape.meter.flops += 2 * batch * words * width
    kept, sizes = (weights.storage, taken.storage), (weights.nbytes, taken.nbytes)
    twice = 2 * (weights.node is not None)

    def backward(_: Any) -> list[Any]:
        _ = kept
        tape.meter.flops += twice * 2 * batch * words * width
        return [tape.storage(nbytes) for nbytes in sizes]

    return tape.make((batch, width), text.itemsize, (weights, taken), backward)


@no_type_check
def _halved(
    tape: Operations, seen: Sketch, channels: int, number: int, stem: str, film: Sketch | None
) -> Sketch:
    """A convolution that halves both sides, a norm, perhaps scale and shift, and an activation."""
    name = f"{stem}.norms.{number}"
    if film is None:
        return tape.unary(_normed(tape, _convolved(tape, seen, channels, number, stem), name))
    scale = tape.unary(film, saves=False, shape=(*film.shape[:1], channels))
    shift = tape.view(film, *film.shape[:1], channels)
    return tape.unary(
        tape.add(
            tape.scale(_normed(tape, _convolved(tape, seen, channels, number, stem), name), scale), shift
        )
    )


@no_type_check
def _normed(tape: Operations, seen: Sketch, name: str) -> Sketch:
    learns = tape.register(name, 2 * seen.shape[1])
    kept, nbytes = seen.storage if learns else None, seen.nbytes

    def backward(_: Any) -> list[Any]:
        _ = kept
        return [tape.storage(nbytes)]

    return tape.make(seen.shape, seen.itemsize, (seen,), backward, learns=learns)


@no_type_check
def _convolved(tape: Operations, seen: Sketch, channels: int, number: int, stem: str) -> Sketch:
    fan_in, places = seen.shape[1] * STEM_KERNEL**2, seen.shape[2] // 4
    return tape.convolution(seen, channels, fan_in, f"{stem}.convolutions.{number}", places)


def _num_layers(pixels: int) -> int:
    return int(math.log2(pixels))
