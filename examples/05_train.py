"""Record a few demonstrations, train the smallest recipe on them, and see that its plans beat guessing: less than a minute.

The picture `run/sheets/...png` shows held-out scenes: what happened, and what the model draws.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from action_images.data.mixture import Mixture
from action_images.recipes import DEBUG
from action_images.sim import LOOKS, RIGS
from action_images.sim.record import Studio, record
from action_images.training.log import read_log
from action_images.training.recipe import SourceRecipe
from action_images.training.setup import clips_of, open_mixture
from action_images.training.train import train
from action_images.viewer.contact_sheet import save_contact_sheet

STUDIO = Studio(RIGS["fixed"], LOOKS["train"], num_views=2, size=(32, 32), every=4, hold=4)


def demonstrations(folder: Path, seeds: range) -> Path:
    """Demonstrations of `reach_target`, a frame every 0.2 s."""
    failed = [seed for (_, seed), succeeded in record(folder, (("reach_target", seed) for seed in seeds), STUDIO) if not succeeded]
    print(f"{folder}: {len(seeds) - len(failed)} demonstrations")
    return folder


def error_of_the_mean(seen: Mixture, held_out: Mixture, num: int) -> float:
    """How far the end of a held-out window is from the mean end of windows seen in training: the median, mm."""

    def ends(mixture: Mixture, number: int) -> torch.Tensor:
        samples = (mixture.sample(replace(mixture[index], task="policy")) for index in range(number))
        return torch.stack([sample.trajectory.world_from_tool.translation[-1] for sample in samples if sample.trajectory is not None])

    return 1e3 * (ends(held_out, num) - ends(seen, 4 * num).mean(0)).norm(dim=-1).median().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=48)
    parser.add_argument("--steps", type=int, default=DEBUG.num_steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shown = demonstrations(arguments.out / "demonstrations", range(arguments.episodes))
    kept = demonstrations(arguments.out / "validation", range(1000, 1000 + arguments.episodes // 4))
    recipe = replace(
        DEBUG,
        sources=(SourceRecipe(shown, tasks={"policy": 1.0}),),
        validation=(SourceRecipe(kept, tasks={"policy": 1.0}),),
        num_steps=arguments.steps,
        num_workers=0,
    )
    run = arguments.out / "run"
    model = train(recipe, run, lambda steps, judged: save_contact_sheet(run / "sheets" / f"step-{steps:08d}.png", judged))
    rows = read_log(run)
    losses = [row["loss"] for row in rows if "loss" in row]
    first, last = (sum(part) / len(part) for part in (losses[:20], losses[-20:]))
    figures = rows[-1]["validation"]["policy"]
    clips = clips_of(recipe)
    mixtures = [open_mixture(one, recipe, clips, seed) for one, seed in ((recipe.sources, 0), (recipe.validation, 1))]
    mean = error_of_the_mean(mixtures[0], mixtures[1], recipe.validation_windows)
    print(f"loss {first:.3f} -> {last:.3f}")
    print(f"end of the plan, median error: {figures['final mm']:.1f} mm")
    print(f"the mean of what was seen scores {mean:.1f} mm, standing still {figures['still mm']:.1f} mm")
    print(f"written: {model}")
    if last > 0.7 * first or figures["final mm"] > 0.7 * mean:
        raise SystemExit("it did not learn what it should have")


if __name__ == "__main__":
    main()
