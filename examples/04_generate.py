"""From a scene to a canvas, through the sampler, and back to a trajectory: the whole path of a generation.

The model is new (or your own, with --model), so what it imagines is noise until it is trained; everything
around it is exact, as the printed errors of the given parts show.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch

from action_images.canvas import MODES
from action_images.codec import draw
from action_images.diffusion.sampler import Sampling, sample
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.build import build
from action_images.model.bundle import Models
from action_images.model.presets import PRESETS
from action_images.pipeline import Pipeline, Prediction
from action_images.reports.pictures import contact_sheet, save_png
from action_images.samples.sample import Sample


def scene(num_frames: int = 9) -> Sample:
    """A batch of one: the tool, a grey spot, descends 12 cm in front of two still cameras."""
    eye = torch.tensor([[1.0, -0.5, 0.7], [1.0, 0.6, 0.7]])
    cameras = Camera.look_at(eye, torch.tensor([0.0, 0.0, 0.1]).expand(2, 3), math.radians(45), (64, 64))
    share = torch.linspace(0, 1, num_frames)[:, None]
    position = torch.tensor([0.05, -0.05, 0.25]) + share * torch.tensor([0.05, 0.1, -0.12])
    rotation = from_euler_xyz(torch.tensor([math.pi, 0.0, 0.5])).expand(num_frames, 3, 3)
    path = Trajectory(Pose(rotation, position), 1 - share[:, 0])[None]
    rig = cameras.per_frame((1,), num_frames)
    spot = draw(path, rig)[..., :1, :, :]
    video = (0.6 * spot - 0.5).expand(-1, -1, -1, 3, -1, -1)
    return Sample(video, rig, path, torch.ones(1, num_frames, dtype=torch.bool), ("lower the gripper",))


def save_sheet(path: Path, clip: Prediction) -> None:
    """A picture of all frames: a row for each view's video, then one for each view's action images."""
    rows = [*clip.video[0], *clip.action_images[0]]
    save_png(path, contact_sheet([row.mul(255).round().byte() for row in rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a folder of saved models of the tiny preset's kind")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    shown = scene()
    if arguments.model:
        models = Models.load(arguments.model)
    else:
        images = draw(shown.trajectory, shown.cameras) * 2 - 1
        models = build(
            PRESETS["tiny"], autoencoder=PcaAutoencoder(64).fit([(shown.video, 1.0), (images, 10.0)])
        )
    pipeline = Pipeline.of(models)

    for name, mode in MODES.items():
        canvas, _ = pipeline.encode(shown, mode)
        flags = "".join("#" if given else "." for given in canvas.given[0].tolist())
        print(
            f"{name:<12} {flags:<12}  "
            f"{int(canvas.given.sum())} of {canvas.layout.num_frames} latent frames given"
        )

    canvas, _ = pipeline.encode(shown, MODES["simulate"])
    read_back = pipeline.decode(canvas, None, shown.cameras)
    metres, radians = shown.trajectory.world_from_tool.distance(read_back.trajectory.world_from_tool)
    millimetres, degrees = 1e3 * metres.median(), math.degrees(radians.median())
    print(f"through the autoencoder and back: {millimetres:.2f} mm, {degrees:.2f} degrees")

    now = replace(
        shown, video=shown.video[:, :, :1], trajectory=shown.trajectory[:, :1], valid=shown.valid[:, :1]
    )
    canvas, condition = pipeline.encode(now, MODES["joint"], num_frames=9)
    done = sample(models.denoiser, canvas, condition, Sampling(num_steps=4), torch.Generator().manual_seed(0))
    imagined = pipeline.decode(done, condition, shown.cameras)
    save_sheet(arguments.out / "imagined.png", imagined)
    save_sheet(arguments.out / "given.png", read_back)
    models.save(arguments.out / "model")
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
