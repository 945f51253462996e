"""The ceiling gate executes what was read, and would notice if the codec were worse."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from action_images.benchmarks import WorldConfig
from action_images.cli import main
from action_images.evaluation.ceiling import (
    EXPERT,
    RECORDED,
    Gate,
    Trial,
    run_trial,
    run_trials,
    summarise,
    through_video,
)
from action_images.geometry import Pose, Trajectory
from action_images.sim import RIGS
from action_images.sim.motion import downward, grip, move
from action_images.structs import stack

GATE = Gate(sizes=(64, 128))


class Deadly(WorldConfig):
    """A world whose trials kill their process, as a machine without memory does."""

    def environment(self, task):  # noqa: ARG002 (it never comes to it)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_error_with_the_cure():
    gate = Gate(world=Deadly(), sizes=(64,))
    with pytest.raises(OSError, match=r"a worker process was killed.*fewer workers"):
        list(run_trials("reach_target", range(2), gate, num_workers=2))


def path_and_cameras(size: int):
    import numpy as np

    start = downward((0.4, -0.1, 0.25))
    poses = [*move(downward((0.5, 0.1, 0.08), yaw=1.2), opening=1.0).poses(start)]
    poses += [*grip(0.0).poses(poses[-1])]
    opening = torch.ones(len(poses))
    opening[-6:] = 0
    cameras = RIGS["sampled"].draw(np.random.default_rng(0), 2, (size, size)).at(0.0)
    return Trajectory(stack(poses).to(torch.float32), opening), cameras


def test_a_path_survives_video_and_larger_images_keep_it_better():
    errors = []
    for size in (64, 256):
        path, cameras = path_and_cameras(size)
        known = through_video(path, cameras)
        metres, radians = path.world_from_tool.distance(known.world_from_tool)
        assert metres.max() < 5e-3
        assert radians.median() < 0.02
        assert ((known.opening > 0.5) == (path.opening > 0.5)).all()
        errors.append(metres.median().item())
    assert errors[1] < 0.6 * errors[0]


def test_coarser_compression_is_seen_in_the_error():
    path, cameras = path_and_cameras(64)
    fine, coarse = (
        path.world_from_tool.distance(through_video(path, cameras, crf=crf).world_from_tool)[0].median()
        for crf in (10, 45)
    )
    assert coarse > 2 * fine


@pytest.mark.parametrize("task", ["reach_target", "turn_dial", "pick_and_lift"])
def test_a_trial_succeeds_in_every_way_at_128_px(task: str):
    trial = run_trial(task, 1_000_000, GATE)
    assert trial.succeeded[EXPERT]
    assert trial.succeeded[RECORDED]
    assert trial.succeeded["128"]
    assert all(0 < error < 5e-3 for error in trial.error.values())


def test_what_is_read_wrongly_is_executed_wrongly(monkeypatch: pytest.MonkeyPatch):
    def shifted(trajectory: Trajectory, *_, **__) -> Trajectory:
        pose = trajectory.world_from_tool
        return Trajectory(
            Pose(pose.rotation, pose.translation + torch.tensor([0.0, 0.03, 0.0])), trajectory.opening
        )

    monkeypatch.setattr("action_images.evaluation.ceiling.through_video", shifted)
    trial = run_trial("reach_target", 1_000_000, GATE)
    assert trial.succeeded[RECORDED]
    assert not trial.succeeded["64"]
    assert not trial.succeeded["128"]
    assert trial.error["128"] == pytest.approx(0.03, abs=1e-5)


def test_trials_come_in_order_and_are_counted():
    trials = list(run_trials("reach_target", range(3), Gate(WorldConfig(rig="sampled"), sizes=(64,))))
    assert [trial.seed for trial in trials] == [0, 1, 2]
    assert summarise("reach_target", trials).num_trials == 3


def test_a_summary_counts_what_was_lost():
    ways = [{EXPERT: True, RECORDED: True, "64": seed > 0} for seed in range(4)]
    trials = [Trial("reach_target", seed, way, {"64": 1e-3 * (seed + 1)}) for seed, way in enumerate(ways)]
    ceiling = summarise("reach_target", trials)
    assert ceiling.num_succeeded == {EXPERT: 4, RECORDED: 4, "64": 3}
    assert ceiling.failed_seeds["64"] == (0,)
    assert ceiling.lost("64") == 25
    assert ceiling.error_mm["64"] == pytest.approx(2.5)
    assert ceiling.interval("64")[0] < 0.75 < ceiling.interval("64")[1]
    with pytest.raises(ValueError, match="no trial was run"):
        summarise("reach_target", [])


def test_the_command_prints_and_writes_the_ceiling_and_goes_on_where_it_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    out = tmp_path / "new"
    ask = ["replay", "--task", "reach_target", "--workers", "1", "--out", str(out)]
    assert main([*ask, "--sizes", "128", "--trials", "1"]) == 0
    assert "loses 0.0 points" in " ".join(capsys.readouterr().out.split())
    lines = out / "replays.jsonl"
    first = lines.read_text()
    assert first.count("true") == 6  # three ways, in each three in a row and at any step
    kept = first.replace("true", "false")
    lines.write_text(f'{kept}{{"task": "reach_ta')  # as a kill leaves it
    assert main([*ask, "--sizes", "128", "--trials", "2"]) == 0
    assert lines.read_text().splitlines()[0] == kept.rstrip()
    rows = json.loads((out / "ceilings.json").read_text())
    assert [row["task"] for row in rows] == ["reach_target", "all"]
    assert rows[0]["num_succeeded"] == {"expert": 1, "recorded": 1, "128": 1}
    assert rows[0]["failed_seeds"]["128"] == [1_000_000]
    assert main([*ask, "--sizes", "64", "--trials", "2"]) == 2
    assert "other settings (sizes differ)" in capsys.readouterr().err


def test_a_ceiling_of_nothing_is_refused(capsys: pytest.CaptureFixture):
    assert main(["replay", "--trials", "0"]) == 2
    assert "at least one trial" in capsys.readouterr().err
