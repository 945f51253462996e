"""The model card of trained models: data, recipe, figures, licence, limits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from action_images.model.denoiser import CanvasDenoiser
from action_images.samples.mixture import Mixture
from action_images.training.checkpoint import Progress
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.setup import clips_of, episodes_of, open_mixture

HEAD = """---
license: apache-2.0
library_name: action-images
pipeline_tag: robotics
tags: [robotics, video-generation, action-images]
---
# {preset}, trained by Action Images

{parameters:,} parameters, step {step} of {num_steps}, {hours:.2f} hours. Load it with
`{load}`; the network alone with
`ActionImagesTransformer3DModel.from_pretrained(folder, subfolder="transformer")`.

"""
LIMITS = """## Limits
It has seen what is listed above and nothing else. It does not know other robots, cameras far from those, and
words that were not among the instructions. A plan is not checked for collisions: put `control.Guard` between
it and an arm.

## Licence
Apache-2.0, as the code. Where the data or the weights that training began from have terms of their own, those
hold too.
"""


def model_card(
    recipe: Recipe,
    mixture: Mixture,
    progress: Progress,
    denoiser: CanvasDenoiser,
    figures: Mapping[str, Mapping[str, float]],
) -> str:
    """README.md for a folder of models; `figures` are the last validation's, by mode."""
    parameters = sum(parameter.numel() for parameter in denoiser.parameters())
    kind = type(denoiser)
    wanted = "" if kind is CanvasDenoiser else f", denoiser={kind.__module__}.{kind.__name__}"
    load = f"action_images.model.bundle.Models.load(folder{wanted})"
    end = progress.end or recipe.num_steps
    steps = {"step": progress.step, "num_steps": end, "hours": progress.seconds / 3600}
    head = HEAD.format(preset=recipe.preset, parameters=parameters, load=load, **steps)
    return "\n".join([head + _data(recipe, mixture), _figures(figures), _recipe(recipe), LIMITS])


def _data(recipe: Recipe, mixture: Mixture) -> str:
    lines = ["## Data", "Episodes are those that were used: of the part, less what was left out.", ""]
    lines += [
        "| source | ratio | part | episodes | windows | instructions | modes |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += _rows(recipe.sources, mixture, "learnt from")
    if recipe.validation:
        lines += _rows(
            recipe.validation,
            open_mixture(recipe.validation, recipe, clips_of(recipe), recipe.seed),
            "judged on",
        )
    return "\n".join([*lines, ""])


def _rows(recipes: Sequence[SourceRecipe], mixture: Mixture, use: str) -> Iterator[str]:
    for one, source in zip(recipes, mixture.sources, strict=True):
        dataset, left_out = source.dataset, {*source.too_short, *source.bare}
        used = [number for number in episodes_of(one, source) if dataset.ids[number] not in left_out]
        instructions = Counter(dataset.instruction(number) for number in used)
        said = ", ".join(f"{name} {weight:g}" for name, weight in one.modes.items())
        without = f", without {' '.join(one.without)}" if one.without else ""
        counts = f"{len(used)} | {len(source)} | {len(instructions)}"
        yield f"| {dataset.path.name} | {source.ratio:g} | {one.part}, {use}{without} | {counts} | {said} |"


def _figures(figures: Mapping[str, Mapping[str, float]]) -> str:
    if not figures:
        return "## Figures\nNone: the recipe has no validation.\n"
    lines = ["## Figures", "Medians over held-out windows; `still mm` is what keeping still would score.", ""]
    for mode, row in figures.items():
        lines.append(f"- {mode}: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    return "\n".join([*lines, ""])


def _recipe(recipe: Recipe) -> str:
    values = recipe.as_json()
    # The data's paths on the training machine stay private.
    shown = {
        name: value for name, value in values.items() if name not in ("sources", "validation", "pretrained")
    }
    return "\n".join(["## Recipe", *(f"- {name}: {value}" for name, value in shown.items()), ""])
