"""Wan's video transformer (`backbones.wan`) as operations without numbers; a test compares the two."""

from collections.abc import Mapping
from functools import partial
from typing import Any, no_type_check

from action_images.model.sketches.conditions import Given, add_conditions
from action_images.model.sketches.operations import Operations
from action_images.model.sketches.tape import FLOAT32, Sketch, Storage

DEFAULTS: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "in_channels": 48,
    "out_channels": 48,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 14336,
    "num_layers": 30,
    "camera": None,
    "per_frame_noise_level": False,
    "pixels_per_token": 32,
    "motion_frames": 4,
}
"""The default config values of `ActionImagesTransformer3DModel`."""
POOLED_CAMERAS = 48 * 16 * 16
"""Numbers in the input of the release's camera branch for a latent frame."""


def forward(tape: Operations, config: Mapping[str, Any], given: Given, *, checkpointed: bool) -> Sketch:
    """One pass from latents to latents; `config` has all values."""
    wan = Wan(tape, config, given)
    pooled = None
    if config["camera"] == "released":
        pooled = tape.make((given.batch, given.frames, POOLED_CAMERAS), tape.itemsize_given(given.itemsize))
    output = wan.denoise(pooled, checkpointed=checkpointed)
    if config.get("bias_frames"):
        tape.register("output_bias", 2 * config["bias_frames"] * config["out_channels"])
        small = (1, config["out_channels"], given.frames, 1, 1)
        output = tape.add(
            output, tape.make(small, tape.itemsize_given(given.itemsize), learns=tape.learning.everything)
        )
    if config.get("still_anchor"):
        output = tape.add(output, Sketch(output.shape, given.itemsize))
    return output


# Called thousands of times: with type checks of every call in tests, counting would take minutes.
@no_type_check
class Wan:
    """The backbone: `denoise` follows `backbones.wan` line by line."""

    def __init__(self, tape: Operations, config: Mapping[str, Any], given: Given) -> None:
        self.tape, self.config, self.given = tape, config, given
        self.heads, self.itemsize = config["num_attention_heads"], given.itemsize
        self.width = self.heads * config["attention_head_dim"]
        _, self.rows, self.columns = config["patch_size"]

    def denoise(self, camera: Sketch | None, *, checkpointed: bool) -> Sketch:
        """From latents to latents."""
        tape, given, config = self.tape, self.given, self.config
        patch = self.rows * self.columns
        rotary = [tape.make((given.tokens, config["attention_head_dim"]), FLOAT32) for _ in range(2)]
        level, modulation, text = self._embed_level_and_text()
        itemsize = tape.itemsize_given(self.itemsize)
        latents = Sketch((given.batch, config["in_channels"] * patch, given.tokens), itemsize)
        tokens = tape.convolution(latents, self.width, config["in_channels"] * patch, "patch_embedding")
        tokens = add_conditions(tape, config, given, tokens, text, self.width)
        # The tokens are contiguous from here on.
        tokens = tape.unary(tokens, saves=False, shape=(given.batch, given.tokens, self.width))
        for number in range(config["num_layers"]):
            block = partial(self.block, f"blocks.{number}")
            told = (tokens, text, modulation, camera, *rotary)
            tokens = tape.checkpoint(block, *told) if checkpointed and tape.record else block(*told)
            del told
        learns = tape.register("scale_shift_table", 2 * self.width)
        ends = tape.make((*level.shape[:2], 2, self.width), FLOAT32, (level,), _small(tape), learns=learns)
        tokens = tape.to(self._modulated(self._norm(tape.to(tokens, FLOAT32)), ends), self.itemsize)
        if split := config.get("output_split"):
            finer = tape.unary(tape.linear(tokens, split**2 * self.width, "split.layer"))
            shape = (given.batch, given.tokens * split**2, self.width)
            tokens = tape.unary(finer, saves=False, shape=shape)
            del finer
            patch //= split**2
        patches = tape.linear(tokens, config["out_channels"] * patch, "proj_out")
        return tape.unary(patches, saves=False)

    def _embed_level_and_text(self) -> tuple[Sketch, Sketch, Sketch]:
        tape, given = self.tape, self.given
        name = "condition_embedder"
        level = tape.make((given.batch, given.levels, self.config["freq_dim"]), FLOAT32)
        level = tape.unary(tape.linear(level, self.width, f"{name}.time_embedder.linear_1"))
        level = tape.to(tape.linear(level, self.width, f"{name}.time_embedder.linear_2"), self.itemsize)
        modulation = tape.linear(tape.unary(level), 6 * self.width, f"{name}.time_proj")
        itemsize = tape.itemsize_given(self.itemsize)
        text = Sketch((given.batch, given.words, self.config["text_dim"]), itemsize)
        text = tape.unary(tape.linear(text, self.width, f"{name}.text_embedder.linear_1"))
        return level, modulation, tape.linear(text, self.width, f"{name}.text_embedder.linear_2")

    def block(
        self,
        name: str,
        tokens: Sketch,
        text: Sketch,
        modulation: Sketch,
        camera: Sketch | None,
        *_rotary: Sketch,
    ) -> Sketch:
        """Self-attention, attention to the text, feed-forward: `CameraBlock.forward`."""
        tape, kind = self.tape, self.itemsize
        learns = tape.register(f"{name}.scale_shift_table", 6 * self.width)
        level = (self.given.batch, self.given.levels, 6, self.width)
        wide = tape.to(modulation, FLOAT32)
        ends = tape.make(level, FLOAT32, (wide,), _small(tape), learns=learns)
        del wide
        attended = tape.to(self._modulated(self._norm(tape.to(tokens, FLOAT32)), ends), kind)
        if camera is not None:
            attended = tape.add(attended, tape.linear(camera, self.width, f"{name}.cam_encoder.2"))
        attended = self._attention(f"{name}.attn1", attended, None)
        if camera is not None:
            attended = tape.linear(attended, self.width, f"{name}.projector")
        tokens = tape.to(self._gated(tape.to(tokens, FLOAT32), attended, ends), kind)
        normed = tape.to(self._norm(tape.to(tokens, FLOAT32), f"{name}.norm2"), kind)
        attended = self._attention(f"{name}.attn2", normed, text)
        del normed
        tokens = tape.add(tokens, attended)
        fed = tape.to(self._modulated(self._norm(tape.to(tokens, FLOAT32)), ends), kind)
        fed = tape.to(self._feed(name, fed), FLOAT32)
        return tape.to(self._gated(tape.to(tokens, FLOAT32), fed, ends), kind)

    def _feed(self, name: str, fed: Sketch) -> Sketch:
        inner = self.tape.linear(fed, self.config["ffn_dim"], f"{name}.ffn.net.0.proj")
        inner = self.tape.unary(inner)
        return self.tape.linear(inner, self.width, f"{name}.ffn.net.2")

    def _attention(self, name: str, tokens: Sketch, text: Sketch | None) -> Sketch:
        tape, seen = self.tape, tokens if text is None else text
        query = tape.linear(tokens, self.width, f"{name}.to_q")
        key = tape.linear(seen, self.width, f"{name}.to_k")
        value = tape.linear(seen, self.width, f"{name}.to_v")
        query = tape.rms_norm(query, f"{name}.norm_q")
        key = tape.rms_norm(key, f"{name}.norm_k")
        if text is None:
            query = tape.rotated(query)
            key = tape.rotated(key)
        attended = tape.attention(query, key, value, self.heads)
        return tape.linear(attended, self.width, f"{name}.to_out.0")

    def _norm(self, tokens: Sketch, name: str | None = None) -> Sketch:
        return self.tape.layer_norm(tokens, name)

    def _modulated(self, tokens: Sketch, ends: Sketch) -> Sketch:
        """tokens * (1 + scale) + shift."""
        small = (*ends.shape[:2], self.width)
        scale = self.tape.make(small, ends.itemsize, (ends,), _small(self.tape))
        shift = self.tape.view(ends, *small)
        return self.tape.fused(shift, tokens, scale)

    def _gated(self, tokens: Sketch, added: Sketch, ends: Sketch) -> Sketch:
        """tokens + added * gate."""
        gate = self.tape.view(ends, *ends.shape[:2], self.width)
        return self.tape.fused(tokens, added, gate)


@no_type_check
def _small(tape: Operations) -> Any:
    """A gradient of values for each latent frame, small compared with those of tokens."""

    def backward(gradient: Storage) -> tuple[Storage]:
        return (tape.storage(gradient.nbytes),)

    return backward
