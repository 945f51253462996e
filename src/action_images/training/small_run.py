"""A small training run of one module: a loop that can be stopped and resumed, and its state on disk."""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from action_images.device import number_of
from action_images.errors import ActionImagesError
from action_images.files.atomic import whole_folder, write_json
from action_images.samples.loader import Batch
from action_images.samples.mixture import Mixture
from action_images.samples.split import Split
from action_images.training.interruption import interruptible
from action_images.training.own_data import split_of

UNFINISHED = "unfinished"
"""The folder of the state in a run's folder."""


@dataclass(frozen=True)
class SmallRun:
    """A module that learns, in the folder of its run."""

    out: Path
    module: nn.Module
    optimizer: torch.optim.Optimizer
    settings: Mapping[str, Any]
    """The run's settings, which json can hold; another run is not resumed."""
    save_minutes: float

    def learn(
        self,
        batches: Iterable[tuple[Batch, ...]],
        first: int,
        loss_of: Callable[[Batch, int], Tensor],
        rate_of: Callable[[int], float],
        told: Callable[[int, float], None],
    ) -> None:
        """A step for each of the batches, from step `first` on; `told` each step and its loss.

        `loss_of` a batch in a step is minimised at the learning rate `rate_of` the step. The state is saved
        at intervals, at the end, and before a KeyboardInterrupt that a signal asks for. Raises
        ActionImagesError if the loss is not finite.
        """
        saved, step = time.monotonic(), first - 1
        with interruptible() as interrupted:
            for step, parts in enumerate(batches, first):
                for group in self.optimizer.param_groups:
                    group["lr"] = rate_of(step)
                loss = torch.stack([loss_of(part, step) for part in parts]).mean()
                seen = number_of(loss.detach(), "small run")
                if not math.isfinite(seen):
                    raise ActionImagesError(
                        f"step {step}: the loss is {seen}; take a lower learning rate, the last "
                        "checkpoint is as it was"
                    )
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad()
                told(step, seen)
                if interrupted() or time.monotonic() - saved > 60 * self.save_minutes:
                    self.save(step + 1)
                    saved = time.monotonic()
                if interrupted():
                    raise KeyboardInterrupt
        self.save(step + 1)

    def save(self, step: int) -> None:
        """Save the state after so many steps, completely or not at all."""
        moments: dict[str, Tensor] = {}
        for number, state in self.optimizer.state_dict()["state"].items():
            moments |= {f"{number}.{name}": value for name, value in state.items()}
        with whole_folder(self.out / UNFINISHED) as folder:
            weights = {name: value.contiguous() for name, value in self.module.state_dict().items()}
            save_file(weights, folder / "weights.safetensors")
            save_file(moments, folder / "optimizer.safetensors")
            write_json(folder / "step.json", {"step": step, "run": self.settings})

    def restore(self, practical: Collection[str]) -> int:
        """Restore weights and the optimizer's state; returns the step to continue with, 0 for a new run.

        Raises ActionImagesError if the folder holds a run with other settings, `practical` ones apart.
        """
        folder = self.out / UNFINISHED
        if not (folder / "step.json").is_file():
            return 0
        told = json.loads((folder / "step.json").read_text())
        wanted = {name: value for name, value in self.settings.items() if name not in practical}
        before = told["run"]
        changed = [name for name, value in json.loads(json.dumps(wanted)).items() if value != before[name]]
        if changed:
            raise ActionImagesError(
                f"{self.out}: holds another run ({', '.join(changed)} differ); name another folder, or go on "
                "with its values"
            )
        self.module.load_state_dict(load_file(folder / "weights.safetensors"))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in load_file(folder / "optimizer.safetensors").items():
            number, key = name.split(".")
            moments.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        return told["step"]


def check_split(whole: Mixture, held_out: float) -> None:
    """Raise ActionImagesError, with a cure, if a set has no episode to learn from, or none to judge on."""
    for source in whole.sources:
        usable = [source.dataset.ids[place] for place in source.used]
        number = sum(map(Split("held_out", held_out, "episode"), usable))
        if 0 < number < len(usable):
            continue
        other = split_of(usable)
        cure = "record more episodes" if other is None else f"give --held-out {other.fraction:g}"
        raise ActionImagesError(
            f"{source.dataset.path}: {number} of {len(usable)} episodes that give clips are held out at a "
            f"share of {held_out:g}, and some must be, but not all; {cure}"
        )
