"""README.md of a data set, for people and for the Hub."""

from typing import Any

from action_images.episodes import lerobot_layout as layout

FRONT = """---
tags: [LeRobot, robotics, action-images]
task_categories: [robotics]
configs:
- config_name: default
  data_files: data/*/*.parquet
---
"""


def card_of(info: dict[str, Any]) -> str:
    """The card of a set that we wrote, from its info.json; further episodes do not change it."""
    views = layout.view_keys(info)
    shown = "\n".join(f"| `{view}` | {_size(info['features'][key])} |" for view, key in views.items())
    tool = ", ".join(layout.TOOL_NAMES)
    return f"""{FRONT}
# A LeRobot data set with calibrated cameras

LeRobotDataset {layout.VERSION}, {info["fps"]:g} frames a second, written by action-images.

| view | height x width, px |
|---|---|
{shown}

| column | numbers | unit, frame |
|---|---|---|
| `{layout.CAMERAS}<view>.intrinsics` | 3 x 3, row by row | px; the centre of the first pixel is (0.5, 0.5) |
| `{layout.CAMERAS}<view>.world_from_camera` | 4 x 4, row by row | m; OpenCV axes (x right, y down) |
| `{layout.STATE}` | {tool} | m, unit quaternion, 0 closed to 1 open; in the world |
| `{layout.ACTION}` | the same | where the tool is told to be next, not a step |

Pictures are straight: lenses have no distortion. Cameras may differ from episode to episode and move
within one; NaN means that a number is not known. A feature's `info` in `meta/info.json` says the same to
programs.

```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset

frames = LeRobotDataset("me/set", root="this folder")
frames[0]["{layout.CAMERAS}{next(iter(views), "view0")}.world_from_camera"].reshape(4, 4)
```

`action-images check` and `action-images view` look at it. Source, license and robot: not said yet.
"""


def _size(feature: dict[str, Any]) -> str:
    height, width = feature["shape"][:2]
    return f"{height} x {width}"
