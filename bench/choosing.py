"""Does it change what is chosen as `best/` when validation averages and smooths as a policy does?

    python bench/choosing.py --data FOLDER --out FOLDER

FOLDER of the data has `demonstrations` and `validation`, recorded with `action-images record --every 4
--size 64`. One run of the tiny network is judged again and again on the same held-out windows: by clips of
one plain answer, and by clips as a policy makes them. A third column judges other windows as a policy sees
them: which choice was the better one?
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from scipy.stats import spearmanr

from action_images.files.atomic import write_json
from action_images.inference.augment import AS_IT_IS
from action_images.inference.clip_generator import ClipGenerator
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import DEBUG
from action_images.training.setup import clips_of
from action_images.training.train import Run
from action_images.training.validation import Validation

POLICY = {"policy": 1.0}


def recipe_of(data: Path, *, num_steps: int, num_windows: int) -> Recipe:
    """The debug recipe with the tiny network, which averages mirrored scenes."""
    validation = SourceRecipe(
        data / "validation", modes=POLICY, part="train", held_out=0.5, held_out_by="episode"
    )
    return replace(
        DEBUG,
        preset="tiny",
        num_frames=5,
        mirror=0.5,
        sources=(SourceRecipe(data / "demonstrations", modes=POLICY),),
        validation=(validation,),
        num_steps=num_steps,
        learning_rate=2e-3,
        validation_windows=num_windows,
    )


def judged(run: Run, every: int, others: Validation) -> list[dict[str, float]]:
    """A row for each validation: scores (mm) and seconds of both ways, and the score on other windows."""
    validation = Validation.of(run.recipe, clips_of(run.recipe))
    rows = []
    for step, batches in run.steps():
        run.learn(step, batches)
        if (step + 1) % every:
            continue
        with run.averaged() as models:
            policy = ClipGenerator.of(models)
            one_answer = replace(policy.generation, augment=AS_IT_IS, smooth_frames=0.0)
            plain, plain_s = _score(validation, replace(policy, generation=one_answer))
            averaged, averaged_s = _score(validation, policy)
            elsewhere, _ = _score(others, policy)
        rows.append(
            {
                "step": step + 1,
                "plain mm": plain,
                "policy mm": averaged,
                "other windows mm": elsewhere,
                "plain s": plain_s,
                "policy s": averaged_s,
            }
        )
        print(rows[-1], flush=True)
    return rows


def _score(validation: Validation, generator: ClipGenerator) -> tuple[float, float]:
    start = time.process_time()
    score = validation.judge(generator).score
    return score, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of `demonstrations` and `validation`"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the run and choosing.json")
    parser.add_argument("--steps", type=int, default=300, help="of training")
    parser.add_argument("--every", type=int, default=20, help="steps between validations")
    parser.add_argument("--windows", type=int, default=32, help="held-out windows")
    options = parser.parse_args()
    recipe = recipe_of(options.data, num_steps=options.steps, num_windows=options.windows)
    held_out = tuple(replace(one, part="held_out") for one in recipe.validation)
    others = replace(recipe, validation=held_out, validation_windows=2 * options.windows)
    run = Run.start(recipe, options.out / "run")
    rows = judged(run, options.every, Validation.of(others, run.clips))
    plain, policy = [row["plain mm"] for row in rows], [row["policy mm"] for row in rows]
    agreement = float(spearmanr(plain, policy).statistic)
    best = {
        "plain": min(rows, key=lambda row: row["plain mm"]),
        "policy": min(rows, key=lambda row: row["policy mm"]),
    }
    write_json(options.out / "choosing.json", {"rows": rows, "rank agreement": agreement, "best": best})
    print(f"rank agreement {agreement:.2f}")
    for name, row in best.items():
        print(f"{name} takes step {row['step']}: {row['other windows mm']:.1f} mm on other windows")


if __name__ == "__main__":
    main()
