"""Ways to train, crossed: each goes on from one process to two, and back, and learns what one process does.

A few run with all other tests; `make combinations` runs all.
"""

import json
import shutil
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from launches import DEEPSPEED, launch
from runs import losses_of, weights_of

from action_images.model.bundle import Models
from action_images.training.checkpoint import checkpoints
from action_images.training.log import read_log
from action_images.training.recipe import Recipe
from action_images.training.train import Run, train

BY_DEFAULT = (
    ("ddp", "no", "full", "none"),
    ("fsdp2", "no", "full", "validation"),
    ("fsdp2", "bf16", "lora", "validation"),
)
"""Copies, pieces, and the one that the large recipes need."""
LOSSES = {"no": 1e-4, "bf16": 3e-2}
"""By precision: how far losses may differ, as a share. Sums of bfloat16 numbers depend on their order."""
CONFIGS = ("ddp", "fsdp2", "deepspeed")


def combinations() -> list:
    """All, each with its marks."""
    found = []
    for one in product(CONFIGS, ("no", "bf16"), ("full", "lora"), ("validation", "none")):
        marks = [] if one in BY_DEFAULT else [pytest.mark.combinations]
        if one[0] == "deepspeed":
            marks += DEEPSPEED.marks
        found.append(pytest.param(*one, marks=marks, id="-".join(one)))
    return found


@dataclass(frozen=True)
class References:
    """Runs of one process from beginning to end, each recipe run once."""

    folder: Path

    def base(self, recipe: Recipe) -> Path:
        """Models to adapt."""
        out = self.folder / "base"
        if not (out / "model").is_dir():
            alone(replace(recipe, validation=(), num_steps=1), out)
        return out / "model"

    def whole(self, recipe: Recipe) -> Path:
        """The folder of the recipe's run."""
        key = json.dumps(recipe.as_json())
        for out in self.folder.glob("whole*"):
            if (out / "key").read_text() == key:
                return out
        out = self.folder / f"whole {len(list(self.folder.iterdir()))}"
        alone(recipe, out)
        (out / "key").write_text(key)
        return out


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> References:
    return References(tmp_path_factory.mktemp("references"))


def alone(recipe: Recipe, out: Path, *, num_steps: int | None = None) -> None:
    """Train in this process, to the end or for so many steps."""
    if num_steps is None:
        train(recipe, out)
    else:
        run = Run.start(recipe, out)
        for step, batches in run.steps():
            loss, norm = run.learn(step, batches)
            run.log.step(step, loss, norm, 0.0, 1)
            if step + 1 == num_steps:
                run.save()
                break
    AcceleratorState._reset_state(reset_partial_state=True)


def combined(recipe: Recipe, precision: str, trainable: str, judged: str, references: References) -> Recipe:
    one = replace(
        recipe,
        num_steps=3,
        mixed_precision=precision,
        validate_minutes=0.0,
        save_minutes=0.0,
        keep_last=3,
        validation=recipe.validation if judged == "validation" else (),
    )
    if trainable == "full":
        return one
    frozen = "bfloat16" if precision == "bf16" else "float32"
    return replace(one, trainable="lora", transformer_dtype=frozen, pretrained=references.base(recipe))


@pytest.mark.parametrize(("config", "precision", "trainable", "judged"), combinations())
def test_one_process_then_two_then_one_learn_what_one_does(
    recipe, references, tmp_path, config, precision, trainable, judged
):
    wanted = combined(recipe, precision, trainable, judged, references)
    whole = references.whole(wanted)
    alone(wanted, tmp_path, num_steps=1)
    launch(wanted, tmp_path, config)
    steps = [path.name for path in checkpoints(tmp_path / "checkpoints")]
    assert steps == ["step-00000001", "step-00000002", "step-00000003"]
    files = sorted(path.name for path in (tmp_path / "checkpoints" / steps[-1]).glob("*.safetensors"))
    # Pieces are written by whoever holds them, in a file of each.
    assert [name[:11] for name in files] == (
        ["shard-00001", "shard-00002"] if config == "fsdp2" else ["tensors.saf"]
    )
    by_two = losses_of(tmp_path)
    # The third step once more, by one process, from what two have saved.
    shutil.rmtree(tmp_path / "checkpoints" / steps[-1])
    shutil.rmtree(tmp_path / "model")
    alone(wanted, tmp_path)
    expected = pytest.approx(losses_of(whole), rel=LOSSES[precision])
    assert by_two == expected
    assert losses_of(tmp_path) == expected
    found, judged_by_one = judgements(tmp_path), dict(judgements(whole))
    # Two processes judge the second and third step, one process the third again.
    assert [step for step, _ in found] == ([2, 3, 3] if judged == "validation" else [])
    first, second = weights_of(whole / "model"), weights_of(tmp_path / "model")
    assert first.keys() == second.keys()
    if precision == "no":
        assert [loss for _, loss in found] == pytest.approx(
            [judged_by_one[step] for step, _ in found], rel=1e-3
        )
        assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-3
    if judged == "validation":
        Models.load(tmp_path / "best")


def judgements(out: Path) -> list[tuple[int, float]]:
    """The step and the policy's loss of each validation on held-out windows."""
    rows = [row for row in read_log(out) if "validation" in row]
    return [(row["step"], row["validation"]["policy"]["loss 0.5"]) for row in rows]
