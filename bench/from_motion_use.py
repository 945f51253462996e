"""What cameras from motion are worth: policies trained on them beside policies trained on the true cameras.

    python bench/from_motion_use.py --out use                           # `debug` on reach_target
    python bench/from_motion_use.py --out use-tiny --recipe tiny --options "--num-steps 600"
    python bench/from_motion_use.py --out use --policy shipped          # trains nothing
    python bench/from_motion_use.py --out use-mw --recorded metaworld --clicks 6 --env metaworld \\
        --policy weights/metaworld-mt10 --task reach-v3 door-open-v3

Demonstrations before cameras that stand still lose their calibration: videos, poses and words remain
(`recordings`). `calibrate from_motion` locates the cameras, and `import` makes a set with them and one with
the true ones. The two differ in nothing else. Policies learn from each with the same seeds, then drive the
same new scenes before the true cameras, rendered as large as the recordings. The table is printed after each
seed. Every step is a command, printed as it runs; a stopped run goes on.
`--recorded` takes a set that `record --rig fixed` made before, of another world for example.

With `--policy` nothing is trained. That policy drives the scenes three times, told the true cameras, the
found ones, and the true ones turned by `TURNED_DEG` (a control: the task must need right cameras).
"""

import argparse
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from action_images.benchmarks import DEFAULT
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.episodes.cameras_file import load_cameras, save_cameras
from action_images.episodes.dataset import Dataset
from action_images.episodes.trajectory_file import save_trajectory
from action_images.episodes.video import write_video
from action_images.evaluation.closed_loop import EvaluationConfig, evaluate
from action_images.evaluation.protocols import protocol_named
from action_images.evaluation.statistics import bootstrap_interval, wilson_interval
from action_images.evaluation.trial import load_trials
from action_images.geometry import Camera, Pose
from action_images.geometry.rotation import from_rotation_vector
from action_images.policies import NamedPolicy, policy_named
from action_images.robot import Observation, Plan, Policy
from action_images.structs import stack

TRUE, FOUND, TURNED = "true", "found", "turned"
TURNED_DEG = 2.0
"""Each camera of the control is turned so far about its own vertical axis."""
CLICK_ERROR_PX = 1.0
"""Standard deviation of made clicks along each axis."""


def run(*words: object) -> None:
    """A command of action-images, printed as one would type it; ends the program if it fails."""
    typed = [str(word) for word in words]
    print("$ action-images", shlex.join(typed), flush=True)
    code = subprocess.run([sys.executable, "-m", "action_images", *typed], check=False).returncode
    if code:
        sys.exit(code)


def strip(recorded: Path, out: Path) -> None:
    """Write videos, poses and words of each episode as a folder of recordings, and the true cameras apart."""
    part = out.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for number, episode in enumerate(Dataset(recorded)):
        folder = part / f"e{number:04}"
        folder.mkdir(parents=True)
        for view in episode.views:
            pictures = view.frames.read(range(len(view.frames)))
            write_video(folder / f"{view.name}.mp4", iter(pictures), episode.fps, preset="superfast")
        assert episode.trajectory is not None
        save_trajectory(folder / "poses.csv", episode.trajectory)
        (folder / "instruction.txt").write_text(f"{episode.instruction}\n")
    part.rename(out)


def true_cameras(recorded: Path, path: Path) -> None:
    """Write the cameras of the recordings; they must be the same in every episode."""
    dataset = Dataset(recorded)
    cameras = {view.name: view.camera for view in dataset[0].views if view.camera is not None}
    for view in dataset[len(dataset) - 1].views:
        assert view.camera is not None
        first = cameras[view.name].world_from_camera.matrix()
        assert torch.allclose(first, view.camera.world_from_camera.matrix()), "record with --rig fixed"
    save_cameras(path, cameras, source="the simulator")


def make_clicks(recorded: Path, path: Path, count: int) -> None:
    """Clicks on the tool in each view: true projections, off by `CLICK_ERROR_PX`."""
    dataset, rng = Dataset(recorded), np.random.default_rng(0)
    rows = ["episode,frame,view,x,y"]
    for name in dataset.view_names:
        for number in np.linspace(0, len(dataset) - 1, count).astype(int):
            episode = dataset[int(number)]
            frame = int(rng.integers(episode.num_frames))
            camera = episode.view(name).camera
            assert camera is not None
            assert episode.trajectory is not None
            place = episode.trajectory.world_from_tool.translation[frame]
            x, y = camera.project(place)[0].numpy() + CLICK_ERROR_PX * rng.normal(size=2)
            rows.append(f"e{number:04},{frame},{name},{x:.2f},{y:.2f}")
    path.write_text("\n".join(rows) + "\n")


def camera_errors(recorded: Path, out: Path) -> None:
    """Print how far the found cameras are off, where the tool was."""
    dataset = Dataset(recorded)
    paths = [one.trajectory.world_from_tool.matrix().double().numpy() for one in dataset if one.trajectory]
    points = tool_points(paths)
    truth, found = (load_cameras(out / name) for name in ("true.json", "calibration/cameras.json"))
    for name, camera in truth.items():
        if name not in found:
            print(f"{name}: refused")
            continue
        one, other = Pinhole.of(found[name]), Pinhole.of(camera)
        cosine = (np.trace(one.rotation @ other.rotation.T) - 1) / 2
        px, mm = distance_px(one, other, points), 1e3 * np.linalg.norm(one.eye - other.eye)
        deg, focal = math.degrees(math.acos(min(1.0, cosine))), 100 * (one.focal / other.focal - 1)
        print(f"{name}: drawn tool {px:.2f} px, camera {mm:.1f} mm, {deg:.3f} degrees, focal {focal:+.2f} %")


def successes(out: Path, kind: str, seeds: Sequence[int]) -> dict[tuple[str, int], list[bool]]:
    """By scene, the results of the policies of all seeds."""
    return by_scene(*(out / f"results-{kind}-{seed}" for seed in seeds))


def by_scene(*folders: Path) -> dict[tuple[str, int], list[bool]]:
    """By scene, the results in these folders."""
    found: dict[tuple[str, int], list[bool]] = {}
    for trial in chain.from_iterable(map(load_trials, folders)):
        found.setdefault(trial.key, []).append(trial.succeeded)
    return found


def table(results: Mapping[str, Mapping[tuple[str, int], list[bool]]]) -> None:
    """Print the successes of each kind, and the difference with an interval over scenes."""
    for kind, scenes in results.items():
        every = list(chain.from_iterable(scenes.values()))
        low, high = wilson_interval(sum(every), len(every))
        by_seed = [sum(those) for those in zip(*scenes.values(), strict=True)]
        rate = f"{100 * sum(every) / len(every):.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        print(f"{kind} cameras: {sum(every)} of {len(every)}, {rate}; by seed {by_seed}")
    for kind, scenes in results.items():
        if kind == TRUE:
            continue
        keys = sorted(results[TRUE].keys() & scenes.keys())
        apart = torch.tensor([np.mean(scenes[key]) - np.mean(results[TRUE][key]) for key in keys])
        low, high = bootstrap_interval(partial(_mean_of, apart), len(keys), num_draws=5000)
        points = f"{100 * float(apart.mean()):+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
        better, worse = int((apart > 0).sum()), int((apart < 0).sum())
        print(
            f"{kind} minus true: {points}, bootstrap over {len(keys)} scenes, {better} better, {worse} worse"
        )


def _mean_of(values: torch.Tensor, items: torch.Tensor) -> float:
    return float(values[items].mean())


@dataclass(frozen=True)
class Told:
    """A policy that is told these cameras (axis: view) in place of the ones that it sees through."""

    policy: Policy
    cameras: Camera

    def plan(self, observation: Observation) -> Plan:
        """The policy's plan."""
        height, width = observation.images.shape[-2:]
        return self.policy.plan(replace(observation, cameras=self.cameras.resize(height, width)))


@dataclass(frozen=True)
class MakeTold:
    """Makes a policy and tells it these cameras."""

    policy: NamedPolicy
    cameras: Camera

    def __call__(self) -> Policy:
        return Told(self.policy.make(), self.cameras)


def turned(camera: Camera) -> Camera:
    """The camera, turned by `TURNED_DEG` about its own vertical axis."""
    turn = from_rotation_vector(torch.tensor([0.0, math.radians(TURNED_DEG), 0.0]))
    pose = camera.world_from_camera
    return replace(camera, world_from_camera=Pose(pose.rotation @ turn, pose.translation))


def _of_task(scenes: Mapping[tuple[str, int], list[bool]], task: str) -> dict[tuple[str, int], list[bool]]:
    return {key: succeeded for key, succeeded in scenes.items() if key[0] == task}


def drive_told(
    out: Path, named: str, env: str, tasks: Sequence[str], *, trials: int, size: int, workers: int
) -> None:
    """A policy that exists drives the scenes, told true, found and turned cameras; prints the table."""
    truth, found = (load_cameras(out / name) for name in ("true.json", "calibration/cameras.json"))
    told = {TRUE: truth, FOUND: found, TURNED: {name: turned(one) for name, one in truth.items()}}
    policy = policy_named(named)
    protocol = replace(protocol_named("in_domain", env), tasks=tuple(tasks), rig="fixed")
    for kind, cameras in told.items():
        make = MakeTold(policy, stack([cameras[name] for name in truth]))
        label = f"{policy.name} told {kind} cameras"
        config = EvaluationConfig("in_domain", protocol, label, make, len(truth), (size, size), policy.clips)
        for number, _ in enumerate(evaluate(config, out / f"told-{kind}", trials, num_workers=workers), 1):
            print(f"\r{label}: {number}", end="", flush=True)
        print()
    results = {kind: by_scene(out / f"told-{kind}") for kind in told}
    for task in tasks:
        print(task)
        table({kind: _of_task(scenes, task) for kind, scenes in results.items()})
    print("all")
    table(results)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="debug")
    parser.add_argument("--options", default="", help="more options of `train`, in one string")
    parser.add_argument("--env", default=DEFAULT, help="the world of --policy, if --recorded is of another")
    parser.add_argument("--task", nargs="+", default=["reach_target"])
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="of `record`: 1 gives 20 frames a second")
    parser.add_argument("--size", type=int, default=256, help="of the recordings, px")
    parser.add_argument("--train-size", type=int, default=64, help="of the sets that policies learn from, px")
    parser.add_argument("--clicks", type=int, default=0, help="clicks in each view, off by 1 px")
    parser.add_argument("--recorded", type=Path, help="a set with still cameras, in place of `record`")
    parser.add_argument("--policy", help="a folder of models or `shipped`, told the cameras; trains nothing")
    parser.add_argument("--cameras-only", action="store_true", help="train and evaluate nothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    recordings, calibration = out / "recordings", out / "calibration"
    recorded = asked.recorded or out / "recorded"
    workers, trials_by = ("--workers", asked.workers), ("--workers", max(1, asked.workers))
    if asked.recorded is None:
        how = (
            "--rig",
            "fixed",
            "--size",
            asked.size,
            "--every",
            asked.every,
            "--x264",
            "superfast",
            *trials_by,
        )
        run("record", "--task", *asked.task, "--episodes", asked.episodes, *how, "--out", recorded)
    if not recordings.is_dir():
        strip(recorded, recordings)
    true_cameras(recorded, out / "true.json")
    clicks: tuple[object, ...] = ()
    if asked.clicks:
        make_clicks(recorded, out / "clicks.csv", asked.clicks)
        clicks = ("--clicks", out / "clicks.csv")
    run("calibrate", "from_motion", recordings, *clicks, *workers, "--out", calibration)
    camera_errors(recorded, out)
    if asked.cameras_only:
        return
    if asked.policy:
        much = {"trials": asked.trials, "size": asked.size, "workers": asked.workers}
        drive_told(out, asked.policy, asked.env, asked.task, **much)
        return
    side = (asked.train_size, asked.train_size)
    for kind, file in ((TRUE, out / "true.json"), (FOUND, calibration / "cameras.json")):
        shutil.copy(file, recordings / "cameras.json")
        run("import", recordings, "--size", *side, *workers, "--out", out / f"set-{kind}")
        (recordings / "cameras.json").unlink()
    for seed in range(asked.seeds):
        for kind in (TRUE, FOUND):
            run_folder, results = out / f"run-{kind}-{seed}", out / f"results-{kind}-{seed}"
            options = ("--seed", seed, "--frames-cache", out / "frames", *shlex.split(asked.options))
            run("train", asked.recipe, "--data", out / f"set-{kind}", *options, "--out", run_folder)
            scenes = ("--task", *asked.task, "--rig", "fixed", "--trials", asked.trials)
            spare = ("--size", asked.size, "--no-films", "--no-ceiling", *trials_by)
            run("evaluate", "--policy", run_folder / "model", *scenes, *spare, "--out", results)
        table({kind: successes(out, kind, range(seed + 1)) for kind in (TRUE, FOUND)})


if __name__ == "__main__":
    main()
