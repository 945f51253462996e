"""Recorded demonstrations: what was seen and done, in the order of the seeds, by any number of processes."""

import importlib
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from action_images.benchmarks.tabletop import TABLETOP
from action_images.cli import main
from action_images.control import Hold
from action_images.episodes.dataset import Dataset
from action_images.evaluation.dagger import PolicyAttempt
from action_images.evaluation.rollout import RolloutConfig
from action_images.robot import Observation
from action_images.sim import LOOKS, RIGS, Tabletop, demonstrate
from action_images.sim.expert import Blunder
from action_images.sim.record import Actor, RecordingConfig, record, record_episode

CONFIG = RecordingConfig(RIGS["sampled"], LOOKS["train"], 2, (32, 32))
WANTED = [("reach_target", seed) for seed in range(3)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_an_episode_shows_what_the_arm_did():
    environment = Tabletop("pick_and_lift", size=(32, 32))
    episode = record_episode(environment, "pick_and_lift", 2, CONFIG)
    assert episode.check() is episode
    assert episode.instruction == environment.instruction
    assert episode.num_frames == environment.num_steps + 1
    assert episode.trajectory.opening[0] == 1
    assert episode.trajectory.opening[-1] == 0  # what it was told, not how far a held block let it close
    last = environment.observation()
    assert torch.equal(episode.views[1].frames.read([-1 % episode.num_frames])[0], last.images[1])
    assert torch.equal(episode.trajectory[-1].world_from_tool.matrix(), last.world_from_tool.matrix())


def test_a_demonstration_played_again_from_its_record_succeeds():
    environment = Tabletop("open_drawer", size=(32, 32))
    episode = record_episode(environment, "open_drawer", 0, CONFIG)
    environment.begin(0)
    for frame in range(1, episode.num_frames):
        environment.step(episode.trajectory.world_from_tool[frame], episode.trajectory.opening[frame].item())
    assert environment.succeeded()


def test_a_quick_encoder_stores_nearly_the_same_pictures_and_the_same_path(tmp_path):
    wanted, read = [("reach_target", 0)], []
    for preset in ("medium", "superfast"):
        assert list(record(tmp_path / preset, wanted, CONFIG, preset=preset)) == [(wanted[0], True)]
        read.append(Dataset(tmp_path / preset)[0])
    medium, quick = read
    assert torch.equal(medium.trajectory.to_vector(8), quick.trajectory.to_vector(8))
    frames = range(medium.num_frames)
    one, other = (episode.views[0].frames.read(frames).float() for episode in read)
    assert 0 < float((one - other).square().mean().sqrt()) < 4  # of 255


def test_av1_stores_nearly_the_same_pictures_and_a_set_keeps_its_codec(tmp_path, capsys):
    told = ["record", "--task", "reach_target", "--episodes", "1", "--size", "64", "--workers", "1"]
    read = []
    for codec in ("h264", "av1"):
        assert main([*told, "--codec", codec, "--out", str(tmp_path / codec)]) == 0
        read.append(Dataset(tmp_path / codec)[0])
    plain, small = read
    assert torch.equal(plain.trajectory.to_vector(8), small.trajectory.to_vector(8))
    frames = range(plain.num_frames)
    one, other = (episode.views[0].frames.read(frames).float() for episode in read)
    assert 0 < float((one - other).square().mean().sqrt()) < 6  # of 255
    capsys.readouterr()
    assert main([*told, "--seed", "5", "--out", str(tmp_path / "av1")]) == 2
    assert "its videos are av1, not h264; go on with --codec av1" in capsys.readouterr().err
    assert main([*told, "--codec", "av1", "--x264", "superfast", "--out", str(tmp_path / "new")]) == 2
    assert "--x264 is of h264 alone" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_commands_offer_every_rig_look_and_actor():
    assert set(TABLETOP.rigs) == set(RIGS)
    assert set(TABLETOP.looks) == set(LOOKS)
    offered = get_type_hints(importlib.import_module("action_images.cli.record").main)["actor"]
    assert get_args(offered) == get_args(Actor)


def test_every_fourth_step_is_recorded_and_the_expert_keeps_still_in_the_end():
    environment = Tabletop("reach_target", size=(32, 32))
    whole = record_episode(environment, "reach_target", 3, replace(CONFIG, hold=24))
    sparse = record_episode(environment, "reach_target", 3, replace(CONFIG, hold=24, every=4))
    assert sparse.fps == 5
    assert torch.equal(
        sparse.trajectory.world_from_tool.translation, whole.trajectory.world_from_tool.translation[::4]
    )
    still = whole.trajectory.world_from_tool.translation[-20:]
    assert (still - still[-1]).norm(dim=-1).max() < 1e-3


def test_a_disturbed_demonstration_begins_after_the_push_and_still_succeeds():
    environment = Tabletop("push_button", size=(32, 32))
    pairs = []
    for seed in range(6):
        episodes = [
            record_episode(environment, "push_button", seed, replace(CONFIG, actor=actor))
            for actor in ("expert", "disturbed")
        ]
        pairs.append([episode.trajectory.world_from_tool.translation for episode in episodes])
    assert all((expert[-1] - disturbed[-1]).norm() < 2e-3 for expert, disturbed in pairs)
    begins = torch.stack([torch.cdist(disturbed[:1], expert).min() for expert, disturbed in pairs])
    assert begins.max() > 0.02  # somewhere the expert never was
    assert begins.max() < 0.09


@pytest.mark.parametrize("task", ["slide_block_to_target", "stack_blocks"])
def test_a_second_attempt_begins_where_the_first_went_wrong_and_succeeds(task: str):
    environment = Tabletop(task, size=(32, 32))
    recording = replace(CONFIG, actor="clumsy")
    recorded = []
    for seed in range(6):
        episode = record_episode(environment, task, seed, recording)
        if episode is None:
            continue
        assert environment.succeeded()
        assert episode.id == f"clumsy/{task}/{seed:07d}"
        assert episode.instruction == environment.instruction
        assert environment.num_steps > episode.num_frames + 15  # what went wrong is not shown
        expert = record_episode(environment, task, seed, CONFIG)
        assert (
            expert.trajectory.world_from_tool.translation[0]
            - episode.trajectory.world_from_tool.translation[0]
        ).norm() > 0.02
        recorded.append(episode)
    assert len(recorded) >= 4


def astray(environment: Tabletop, first_seen: Observation, _: tuple[str, int]) -> None:
    """An attempt that goes to another place and stays there."""
    tool = first_seen.world_from_tool
    for _ in range(40):
        environment.step(replace(tool, translation=tool.translation + torch.tensor([0.05, 0.05, -0.1])), 0.0)


@pytest.mark.parametrize("task", ["close_drawer", "open_drawer", "slide_block_to_target"])
def test_a_correction_begins_where_somebody_else_ended_and_succeeds(task: str):
    environment = Tabletop(task, size=(32, 32))
    corrected = record_episode(environment, task, 0, replace(CONFIG, actor="corrected", attempt=astray))
    assert environment.succeeded()
    assert environment.num_steps >= 40 + corrected.num_frames - 1  # what went wrong is not shown
    expert = record_episode(environment, task, 0, CONFIG)
    offset = (
        corrected.trajectory.world_from_tool.translation[0] - expert.trajectory.world_from_tool.translation[0]
    )
    torch.testing.assert_close(offset, torch.tensor([0.05, 0.05, -0.1]), atol=0.01, rtol=0)
    assert corrected.trajectory.opening[0] == 0
    assert corrected.id == f"corrected/{task}/0000000"


def test_where_nothing_is_left_to_correct_nothing_is_recorded():
    def succeeds(environment: Tabletop, first_seen: Observation, address: tuple[str, int]) -> None:
        assert address == ("push_button", 3)
        assert torch.equal(first_seen.images, first.images)
        list(demonstrate(environment))

    environment = Tabletop("push_button", size=(32, 32))
    first = environment.reset(3)
    assert (
        record_episode(environment, "push_button", 3, replace(CONFIG, actor="corrected", attempt=succeeds))
        is None
    )
    assert environment.succeeded()


@pytest.mark.parametrize("values", [{"actor": "corrected"}, {"attempt": astray}])
def test_who_corrects_needs_somebody_to_correct(values):
    with pytest.raises(ValueError, match="attempt"):
        replace(CONFIG, **values)


@pytest.mark.parametrize("held", [False, True])
def test_a_beginner_that_ends_holding_something_is_not_corrected(held: bool):
    def grasps(environment: Tabletop, *_) -> None:
        for _ in demonstrate(environment):
            if environment.world.holds_something():
                break
        if not held:
            for _ in range(10):
                environment.step(environment.world.tool, 1.0)

    environment = Tabletop("place_in_bowl", size=(32, 32))
    episode = record_episode(
        environment, "place_in_bowl", 1, replace(CONFIG, actor="corrected", attempt=grasps)
    )
    assert (episode is None) == held


def test_a_policy_is_corrected_alike_in_any_number_of_processes(tmp_path):
    recording = replace(CONFIG, num_views=3, actor="corrected", attempt=PolicyAttempt(Hold, RolloutConfig()))
    wanted = [("push_button", seed) for seed in range(3)]
    for workers in (1, 2):
        assert all(
            done for _, done in record(tmp_path / str(workers), wanted, recording, num_workers=workers)
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert Dataset(tmp_path / "1").ids == [f"corrected/push_button/{seed:07d}" for seed in range(3)]


def test_the_command_corrects_the_shipped_policy_and_needs_to_be_told_whom(tmp_path, capsys):
    arguments = [
        "record",
        "--task",
        "slide_block_to_target",
        "--episodes",
        "1",
        "--actor",
        "corrected",
        "--size",
        "64",
    ]
    assert (
        main(
            [
                *arguments,
                "--policy",
                "shipped",
                "--seed",
                "30",
                "--out",
                str(tmp_path / "one"),
                "--workers",
                "1",
            ]
        )
        == 0
    )
    assert "of 1 demonstrations are in" in " ".join(capsys.readouterr().out.split())
    assert main([*arguments, "--out", str(tmp_path / "two")]) == 2
    assert "--policy shipped" in capsys.readouterr().err
    assert main([*arguments, "--policy", "shipped", "--views", "1", "--out", str(tmp_path / "two")]) == 2
    assert "at least two" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


def test_a_first_attempt_that_succeeds_all_the_same_is_followed_by_none():
    environment = Tabletop("reach_target", size=(32, 32))
    environment.begin(0)
    blunder = Blunder(np.zeros(3), 0.0, num_steps=1000)
    num_steps = len(list(demonstrate(environment, blunder=blunder)))
    assert environment.succeeded()
    environment.begin(0)
    assert num_steps == len(list(demonstrate(environment, hold=0)))


def test_an_attempt_is_not_given_up_while_something_is_held():
    environment = Tabletop("pick_and_lift", size=(32, 32))
    for num_steps in (1, 30, 60, 90):
        environment.begin(2)
        blunder = Blunder(np.zeros(3), 0.0, num_steps=num_steps)
        for _ in demonstrate(environment, blunder=blunder):
            if not blunder.under_way:
                break
        assert blunder.under_way == environment.world.holds_something()
    assert blunder.under_way  # 90 steps are more than there are: it ended holding the block
    environment.begin(2)
    held = [environment.world.holds_something() for _ in demonstrate(environment)]
    assert held[-1]
    assert not held[0]


def test_play_goes_everywhere_and_says_nothing():
    environment = Tabletop("stack_blocks", size=(32, 32))
    play = replace(CONFIG, actor="play", every=4)
    episodes = [record_episode(environment, "stack_blocks", seed, play) for seed in range(2)]
    assert all(episode.instruction is None and episode.id.startswith("play/") for episode in episodes)
    assert all(episode.trajectory.world_from_tool.translation.std(0).min() > 0.02 for episode in episodes)
    assert torch.cat([episode.trajectory.opening for episode in episodes]).unique().tolist() == [0, 1]


def test_a_failed_demonstration_is_not_an_episode(monkeypatch):
    environment = Tabletop("reach_target", size=(32, 32))
    monkeypatch.setattr(environment, "succeeded", lambda: False)
    assert record_episode(environment, "reach_target", 0, CONFIG) is None


def test_still_cameras_are_one_and_moving_ones_have_a_frame_axis():
    for rig, shape in (("sampled", ()), ("moving", None)):
        environment = Tabletop("reach_target", RIGS[rig], size=(32, 32))
        episode = record_episode(environment, "reach_target", 0, CONFIG)
        expected = (episode.num_frames,) if shape is None else shape
        assert all(view.camera.batch_shape == expected for view in episode.views)


def test_bytes_do_not_depend_on_processes_nor_on_stopping(tmp_path: Path):
    for _ in record(tmp_path / "one", WANTED, CONFIG, num_workers=1):
        pass
    stopped = record(tmp_path / "two", WANTED, CONFIG, num_workers=2)
    assert next(stopped) == (WANTED[0], True)
    stopped.close()
    rest = list(record(tmp_path / "two", WANTED, CONFIG, num_workers=1))
    assert [one for one, _ in rest] == WANTED[1:]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_command_records_what_it_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture):
    arguments = [
        "record",
        "--task",
        "reach_target",
        "--episodes",
        "2",
        "--size",
        "32",
        "--views",
        "3",
        "--out",
        str(tmp_path),
        "--workers",
        "1",
        "--every",
        "1",
        "--hold",
        "3",
    ]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "(2 were there before)" in " ".join(capsys.readouterr().out.split())
    others = [["--rig", "held_out"], ["--actor", "disturbed"], ["--views", "2"], ["--crf", "30"]]
    others.append(["--x264", "superfast"])
    differing = ("(rig differ)", "(actor differ)", "views", "(crf differ)", "(x264 differ)")
    for other, said in zip(others, differing, strict=True):
        assert main([*arguments, *other]) == 2
        assert said in capsys.readouterr().err
    dataset = Dataset(tmp_path)
    assert dataset.ids == ["reach_target/0000000", "reach_target/0000001"]
    assert dataset.view_names == ("view0", "view1", "view2")
    environment = Tabletop("reach_target", num_views=3, size=(32, 32))
    environment.begin(1)
    for _ in demonstrate(environment):
        pass
    assert torch.allclose(
        dataset[1].trajectory[-1].world_from_tool.translation,
        environment.world.tool.translation.float(),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--task", "juggle", "there is no task 'juggle'"),
        ("--size", "33", "even"),
        ("--episodes", "0", "seeds"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_one_line(
    option: str, value: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    arguments = {
        "--task": "reach_target",
        "--episodes": "1",
        "--out": str(tmp_path / "out"),
        "--workers": "1",
        option: value,
    }
    assert main(["record", *chain.from_iterable(arguments.items())]) == 2
    errors = capsys.readouterr().err.strip()
    assert complaint in errors
    assert len(errors.splitlines()) == 1
