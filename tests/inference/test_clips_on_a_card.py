"""From scenes to clips on a CUDA card that is not there (see fake_card): what lies where, what waits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.canvas import MODES
from action_images.device import MOVES, to_cpu
from action_images.diffusion.sampler import Sampling, StepCache, sample
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.generation import Generation
from action_images.inference.label import label, label_one_view
from action_images.inference.simulate import simulate
from action_images.model.backbones import BACKBONES
from action_images.model.build import build, build_autoencoder
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import PRESETS, preset_named
from action_images.model.text import HashedWords
from action_images.policy import GenerativePolicy
from action_images.robot import Observation
from fake_card import CUDA, WaitsError, fake_card, on_card
from small_scenes import rig, scenes

FIRST_FRAME_ALONE = {"policy", "joint", "simulate", "video"}


def generator_of(preset: str, **generation) -> ClipGenerator:
    """Models of random weights on the card."""
    chosen = preset_named(preset)
    with torch.random.fork_rng(devices=[]):
        models = build(chosen).to(CUDA)
    clips = Clips(chosen.size, chosen.num_frames, 5.0, chosen.sampling)
    return ClipGenerator.of(models, clips=clips, generation=Generation(**generation) if generation else None)


def released(num_layers: int = 2, num_frames: int = 5) -> ClipGenerator:
    """The 5 B configuration: its widths, channels and image size; few blocks and frames, all alike."""
    preset = PRESETS["wan2.2-5b"]
    with torch.device(CUDA):
        network = BACKBONES["wan"](**{**preset.transformer, "num_layers": num_layers})
        for name, parameter in network.named_parameters():
            if "norm" not in name and "scale_shift" not in name and "time_embedder" not in name:
                parameter.data = parameter.data.bfloat16()
        autoencoder = build_autoencoder(preset)
    models = Models(CanvasDenoiser(network), autoencoder, HashedWords(dim=4096).to(CUDA))
    clips = Clips(preset.size, num_frames, 10.0, preset.sampling)
    sampling = Sampling(num_steps=2, guidance=7.5)
    return ClipGenerator.of(models, clips=clips, generation=Generation(sampling))


def scene_for(generator: ClipGenerator, mode: str, batch: int = 1):
    whole = scenes(batch, 2, generator.clips.num_frames, generator.clips.size)
    return replace(whole, video=whole.video[:, :, :1]) if mode in FIRST_FRAME_ALONE else whole


@pytest.mark.parametrize(("preset", "modes"), [("debug", [*MODES]), ("tiny", ["policy", "second_view"])])
def test_clips_wait_for_the_card_where_it_is_meant_alone(preset, modes):
    with fake_card() as card:
        generator = generator_of(preset)
        for mode in modes:
            scene = scene_for(generator, mode)
            card.forget()
            prediction = generator.generate(scene, mode, [1])
            streams = sum(part is not None for part in (prediction.video, prediction.action_images))
            once = {"fitted": 1} if mode == modes[0] else {}
            anchored = {"still video": 1} if preset == "tiny" and prediction.video is not None else {}
            assert card.moves == {"clip": streams, **once, **anchored}, mode
            # Encoding, denoising, decoding and reading each end once; no copy to the card waits.
            assert card.waits == {"end of a stage": 4}, (mode, card.where)
            for part in (prediction.video, prediction.action_images):
                assert part is None or part.device.type == "cpu"


# `joint` asks for video and actions both, so it takes every way that the other two take.
@pytest.mark.parametrize(
    "mode", ["joint", *(pytest.param(one, marks=pytest.mark.slow) for one in ("policy", "simulate"))]
)
def test_a_clip_of_the_5b_configuration(mode):
    with fake_card() as card:
        generator = released()
        assert generator.device == CUDA
        scene = scene_for(generator, mode)
        card.forget()
        prediction = generator.generate(scene, mode, [1])
        streams = sum(part is not None for part in (prediction.video, prediction.action_images))
        assert card.moves == {"clip": streams}
        assert card.waits == {"end of a stage": 4}, card.where
        assert prediction.action_images.shape == (1, 2, 5, 3, 512, 512)


def test_a_plan_moves_its_action_images_to_the_cpu_and_nothing_else():
    with fake_card() as card:
        policy = GenerativePolicy(generator_of("tiny"))
        size = policy.image_size
        view = scenes(1, 2, 1, size)
        images = view.video[0, :, 0].add(1).mul(127).to(torch.uint8)
        observation = Observation(
            images, rig(2, size), view.trajectory.world_from_tool[0, 0], view.trajectory.opening[0, 0], "push"
        )
        policy.plan(observation)
        card.forget()
        plan = policy.plan(observation)
        assert card.moves == {"clip": 1}
        assert card.waits == {"end of a stage": 6}, card.where  # of the scene and of the plan besides
        assert plan.trajectory.opening.device.type == "cpu"


def test_labels_and_simulations_of_recordings():
    with fake_card() as card:
        generator = generator_of("debug")
        recording = scenes(1, 2, 8, generator.clips.size)[0]
        recording = replace(recording, instruction=None)
        one_view = replace(recording, video=recording.video[:1], cameras=recording.cameras[:1])
        card.forget()
        assert label(generator, recording).path.num_frames == 8
        assert label_one_view(generator, one_view).confidence.shape[0] == 8
        assert simulate(generator, recording).shape[1] == 8
        assert set(card.moves) == {"clip", "fitted"}
        assert card.moves["fitted"] == 1
        assert set(card.waits) == {"end of a stage"}


def test_the_samplers_loop_never_waits_but_with_a_step_cache():
    with fake_card() as card:
        generator = generator_of("debug")
        canvas, condition = generator.pipeline.encode(scene_for(generator, "joint"), MODES["joint"], 5)
        noise = torch.Generator().manual_seed(0)
        denoiser = generator.pipeline.models.denoiser
        card.forget()
        made = sample(denoiser, canvas, condition, Sampling(num_steps=4), noise)
        assert on_card(made.latents)
        assert (card.moves, card.waits) == ({}, {})
        sample(denoiser, canvas, condition, Sampling(num_steps=4, cache=StepCache(((2.0, 1),))), noise)
        assert card.moves == {"step cache": 3}


def test_a_tensor_left_on_the_cpu_and_a_hidden_wait_are_found():
    """The tests above can fail."""
    with fake_card() as card:
        there = torch.ones(3, device=CUDA)
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        for wait in (lambda: there.sum().item(), lambda: bool(there.any()), lambda: there.cpu()):
            with pytest.raises(WaitsError):
                wait()
        with pytest.raises(Exception, match=r"dynamic|nonzero"):
            there.nonzero()
        torch.tensor([1.0, 2.0], device=CUDA)
        assert card.waits == {"blocking copy to the card": 1}
        with pytest.raises(AssertionError, match="no move of device"):
            to_cpu(there, "because")


def test_the_table_of_moves_stands_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    missing = [name for name, reason in MOVES.items() if f"| {name} | {reason} |" not in page]
    assert not missing
