"""Named complete training runs; each value can be overridden on the command line."""

from dataclasses import replace
from pathlib import Path

from action_images.training.mixtures import MIXTURES
from action_images.training.recipe import DrawnPath, LoraRecipe, Recipe, SourceRecipe

NO_TEXT_WHERE_SEEN = {"label": 1.0, "label_from_nothing": 1.0, "simulate": 0.7, "second_view": 0.3}
"""In modes that show the answer, the text is mostly dropped: a model that can read the answer from the
instruction learns to ignore the video (docs/experiments.md)."""

DEBUG = Recipe(
    preset="debug",
    sources=(SourceRecipe(Path("demonstrations"), modes={"policy": 1.0}),),
    validation=(SourceRecipe(Path("validation"), modes={"policy": 1.0}),),
    num_steps=300,
    batch_size=16,
    learning_rate=3e-3,
    warmup_steps=30,
    ema_decay=0.99,
    loss_weight="clean",
    num_workers=1,
    validation_windows=32,
)

TINY_MODES = {
    "policy": 0.70,
    "label": 0.13,
    "label_from_nothing": 0.025,
    "joint": 0.035,
    "simulate": 0.10,
    "second_view": 0.01,
}

TINY = Recipe(
    preset="tiny",
    sources=(
        SourceRecipe(Path("demonstrations"), 0.34, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN),
        # Cameras over the shoulders, and opposite each other. Without them new viewpoints lose three times
        # as much.
        SourceRecipe(Path("around"), 0.18, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN),
        # Tasks with a choice between several objects of a kind need seven to thirteen times as many scenes
        # (docs/experiments.md).
        SourceRecipe(Path("choices"), 0.26, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN),
        SourceRecipe(Path("clumsy"), 0.12, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN),
        SourceRecipe(
            Path("play"),
            0.10,
            {"label": 0.45, "label_from_nothing": 0.3, "simulate": 0.25},
            0.02,
            NO_TEXT_WHERE_SEEN,
        ),
    ),
    validation=(
        SourceRecipe(
            Path("validation"),
            1.0,
            dict.fromkeys(("policy", "joint", "label", "simulate"), 1.0),
            0.0,
            NO_TEXT_WHERE_SEEN,
        ),
    ),
    num_steps=12_000,
    batch_size=24,
    sorted_steps=20,
    learning_rate=2e-3,
    decay=0.5,
    shift=20.0,  # at lower levels the spots are seen through the noise, and little is learnt of where to go
    loss_weight="clean",
    mirror=0.5,  # the arm and its tasks can be mirrored, which doubles the scenes
    ema_decay=0.998,
    frames_cache=Path("frames"),
    validation_windows=64,
    validate_minutes=20,
)


def _tiny_of(world: str, drawn: DrawnPath = "reached") -> Recipe:
    """`tiny` on recordings of another world, whose experts are also recorded after a push.

    Undisturbed, a hand always begins at the same place. Nothing is mirrored: doors, dials and baskets have no
    mirrored tasks.
    """
    validated: dict[str, float] = dict.fromkeys(("policy", "joint", "label", "simulate"), 1.0)
    return replace(
        TINY,
        sources=(
            SourceRecipe(Path(world), 0.4, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN, drawn=drawn),
            SourceRecipe(Path(f"{world}-disturbed"), 0.6, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN, drawn=drawn),
        ),
        validation=(
            SourceRecipe(Path(f"{world}-validation"), 1.0, validated, 0.0, NO_TEXT_WHERE_SEEN, drawn=drawn),
        ),
        mirror=0.0,
        frames_cache=Path(f"{world}-frames"),
    )


TINY_METAWORLD = _tiny_of("metaworld")
# What LIBERO's soft arm was told: where it leans on something, that is more than it reached.
TINY_LIBERO_OBJECT = _tiny_of("libero-object", drawn="told")
TINY_ROBOSUITE = _tiny_of("robosuite", drawn="told")
TINY_MANISKILL = _tiny_of("maniskill", drawn="told")


def _together(first: Recipe, *others: Recipe) -> Recipe:
    """One model of several worlds: equal shares of the samples, and each is mirrored as it is alone."""
    sources, validation = list(first.sources), list(first.validation)
    for world in others:
        sources += [replace(one, mirror=world.mirror) for one in world.sources]
        validation += world.validation
    return replace(first, sources=tuple(sources), validation=tuple(validation))


TINY_WORLDS = _together(TINY, TINY_METAWORLD, TINY_ROBOSUITE)

PLANNED = {"policy": 1.0}
DEBUG_VECTOR = replace(DEBUG, learns="vectors")


def _vector_of(recipe: Recipe, cost: float) -> Recipe:
    """The baseline that predicts a `tiny` recipe's paths in numbers, on its data, with as many operations.

    `cost` is that of the recipe's mean sample relative to one of the baseline's, which only plans.
    """
    plans = [one for one in recipe.sources if "policy" in one.modes]
    return replace(
        recipe,
        learns="vectors",
        sources=tuple(replace(one, modes=PLANNED, drop_text_of={}) for one in plans),
        validation=tuple(replace(one, modes=PLANNED, drop_text_of={}) for one in recipe.validation),
        num_steps=round(cost * recipe.num_steps),
    )


TINY_VECTOR = _vector_of(TINY, cost=1.342)

BASE = replace(
    TINY,
    preset="base",
    autoencoder=Path("autoencoder"),
    num_steps=100_000,
    batch_size=64,
    micro_batch_size=16,
    learning_rate=3e-4,
    warmup_steps=1000,
    ema_decay=0.9995,
    mixed_precision="bf16",
    num_workers=8,
    validate_minutes=30,
    save_minutes=15,
)

RELEASED_SOURCES = (
    SourceRecipe(Path("bridge"), 0.2, MIXTURES["video-only"]),
    SourceRecipe(Path("rlbench"), 0.5, MIXTURES["release"], stride=4),
    SourceRecipe(Path("droid"), 0.3, MIXTURES["release-without-policy"], stride=3),
)

WAN = Recipe(
    preset="wan2.2-5b",
    sources=tuple(
        replace(one, modes=MIXTURES["paper"] if one.path.name != "bridge" else MIXTURES["video-only"])
        for one in RELEASED_SOURCES
    ),
    pretrained=Path("wan2.2-5b"),
    num_steps=100_000,
    batch_size=32,
    micro_batch_size=1,
    learning_rate=5e-7,
    warmup_steps=1000,
    decay=0.0,
    betas=(0.9, 0.999),
    ema_decay=None,
    loss_weight="release",
    autoencoder_dtype="bfloat16",
    text_dtype="bfloat16",
    mixed_precision="bf16",
    gradient_checkpointing=True,
    num_workers=4,
    validate_minutes=60,
    save_minutes=30,
)

LORA = {
    "trainable": "lora",
    "transformer_dtype": "bfloat16",
    "learning_rate": 1e-4,
    "num_steps": 10_000,
    "batch_size": 8,
    "warmup_steps": 100,
    "decay": 0.2,
}
RAYS = ("ray_encoder.layers.0", "ray_encoder.layers.2")
"""Layers that plain weights must also train, from new weights: the encoder of cameras."""
PLAIN_LORA = {**LORA, "lora": LoraRecipe(targets=(*LoraRecipe().targets, *RAYS))}
PLAIN = {
    # These weights have never seen action images, so they may change more than in the release.
    name: replace(WAN, preset=name, pretrained=Path(name), learning_rate=2e-5)
    for name in ("wan2.2-5b-rays", "wan2.1-1.3b")
}

RECIPES = {
    "debug": DEBUG,
    "tiny": TINY,
    "tiny-metaworld": TINY_METAWORLD,
    "tiny-libero-object": TINY_LIBERO_OBJECT,
    "tiny-robosuite": TINY_ROBOSUITE,
    "tiny-maniskill": TINY_MANISKILL,
    "tiny-worlds": TINY_WORLDS,
    "base": BASE,
    "wan2.2-5b": WAN,
    "wan2.2-5b-release": replace(WAN, sources=RELEASED_SOURCES),
    "wan2.2-5b-lora": replace(WAN, **LORA),
    **PLAIN,
    **{f"{name}-lora": replace(recipe, **PLAIN_LORA) for name, recipe in PLAIN.items()},
    "debug-vector": DEBUG_VECTOR,
    "tiny-vector": TINY_VECTOR,
    "tiny-metaworld-vector": _vector_of(TINY_METAWORLD, cost=1.294),
    "tiny-libero-object-vector": _vector_of(TINY_LIBERO_OBJECT, cost=1.294),
    "tiny-robosuite-vector": _vector_of(TINY_ROBOSUITE, cost=1.294),
    "tiny-maniskill-vector": _vector_of(TINY_MANISKILL, cost=1.294),
}
"""`debug` takes less than a minute on a laptop, `tiny` two hours on two cores, and `tiny-metaworld`,
`tiny-libero-object`, `tiny-robosuite` and `tiny-maniskill` the same on other worlds, `tiny-worlds` on three
at once (docs/benchmarks.md). The others are the paper's settings, the public release's mixture of modes, and
low-rank adaptation, which have been run on tiny networks only.
`-vector` are the baselines of docs/evaluation.md."""
