"""What a training run is: every choice as a value, nothing hidden in code."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from action_images.data.split import Part, Unit

Trainable = Literal["full", "lora"]
Precision = Literal["float32", "bfloat16"]
LossWeight = Literal["velocity", "clean", "release"]
Learns = Literal["action-images", "vectors"]


@dataclass(frozen=True)
class SourceRecipe:
    """One data set of the mixture, and what is learnt from it.

    `tasks` are the weights of the tasks (see canvas.TASKS); `drop_text` is the probability of an empty instruction, for
    the tasks named in `drop_text_of` another one. A window has a frame every `stride` of the data set's and begins
    every `step` of them. `views` may be drawn from (empty: all). `part` chooses among the episodes, by a hash of their
    ids: those to `train` on, or those `held_out`, about a share `held_out` of them, whole variations or single episodes.
    """

    path: Path
    ratio: float = 1.0
    tasks: dict[str, float] = field(default_factory=lambda: {"joint": 1.0})
    drop_text: float = 0.05
    drop_text_of: dict[str, float] = field(default_factory=dict)
    stride: int = 1
    step: int = 1
    views: tuple[str, ...] = ()
    part: Part = "all"
    held_out: float = 0.1
    held_out_by: Unit = "variation"


@dataclass(frozen=True)
class LoraRecipe:
    """Low-rank adaptation through peft: the rank, its scale, and which linear layers are adapted."""

    rank: int = 64
    alpha: int = 64
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")


@dataclass(frozen=True)
class Recipe:
    """A complete training run.

    `preset` sizes a new model, `learns` says what it answers with (`vectors`: the baseline of docs/evaluation.md);
    `pretrained` (a folder of saved models) is gone on from instead. `batch_size` samples
    over all processes make a step, at most `micro_batch_size` at a time in one pass of a process. The learning rate
    rises over `warmup_steps`, stays, and falls to zero over the last `decay` share of the steps. `action_weight` is how
    much a latent frame of an action counts in the loss against one of video. With the probability `drop_camera` a sample
    shows the network zeros for the maps of its cameras; its action images are drawn all the same. With the probability
    `mirror` it is the mirrored scene (see `data.mirrored`). What learns is kept in float32, whatever `mixed_precision`
    its passes run in; the dtypes are those of what is frozen.
    """

    preset: str
    sources: tuple[SourceRecipe, ...]
    learns: Learns = "action-images"
    validation: tuple[SourceRecipe, ...] = ()
    pretrained: Path | None = None
    size: tuple[int, int] | None = None
    num_frames: int | None = None
    num_views: int = 2
    seed: int = 0
    num_steps: int = 1000
    batch_size: int = 32
    micro_batch_size: int = 64
    learning_rate: float = 1.5e-3
    warmup_steps: int = 100
    decay: float = 1.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip_gradient: float = 1.0
    ema_decay: float | None = 0.999
    shift: float = 5.0
    loss_weight: LossWeight = "velocity"
    action_weight: float = 1.0
    drop_camera: float = 0.0
    mirror: float = 0.0
    trainable: Trainable = "full"
    lora: LoraRecipe = LoraRecipe()
    transformer_dtype: Precision = "float32"
    autoencoder_dtype: Precision = "float32"
    text_dtype: Precision = "float32"
    mixed_precision: Literal["no", "bf16"] = "no"
    gradient_checkpointing: bool = False
    num_workers: int = 1
    validate_minutes: float = 10.0
    validation_windows: int = 32
    save_minutes: float = 5.0
    keep_last: int = 2

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("a training run needs at least one source of data; give one with --sources")
        if min(self.num_steps, self.batch_size, self.micro_batch_size, self.num_views) < 1:
            raise ValueError("num_steps, batch_size, micro_batch_size and num_views are at least 1")
        if self.num_workers < 0 or self.keep_last < 1:
            raise ValueError("num_workers is at least 0 and keep_last at least 1")
        if not 0 <= self.decay <= 1 or not self.learning_rate > 0:
            raise ValueError("decay lies in [0, 1] and learning_rate is greater than 0")
        if not (0 <= self.drop_camera <= 1 and 0 <= self.mirror <= 1 and 0 < (self.ema_decay or 0.5) < 1):
            raise ValueError("drop_camera and mirror lie in [0, 1] and ema_decay in (0, 1)")
        if self.trainable == "full" and self.transformer_dtype != "float32":
            # At 5e-7 a step is far below the spacing of bfloat16 numbers: nothing would be learnt.
            raise ValueError("weights that learn are float32: leave transformer_dtype and lower mixed_precision instead")

    def as_json(self) -> dict[str, Any]:
        """Plain values, as they stand in a checkpoint."""
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """From what `as_json` gave; raises ValueError where a field is not known or missing."""
        values = LATER | values
        unknown = set(values) - {declared.name for declared in fields(cls)}
        if unknown:
            raise ValueError(f"the recipe has fields that this version does not know: {', '.join(sorted(unknown))}")
        missing = {declared.name for declared in fields(cls)} - set(values)
        if missing:
            raise ValueError(f"the recipe lacks fields that this version needs: {', '.join(sorted(missing))}")
        for name in ("sources", "validation"):
            values[name] = tuple(SourceRecipe(**{**one, "path": Path(one["path"]), "views": tuple(one["views"])}) for one in values[name])
        values["lora"] = LoraRecipe(**{**values["lora"], "targets": tuple(values["lora"]["targets"])})
        for name in ("size", "betas"):
            values[name] = None if values[name] is None else tuple(values[name])
        values["pretrained"] = None if values["pretrained"] is None else Path(values["pretrained"])
        return cls(**values)


LATER = {"learns": "action-images", "mirror": 0.0}
"""Values of fields that recipes saved by earlier versions do not have."""
PRACTICAL = frozenset({"num_workers", "validate_minutes", "validation_windows", "save_minutes", "keep_last", "micro_batch_size"})
"""What may differ when a run is taken up again: it changes how the run goes on, not what is learnt."""


def differences(old: Recipe, new: Recipe) -> list[str]:
    """In one line each, what two recipes learn differently."""
    before, after = old.as_json(), new.as_json()
    return [f"{name}: {before[name]} -> {after[name]}" for name in before if name not in PRACTICAL and before[name] != after[name]]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
