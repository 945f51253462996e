"""Videos without actions, labelled: the shipped models look at two views and tell where the tool was in each frame.

    python examples/06_label_your_videos.py --out out/06

A minute at most. Motions of chance, which no instruction describes, are recorded in the embedded world; their copy in out/06/labelled
has the labels in place of the true path, and out/06/labelled/labels.html shows the least sure frames first.
"""

import argparse
import math
from pathlib import Path

from action_images.cli import main as command
from action_images.data.store import Dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=4)
    arguments = parser.parse_args()
    recorded, labelled = arguments.out / "recorded", arguments.out / "labelled"

    # 1. Stands for your own recordings: docs/data.md says how they become a data set. Cameras must be calibrated.
    still = ["--actor", "play", "--every", "4", "--seed", "800000", "--episodes", str(arguments.episodes)]
    command(["record", "--task", "push_button", "place_in_bowl", "--out", str(recorded), *still])

    # 2. Label. `--from-nothing`: not even the first pose is told, as in a video found somewhere.
    command(["label", str(recorded), "--from-nothing", "--out", str(labelled)])

    # 3. How far off? These recordings know where the tool was. The shipped models have seen no other world than this one.
    truth, labels = Dataset(recorded), Dataset(labelled)
    for number, name in enumerate(truth.ids):
        was, said = truth[number].trajectory, labels[number].trajectory
        if was is None or said is None:
            print(f"{name}: too few frames could be read")
            continue
        metres, radians = was.world_from_tool.distance(said.world_from_tool)
        gripper = (was.opening.round() == said.opening.round()).float().mean()
        print(f"{name}: {1e3 * metres.median():.0f} mm, {math.degrees(radians.median()):.0f} degrees, gripper right in {gripper:.0%}")
    assert len(truth) == len(labels)
    print(f"look at {labelled / 'labels.html'}")


if __name__ == "__main__":
    main()
