"""Your videos, labelled: the shipped models look at two views and tell where the tool was in each frame.

    python examples/06_label_your_videos.py --out out/06

Half a minute. Motions of chance, which no instruction describes, are recorded in the embedded world, the only
one that the shipped models know. Their copy in out/06/labelled has the labels in place of the true path, and
out/06/labelled/labels.html shows the least sure frames first.
"""

import argparse
import sys
from pathlib import Path

from action_images.cli import main as command
from action_images.inference.label_folder import load_labels


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=3)
    arguments = parser.parse_args()
    recorded, labelled = arguments.out / "recorded", arguments.out / "labelled"

    # 1. Stands for your own recordings, with calibrated cameras; docs/data.md says how to store them.
    tasks = ["--task", "push_button", "place_in_bowl", f"--episodes={arguments.episodes}", "--seed=800000"]
    code = command(["record", *tasks, "--actor=play", "--every=4", f"--out={recorded}"])

    # 2. Label. Only the first pose is told; with `--from-nothing` not even that, as for a found video.
    code = code or command(["label", str(recorded), "--out", str(labelled)])
    if code:
        return code

    # 3. How far off? These recordings know where the tool was, so each label's error was written too.
    for row in load_labels(labelled):
        said = (
            "not read"
            if row.median_mm is None
            else f"off by {row.median_mm:.0f} mm and {row.median_deg:.0f} degrees"
        )
        unknown = f"{row.num_unknown} of {row.num_frames} frames without a pose"
        print(f"{row.id}: confidence {row.mean_confidence:.2f}, {unknown}; {said}")
    print(f"look at {labelled / 'labels.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
