"""Draw a tool's path into two calibrated views, send it through H.264 video, and read it back.

python examples/01_draw_and_read.py --out demo
"""

import argparse
import math
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from action_images.codec import draw_uint8, read
from action_images.episodes.cameras_file import save_cameras
from action_images.episodes.trajectory_file import save_trajectory
from action_images.episodes.video import read_video, write_video
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.reports.pictures import contact_sheet, save_png

SIZE = (256, 256)
NUM_FRAMES = 41


def reach_and_twist() -> Trajectory:
    """Down to the table, close the gripper, up again while turning about the tool axis."""
    time = torch.linspace(0, 1, NUM_FRAMES)
    height = 0.25 * (2 * time - 1) ** 2
    position = torch.stack([0.2 * (2 * time - 1), 0.1 * torch.sin(3 * time), height], -1)
    turn = from_euler_xyz(torch.stack([math.pi + 0.3 * time, 0.4 * torch.sin(4 * time), 2 * time], -1))
    return Trajectory(Pose(turn, position), opening=(time < 0.5).float())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/01"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    trajectory = reach_and_twist()
    eyes = torch.tensor([[0.9, -0.5, 0.6], [0.6, 0.8, 0.5]])
    cameras = Camera.look_at(
        eyes, target=torch.tensor([[0.0, 0.0, 0.1]]).expand(2, 3), vertical_fov=math.radians(45), size=SIZE
    )
    names = ("left", "right")
    save_cameras(out / "cameras.json", {name: cameras[i] for i, name in enumerate(names)})
    save_trajectory(out / "drawn.csv", trajectory)

    images = draw_uint8(trajectory, cameras)
    table = Table(
        "what the reader saw", "position mm, median / worst", "rotation deg, median / worst", "gripper right"
    )
    seen = {"8-bit images": images}
    for crf in (18, 28):
        for name, view in zip(names, images, strict=True):
            write_video(out / f"{name}_crf{crf}.mp4", view, fps=10, crf=crf)
        seen[f"H.264 video, crf {crf}"] = torch.stack(
            [read_video(out / f"{name}_crf{crf}.mp4") for name in names]
        )
    for what, pixels in seen.items():
        reading = read(pixels, cameras)
        metres, radians = reading.trajectory.world_from_tool.distance(trajectory.world_from_tool)
        right = (reading.is_open == (trajectory.opening > 0.5)).float().mean().item()
        errors = [
            f"{values.median().item():.3f} / {values.max().item():.3f}"
            for values in (metres * 1e3, radians.rad2deg())
        ]
        table.add_row(what, *errors, f"{right:.0%}")
    save_trajectory(out / "read.csv", reading.trajectory, {"confidence": reading.confidence})
    save_png(out / "action_images.png", contact_sheet(list(images)))
    Console().print(table)
    Console().print(f"the action images: {out / 'action_images.png'}; the videos: {out}/*.mp4")
    Console().print(f"the paths: {out}/drawn.csv and read.csv")


if __name__ == "__main__":
    main()
