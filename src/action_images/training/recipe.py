"""The recipe of a training run: every choice as a value, nothing hidden in code."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from action_images.canvas.shown import SHOWN
from action_images.errors import ActionImagesError
from action_images.files.typed import check_fields
from action_images.samples.split import Part, Unit
from action_images.training.migration import migrated
from action_images.training.ranges import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    FROM_0_TO_1,
    WITHIN_0_AND_1,
    Range,
    check_ranges,
)

Trainable = Literal["full", "lora"]
Precision = Literal["float32", "bfloat16"]
LossWeight = Literal["velocity", "clean", "release"]
Learns = Literal["action-images", "vectors"]
DrawnPath = Literal["reached", "told"]

SOURCE_RANGES = {
    "ratio": ABOVE_0,
    "modes": AT_LEAST_0,
    "drop_text": FROM_0_TO_1,
    "drop_text_of": FROM_0_TO_1,
    "stride": AT_LEAST_1,
    "step": AT_LEAST_1,
    "held_out": FROM_0_TO_1,
    "at_most": AT_LEAST_1,
    "mirror": FROM_0_TO_1,
}
"""Field of a source -> its range."""
RANGES = {
    **dict.fromkeys(
        ("num_views", "num_steps", "batch_size", "micro_batch_size", "sorted_steps", "keep_last"), AT_LEAST_1
    ),
    **dict.fromkeys(("warmup_steps", "weight_decay", "action_weight", "num_workers"), AT_LEAST_0),
    **dict.fromkeys(("validate_minutes", "save_minutes"), AT_LEAST_0),
    **dict.fromkeys(("minutes", "learning_rate", "clip_gradient", "shift"), ABOVE_0),
    **dict.fromkeys(("decay", "drop_camera", "mirror"), FROM_0_TO_1),
    **dict.fromkeys(("size", "num_frames"), AT_LEAST_1),
    "axis_length": Range(0, 10, above=True, below=True),
    "betas": Range(0, 1, below=True),
    "ema_decay": WITHIN_0_AND_1,
}
"""Field of a recipe -> its range."""


@dataclass(frozen=True)
class SourceRecipe:
    """One data set of the mixture, and its use in training."""

    path: Path
    """Folder of the data set."""
    ratio: float = 1.0
    """How often it is drawn from, relative to the other sources: any number above 0."""
    modes: dict[str, float] = field(default_factory=lambda: {"joint": 1.0})
    """Weights of the modes (names of canvas.MODES); one is drawn for each sample."""
    drop_text: float = 0.05
    """Probability that a sample's instruction is dropped."""
    drop_text_of: dict[str, float] = field(default_factory=dict)
    """The same probability for single modes, by name, in place of drop_text."""
    stride: int = 1
    """A window takes every n-th frame of the recording; after this, all sources must have the same frames a
    second."""
    step: int = 1
    """A window begins at every n-th frame of the recording."""
    views: tuple[str, ...] = ()
    """Names of the views that samples are drawn from; all if left out."""
    part: Part = "all"
    """The episodes used, by a hash of their ids: all, those to train on, or those held out."""
    held_out: float = 0.1
    """About this share of the episodes is held out, 0 to 1; none if part is all."""
    held_out_by: Unit = "variation"
    """Hold out whole variations of a scene, or single episodes."""
    without: tuple[str, ...] = ()
    """Patterns of the ids of episodes to leave out, as in file names: close_box/* leaves out that task."""
    at_most: int | None = None
    """Use this many of the part's episodes, taken evenly from its tasks; all if left out."""
    drawn: DrawnPath = "reached"
    """The poses in action images: reached, the tool's own; told, those commanded. The two differ while the
    arm pushes."""
    mirror: float | None = None
    """Probability that a sample is mirrored; None takes the run's. A world whose tasks have no mirror image
    needs 0 beside others that have one."""

    def __post_init__(self) -> None:
        check_ranges(self, SOURCE_RANGES, f"{self.path}: ")
        unknown = [name for name in (*self.modes, *self.drop_text_of) if name not in SHOWN]
        if unknown:
            raise ActionImagesError(
                f"{self.path}: there is no mode {', '.join(sorted(set(unknown)))}; there are: "
                f"{', '.join(SHOWN)}"
            )
        if not any(self.modes.values()):
            raise ActionImagesError(f"{self.path}: modes need at least one weight above 0")
        twice = sorted({name for name in self.views if self.views.count(name) > 1})
        if twice:
            raise ActionImagesError(f"{self.path}: views name '{twice[0]}' twice; name each view once")


@dataclass(frozen=True)
class LoraRecipe:
    """Low-rank adaptation through peft; only for trainable lora."""

    rank: int = 64
    """Rank of each adapter's two matrices."""
    alpha: int = 64
    """The adapters' outputs are multiplied by alpha / rank."""
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
    """Ends of the names of the linear layers that are adapted."""

    def __post_init__(self) -> None:
        check_ranges(self, {"rank": AT_LEAST_1, "alpha": AT_LEAST_1}, "lora.")


@dataclass(frozen=True)
class Recipe:
    """A complete training run. Trained weights are kept in float32, whatever the precision of passes."""

    preset: str
    """Size of the model, a name of model.presets.PRESETS; for pretrained models, the preset that they were
    made with."""
    sources: tuple[SourceRecipe, ...]
    """The data to train on."""
    learns: Learns = "action-images"
    """What the network predicts; vectors is the baseline of docs/evaluation.md."""
    validation: tuple[SourceRecipe, ...] = ()
    """The data for validation."""
    pretrained: Path | None = None
    """Folder of saved models to start from, in place of a new model."""
    autoencoder: Path | None = None
    """Folder of an autoencoder for new models, in place of a fitted one; train-autoencoder makes it."""
    size: tuple[int, int] | None = None
    """Height and width of the clips in px; None takes the preset's."""
    num_frames: int | None = None
    """Frames of a clip, 1 + 4 n; None takes the preset's."""
    axis_length: float | None = None
    """Length (m) of the tool's axes in action images, between 0 and 10; None takes the preset's."""
    num_views: int = 2
    """Number of cameras in each sample."""
    seed: int = 0
    """Seed of a new model, the order of the data and the noise."""
    num_steps: int = 1000
    """Steps of the optimizer in the whole run; with minutes, the most steps. On the command line, --minutes
    lifts the recipe's own number, and another one limits the run."""
    minutes: float | None = None
    """Duration of the run, including all resumed parts; the learning rate falls over the last share `decay`
    of it, or of num_steps if they run out earlier. None: num_steps set the length."""
    batch_size: int = 32
    """Samples in a step, over all processes."""
    micro_batch_size: int = 64
    """Largest number of samples of a process in one pass: fewer need less memory, more are faster. The result
    is the same up to rounding."""
    sorted_steps: int = 1
    """The samples of so many steps are sorted by their kind (first frames alone or videos, layout) before
    they are shared out among these steps: steps of one kind take less time. 1: they are not."""
    learning_rate: float = 1.5e-3
    """Learning rate at its highest, above 0."""
    warmup_steps: int = 100
    """Steps in which the learning rate rises from zero."""
    decay: float = 1.0
    """Over this last share of the run, 0 to 1, the learning rate falls linearly to zero."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, for matrices alone, at least 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's means of the gradient and of its square, each at least 0 and below 1."""
    clip_gradient: float = 1.0
    """Largest norm of the gradient, above 0; a larger gradient is scaled down to it."""
    ema_decay: float | None = 0.999
    """Decay of the running average of the weights, which is validated and exported, between 0 and 1; None
    takes the last weights."""
    shift: float = 5.0
    """Shifts the noise levels of training towards 1, more for larger values; 1 shifts nothing."""
    loss_weight: LossWeight = "velocity"
    """Weight of errors by noise level: velocity, the plain error; clean, that of the clean latents; release,
    the release's bell curve."""
    action_weight: float = 1.0
    """Weight of a latent frame of an action in the loss, relative to one of video."""
    drop_camera: float = 0.0
    """Probability that the network gets zeros for a sample's camera maps; its action images are still
    drawn."""
    mirror: float = 0.0
    """Probability that a sample is mirrored, for sources without their own; docs/training.md says when that
    is right."""
    trainable: Trainable = "full"
    """The weights that are trained: all, or low-rank adapters of pretrained models (lora)."""
    lora: LoraRecipe = LoraRecipe()
    """The adapters."""
    transformer_dtype: Precision = "float32"
    """Precision of a frozen transformer (trainable lora)."""
    autoencoder_dtype: Precision = "float32"
    """Precision of Wan's autoencoder."""
    text_dtype: Precision = "float32"
    """Precision of the language model."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """Precision of passes: float32 (no), or bfloat16 where that is exact enough (bf16)."""
    latents: Path | None = None
    """Folder of a cache of the frozen parts' outputs (docs/scale.md); these parts are not loaded during
    training."""
    fill_latents: bool = True
    """Entries missing in the cache are computed and stored; otherwise they are errors."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, more time."""
    num_workers: int = 1
    """Processes that decode data; 0 decodes between the steps."""
    frames_cache: Path | None = None
    """Folder of decoded frames at the size of the clips, shared by runs: each data set is decoded once,
    before its first run, and read from there. None decodes for each sample."""
    validate_minutes: float = 10.0
    """Minutes between validations, 0 for one after each step; one comes after the last step too."""
    validation_windows: int = 32
    """Number of held-out windows in a validation, for each mode; at least 1."""
    save_minutes: float = 5.0
    """Minutes between checkpoints, 0 for one after each step; one comes before each validation and after the
    last step too."""
    keep_last: int = 2
    """Number of checkpoints to keep, at least 1."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ActionImagesError(
                "a training run needs at least one source of data; give one with --sources"
            )
        check_ranges(self, RANGES)
        if self.validation:
            check_ranges(self, {"validation_windows": AT_LEAST_1})
        if self.latents is None and not self.fill_latents:
            raise ActionImagesError(
                "fill_latents is about a cache of latents: give its folder as latents too"
            )
        if self.trainable == "lora" and self.pretrained is None:
            raise ActionImagesError(
                "adapters (trainable lora) change models that are trained already: give pretrained, a folder "
                "of models, or leave trainable full"
            )
        if self.trainable == "full" and self.transformer_dtype != "float32":
            # At 5e-7 a step is far below the spacing of bfloat16 numbers, so nothing would be learned.
            raise ActionImagesError(
                "weights that learn are float32: leave transformer_dtype and lower mixed_precision instead"
            )

    def mirror_of(self, source: SourceRecipe) -> float:
        """Probability that a sample of this source is mirrored."""
        return self.mirror if source.mirror is None else source.mirror

    def as_json(self) -> dict[str, Any]:
        """Plain values, as in a checkpoint."""
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """The recipe from the result of `as_json`, of this version or an earlier one.

        Raises ValueError if a field is unknown or missing.
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
                SourceRecipe(**{**one, "path": Path(one["path"]), **_tuples(one)}) for one in values[name]
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
"""Fields that may change when a run is resumed: they affect how it runs, not what it learns. For a run with
minutes num_steps is one too, as it only limits the end."""

MANY_STEPS = 10**9
"""More steps than any run takes: the num_steps of a run that only its minutes end."""


def differences(old: Recipe, new: Recipe) -> list[str]:
    """One line for each field that makes two recipes learn differently."""
    before, after = old.as_json(), new.as_json()
    practical = PRACTICAL if new.minutes is None else PRACTICAL | {"num_steps"}
    return [
        f"{name}: {before[name]} -> {after[name]}"
        for name in before
        if name not in practical and before[name] != after[name]
    ]


def _tuples(source: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(source[name]) for name in ("views", "without") if name in source}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
