"""What a training run is: every choice as a value, nothing hidden in code."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from action_images.errors import ActionImagesError
from action_images.files.typed import check_fields
from action_images.samples.split import Part, Unit
from action_images.training.migration import migrated

Trainable = Literal["full", "lora"]
Precision = Literal["float32", "bfloat16"]
LossWeight = Literal["velocity", "clean", "release"]
Learns = Literal["action-images", "vectors"]
DrawnPath = Literal["reached", "told"]


@dataclass(frozen=True)
class SourceRecipe:
    """One data set of the mixture, and what is learnt from it."""

    path: Path
    """Folder of the data set."""
    ratio: float = 1.0
    """How often it is drawn from, against the other sources: any number above 0."""
    modes: dict[str, float] = field(default_factory=lambda: {"joint": 1.0})
    """Weights of the modes (names of canvas.MODES); one is drawn for each sample."""
    drop_text: float = 0.05
    """Probability that a sample's instruction is taken away."""
    drop_text_of: dict[str, float] = field(default_factory=dict)
    """The same probability for single modes, by name, in place of drop_text."""
    stride: int = 1
    """A window has every so many frames of the recording one; all sources have the same frames a second after
    it."""
    step: int = 1
    """A window begins every so many frames of the recording."""
    views: tuple[str, ...] = ()
    """Names of the views that samples are drawn from; all where it is left out."""
    part: Part = "all"
    """Which episodes, by a hash of their ids: all, those to train on, or those held out."""
    held_out: float = 0.1
    """About this share of the episodes is held out, 0 to 1; nothing where part is all."""
    held_out_by: Unit = "variation"
    """Hold out whole variations of a scene, or single episodes."""
    drawn: DrawnPath = "reached"
    """What action images show: reached, where the tool was; told, where the arm was told to bring it. The two
    differ where it pushes."""


@dataclass(frozen=True)
class LoraRecipe:
    """Low-rank adaptation through peft; for trainable lora alone."""

    rank: int = 64
    """Of each adapter's two matrices."""
    alpha: int = 64
    """The adapters' answers are multiplied by alpha / rank."""
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
    """Ends of the names of the linear layers that are adapted."""


@dataclass(frozen=True)
class Recipe:
    """A complete training run. What learns is kept in float32, whatever its passes run in."""

    preset: str
    """Size of the model, a name of model.presets.PRESETS; the one that pretrained models were made with,
    where there are any."""
    sources: tuple[SourceRecipe, ...]
    """The data that is learnt from."""
    learns: Learns = "action-images"
    """What the network answers with; vectors is the baseline of docs/evaluation.md."""
    validation: tuple[SourceRecipe, ...] = ()
    """The data that is judged on."""
    pretrained: Path | None = None
    """Folder of saved models to go on from, in place of a new model."""
    autoencoder: Path | None = None
    """Folder of an autoencoder for new models, in place of one that is fitted; train-autoencoder makes it."""
    size: tuple[int, int] | None = None
    """Height and width of the clips in px; the preset's where it is None."""
    num_frames: int | None = None
    """Frames of a clip, 1 + 4 n; the preset's where it is None."""
    axis_length: float | None = None
    """How long (m) the tool's axes are drawn in action images, between 0 and 10; the preset's where it is
    None."""
    num_views: int = 2
    """Cameras in each sample."""
    seed: int = 0
    """Of a new model, the order of the data and the noise."""
    num_steps: int = 1000
    """Steps of the optimizer in the whole run, at most where it has minutes."""
    minutes: float | None = None
    """How long the run takes, all its sittings together; the learning rate falls over the last share `decay`
    of them. None: num_steps say how long."""
    batch_size: int = 32
    """Samples in a step, over all processes."""
    micro_batch_size: int = 64
    """Samples of a process in one pass at most: memory against speed, the result is the same up to
    rounding."""
    learning_rate: float = 1.5e-3
    """At its highest, above 0."""
    warmup_steps: int = 100
    """Steps in which the learning rate rises from zero."""
    decay: float = 1.0
    """Over this last share of the run, 0 to 1, the learning rate falls in a straight line to zero."""
    weight_decay: float = 0.01
    """Of AdamW, for matrices alone."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Of AdamW: decay rates of its means of the gradient and of its square."""
    clip_gradient: float = 1.0
    """The norm that the gradient is cut to where it is larger."""
    ema_decay: float | None = 0.999
    """Of the running average of the weights, which is judged and exported, between 0 and 1; None takes the
    last weights."""
    shift: float = 5.0
    """Moves the noise levels that are trained towards 1, more the larger it is; 1 moves nothing."""
    loss_weight: LossWeight = "velocity"
    """How errors count by noise level: velocity, the plain error; clean, that of the clean latents; release,
    the release's bell."""
    action_weight: float = 1.0
    """How much a latent frame of an action counts in the loss against one of video."""
    drop_camera: float = 0.0
    """Probability that the network is shown zeros for a sample's camera maps; its action images are drawn all
    the same."""
    mirror: float = 0.0
    """Probability that a sample is the mirrored scene; docs/training.md says when that is right."""
    trainable: Trainable = "full"
    """What learns: all weights, or low-rank adapters (lora)."""
    lora: LoraRecipe = LoraRecipe()
    """The adapters."""
    transformer_dtype: Precision = "float32"
    """Of the transformer where it is frozen (trainable lora)."""
    autoencoder_dtype: Precision = "float32"
    """Of Wan's autoencoder."""
    text_dtype: Precision = "float32"
    """Of the language model."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """What passes run in: float32 (no), or bfloat16 where that is exact enough (bf16)."""
    latents: Path | None = None
    """Folder of a cache of what frozen parts make of the data (docs/scale.md): they are not loaded while
    learning."""
    fill_latents: bool = True
    """What the cache does not know is computed and kept; otherwise it is an error."""
    gradient_checkpointing: bool = False
    """Compute activations anew in the backward pass: less memory, more time."""
    num_workers: int = 1
    """Processes that decode data; 0 decodes between the steps."""
    frames_cache: Path | None = None
    """Folder of decoded frames at the size of the clips, shared by runs: each data set is decoded once,
    before its first run, and read from there. None decodes for each sample."""
    validate_minutes: float = 10.0
    """Minutes between validations; one comes after the last step too."""
    validation_windows: int = 32
    """Held-out windows that are judged, for each mode."""
    save_minutes: float = 5.0
    """Minutes between checkpoints; one comes before each validation and after the last step too."""
    keep_last: int = 2
    """How many checkpoints are kept, at least 1."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ActionImagesError(
                "a training run needs at least one source of data; give one with --sources"
            )
        if min(self.num_steps, self.batch_size, self.micro_batch_size, self.num_views) < 1:
            raise ActionImagesError("num_steps, batch_size, micro_batch_size and num_views are at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ActionImagesError(
                "a run takes more than 0 minutes; leave minutes away to count steps alone"
            )
        if self.num_workers < 0 or self.keep_last < 1:
            raise ActionImagesError("num_workers is at least 0 and keep_last at least 1")
        if not 0 <= self.decay <= 1 or not self.learning_rate > 0:
            raise ActionImagesError("decay lies in [0, 1] and learning_rate is greater than 0")
        if not (0 <= self.drop_camera <= 1 and 0 <= self.mirror <= 1 and 0 < (self.ema_decay or 0.5) < 1):
            raise ActionImagesError("drop_camera and mirror lie in [0, 1] and ema_decay in (0, 1)")
        if self.latents is None and not self.fill_latents:
            raise ActionImagesError(
                "fill_latents is about a cache of latents: give its folder as latents too"
            )
        if self.axis_length is not None and not 0 < self.axis_length < 10:
            raise ActionImagesError(
                f"axis_length lies between 0 and 10 m, both excluded, not {self.axis_length:g}"
            )
        if self.trainable == "full" and self.transformer_dtype != "float32":
            # At 5e-7 a step is far below the spacing of bfloat16 numbers: nothing would be learnt.
            raise ActionImagesError(
                "weights that learn are float32: leave transformer_dtype and lower mixed_precision instead"
            )

    def as_json(self) -> dict[str, Any]:
        """Plain values, as they stand in a checkpoint."""
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """From what `as_json` gave, in this version or an earlier one.

        Raises ValueError where a field is not known or missing.
        """
        values = migrated(values)
        check_fields(cls, values)
        missing = {declared.name for declared in fields(cls)} - set(values)
        if missing:
            raise ActionImagesError(
                f"the recipe lacks fields that this version needs: {', '.join(sorted(missing))}"
            )
        for name in ("sources", "validation"):
            values[name] = tuple(
                SourceRecipe(**{**one, "path": Path(one["path"]), "views": tuple(one["views"])})
                for one in values[name]
            )
        values["lora"] = LoraRecipe(**{**values["lora"], "targets": tuple(values["lora"]["targets"])})
        for name in ("size", "betas"):
            values[name] = None if values[name] is None else tuple(values[name])
        for name in ("pretrained", "frames_cache", "latents", "autoencoder"):
            values[name] = None if values[name] is None else Path(values[name])
        return cls(**values)


PRACTICAL = frozenset(
    {
        "num_workers",
        "frames_cache",
        "minutes",
        "validate_minutes",
        "validation_windows",
        "save_minutes",
        "keep_last",
        "micro_batch_size",
        "latents",
        "fill_latents",
    }
)
"""What may differ when a run is taken up again: it changes how the run goes on, not what is learnt."""


def differences(old: Recipe, new: Recipe) -> list[str]:
    """In one line each, what two recipes learn differently."""
    before, after = old.as_json(), new.as_json()
    return [
        f"{name}: {before[name]} -> {after[name]}"
        for name in before
        if name not in PRACTICAL and before[name] != after[name]
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
