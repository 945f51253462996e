"""LeRobot's ACT on the same recordings, judged in the same scenes: a baseline that somebody else wrote.

    python bench/act.py train --data out --out out/act --minutes 90
    python bench/act.py judge --models out/act --out results/act --protocol new_viewpoint --workers 2
    action-images compare results/mine results/act

`--data` holds `demonstrations`, `choices` and `clumsy` of `make train-tiny`. Stop training at any time and
run it again: it goes on where it was, without counting what it had done since the last save. LeRobot wants
other packages than this one pins, so this runs in an environment of its own; docs/evaluation.md has the four
commands that make it, and says what is alike and what is not.

ACT knows neither cameras nor language. Both are given as its `environment_state`: the words of the
instruction, as the tiny preset is told them, and where the cameras stand to each other.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from action_images.baselines.numbers import NUM_NUMBERS, PARTS, from_numbers, reference, to_numbers, tool_now
from action_images.control import Gripper, to_control_steps
from action_images.evaluation.closed_loop import EvaluationConfig, evaluate
from action_images.evaluation.protocols import PROTOCOLS, protocol_named
from action_images.files.atomic import whole_file, write_json
from action_images.geometry.rotation import to_six_numbers
from action_images.model.text import HashedWords
from action_images.policy.generative import scene_of, with_first
from action_images.robot import Observation, Plan
from action_images.samples.loader import load
from action_images.samples.sample import Sample, collate
from action_images.structs import concatenate
from action_images.training.recipes import TINY_VECTOR
from action_images.training.setup import clips_of, open_mixture

VIEWS = ("observation.images.view0", "observation.images.view1")
SIZE, NUM_FRAMES, FPS = (128, 128), 9, 5.0
WORDS = HashedWords(dim=64, max_words=24)
NUM_CAMERA_NUMBERS = 9 + 4 * len(VIEWS)
BATCH, RATE, WARMUP, FALL = 16, 3e-4, 500, 0.2


def new_policy() -> ACTPolicy:
    """ACT with random weights: a residual network of 18 layers for each view, and transformers 256 wide.

    LeRobot freezes the statistics of its batch norms, as is right for pretrained weights. These are not, so
    groups of channels are normalised instead, as LeRobot's own diffusion policy does.
    """
    images = {name: PolicyFeature(FeatureType.VISUAL, (3, *SIZE)) for name in VIEWS}
    told = {
        "observation.state": PolicyFeature(FeatureType.STATE, (NUM_NUMBERS,)),
        "observation.environment_state": PolicyFeature(
            FeatureType.ENV, (WORDS.max_words * WORDS.dim + NUM_CAMERA_NUMBERS,)
        ),
    }
    as_it_is = dict.fromkeys(("VISUAL", "STATE", "ENV", "ACTION"), NormalizationMode.IDENTITY)
    config = ACTConfig(
        input_features=images | told,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (NUM_NUMBERS,))},
        normalization_mapping=as_it_is,
        chunk_size=NUM_FRAMES - 1,
        n_action_steps=NUM_FRAMES - 1,
        pretrained_backbone_weights=None,
        dim_model=256,
        dim_feedforward=1024,
        device="cpu",
    )
    policy = ACTPolicy(config)
    _group_norms(policy)
    return policy


def _group_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child).__name__ == "FrozenBatchNorm2d":
            channels = child.weight.numel()  # pyright: ignore
            setattr(module, name, nn.GroupNorm(channels // 16, channels))
        else:
            _group_norms(child)


@dataclass(frozen=True)
class Units:
    """Mean and spread of the numbers, from data: what the network sees and answers has neither."""

    path_mean: Tensor
    path_std: Tensor
    now_mean: Tensor
    now_std: Tensor

    @classmethod
    def of(cls, samples: Sample) -> "Units":
        numbers, now = (
            to_numbers(samples.trajectory, reference(samples.cameras))[:, 1:],
            tool_now(samples.trajectory, reference(samples.cameras)),
        )
        valid = samples.valid[:, 1:, None]
        mean = (numbers * valid).sum(0) / valid.sum(0).clamp_min(1)
        variance = ((numbers - mean).square() * valid).sum((0, 1)) / valid.sum()
        return cls(mean, _spread(variance), now.mean(0), _spread(now.var(0)))


def _spread(variance: Tensor) -> Tensor:
    return torch.cat([part.mean().sqrt().clamp_min(1e-3).expand(len(part)) for part in variance.split(PARTS)])


def shown(samples: Sample, units: Units) -> dict[str, Tensor]:
    """What ACT is shown: first frames, the tool in the first camera's frame, words, places of cameras."""
    cameras = samples.cameras[:, :, 0]
    placed = reference(samples.cameras).inverse() @ cameras.world_from_camera[:, 1]
    lens = cameras.intrinsics[..., [0, 1, 0, 1], [0, 1, 2, 2]] / SIZE[1]
    words = WORDS.encode([text or "" for text in samples.instruction]).flatten(1)
    told = torch.cat([words, placed.translation, to_six_numbers(placed.rotation), lens.flatten(1)], -1)
    now = (tool_now(samples.trajectory, reference(samples.cameras)) - units.now_mean) / units.now_std
    images = {name: samples.video[:, view, 0] for view, name in enumerate(VIEWS)}
    return images | {"observation.state": now, "observation.environment_state": told}


def wanted(samples: Sample, units: Units) -> dict[str, Tensor]:
    """What ACT is to answer: the path relative to the tool, and which frames lie behind the episode's end."""
    numbers = to_numbers(samples.trajectory, reference(samples.cameras))[:, 1:]
    return {"action": (numbers - units.path_mean) / units.path_std, "action_is_pad": ~samples.valid[:, 1:]}


class Act:
    """A Policy, as `EvaluationConfig` wants it; loaded in every process."""

    def __init__(self, folder: Path) -> None:
        self.network = new_policy().eval()
        self.network.load_state_dict(load_file(folder / "act.safetensors"))
        self.units = Units(**load_file(folder / "units.safetensors"))

    @torch.no_grad()
    def plan(self, observation: Observation) -> Plan:
        scene = scene_of(observation, SIZE)
        scene = replace(
            scene, video=scene.video if scene.video.is_floating_point() else scene.normalised().video
        )
        numbers = (
            self.network.predict_action_chunk(shown(scene, self.units)) * self.units.path_std
            + self.units.path_mean
        )
        now = scene.trajectory[:, :1]
        path = with_first(
            concatenate([now, from_numbers(numbers, now, reference(scene.cameras))], 1)[0], observation
        )
        return Plan(to_control_steps(path, torch.ones(NUM_FRAMES), FPS, 20.0, Gripper()).trajectory)


def train(data: Path, out: Path, minutes: float) -> None:
    """Train for `minutes` in all, saving each minute; the rate falls over the last fifth of the time."""
    console, recipe = Console(), recipe_on(data)
    mixture = open_mixture(recipe.sources, recipe, clips_of(recipe), recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "units.safetensors").is_file():
        windows = [mixture.sample(mixture[number], SIZE) for number in range(512)]
        save_file(
            vars(Units.of(collate([replace(one, video=one.video[..., :1, :1]) for one in windows]))),
            out / "units.safetensors",
        )
    units = Units(**load_file(out / "units.safetensors"))
    torch.manual_seed(0)
    network = new_policy().train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    step, spent = 0, 0.0
    if (out / "state.pt").is_file():
        state = torch.load(out / "state.pt", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    millions = sum(one.numel() for one in network.parameters()) / 1e6
    console.print(f"{millions:.1f} M parameters, step {step}, {spent / 60:.0f} minutes done")
    began, saved, losses = time.monotonic() - spent, time.monotonic(), []
    for samples in _samples(mixture, step):
        share = (time.monotonic() - began) / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / WARMUP, (1 - share) / FALL, 1.0)
        loss, parts = network(shown(samples, units) | wanted(samples, units))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        losses.append(parts["l1_loss"])
        done = time.monotonic() - began > 60 * minutes
        if done or time.monotonic() - saved > 60:
            saved, spent = time.monotonic(), time.monotonic() - began
            _save(out, network, optimizer, step, spent)
            rate, mean_loss = BATCH * step / spent, sum(losses) / len(losses)
            console.print(
                f"step {step}  l1 {mean_loss:.4f}  {spent / 60:.0f} of {minutes:g} min  {rate:.1f} samples/s"
            )
            losses.clear()
        if done:
            return


def recipe_on(data: Path):
    """The recipe of the other baseline, at the size of images that ACT sees."""
    sources = tuple(replace(one, path=data / one.path) for one in TINY_VECTOR.sources)
    return replace(TINY_VECTOR, sources=sources, validation=(), size=SIZE, num_frames=NUM_FRAMES)


def _samples(mixture, step: int) -> Iterator[Sample]:
    for batches in load(mixture, BATCH, 1_000_000, step, SIZE):
        yield from (batch.sample for batch in batches)


def _save(out: Path, network: ACTPolicy, optimizer: torch.optim.Optimizer, step: int, spent: float) -> None:
    for name, write in (
        (
            "state.pt",
            partial(
                torch.save,
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "spent": spent,
                },
            ),
        ),
        (
            "act.safetensors",
            partial(save_file, {name: value.contiguous() for name, value in network.state_dict().items()}),
        ),
    ):
        with whole_file(out / name) as temporary:
            write(temporary)
    write_json(out / "progress.json", {"step": step, "minutes": spent / 60})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--data", type=Path, required=True)
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--minutes", type=float, default=90.0)
    judging = commands.add_parser("judge")
    judging.add_argument("--models", type=Path, required=True)
    judging.add_argument("--out", type=Path, required=True)
    judging.add_argument("--protocol", choices=tuple(PROTOCOLS), default="in_domain")
    judging.add_argument("--trials", type=int, default=100)
    judging.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.command == "train":
        train(given.data, given.out, given.minutes)
        return
    config = EvaluationConfig(
        given.protocol,
        protocol_named(given.protocol),
        f"act {given.models.name}",
        partial(Act, given.models),
        2,
        SIZE,
    )
    won = [trial.succeeded for trial in evaluate(config, given.out, given.trials, num_workers=given.workers)]
    print(f"{sum(won)} of {len(won)} new trials won; compare them with 'action-images compare'")


if __name__ == "__main__":
    main()
