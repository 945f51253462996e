"""Download pretrained weights from the hub into a folder that this project loads.

action-images fetch-weights weights
action-images fetch-weights weights --preset wan2.1-1.3b
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from action_images.errors import ActionImagesError


def main(
    out: Annotated[Path, tyro.conf.Positional],
    preset: Literal["wan2.2-5b", "wan2.2-5b-rays", "wan2.1-1.3b"] = "wan2.2-5b",
    revision: str = "main",
    wan_revision: str = "main",
) -> None:
    """Download, convert and record the commits; a folder that is already complete is left as it is.

    Needs about 27 GB in OUT for the released weights, and as much in the hub's cache (HF_HOME), which can be
    deleted afterwards. No code in a checkpoint is run.

    Args:
        out: the folder to fill; its sources.json has the commits.
        preset: `wan2.2-5b` is the released weights. The others are Wan's own weights with untrained camera
            inputs: fine-tune them (docs/training.md) before you plan with them.
        revision: commit of anyeZHY/ActionImages; the newest if not given, and its name is printed.
        wan_revision: commit of the repository of Wan-AI; the newest if not given.
    """
    from dataclasses import replace

    from action_images.model.hub import PLAIN, TRANSFORMER, UNTRAINED, WAN, fetch_plain, fetch_released
    from action_images.terminal.progress import stage

    stage("fetching, which shows bars of its own, then converting")
    if preset in PLAIN:
        if revision != "main":
            raise ActionImagesError(
                f"{preset}: has nothing of the release, whose commit --revision is; give --wan-revision"
            )
        wan = replace(PLAIN[preset], revision=wan_revision)
        sources, commits = {"--wan-revision": wan}, fetch_plain(out, preset, wan)
    else:
        transformer, wan = replace(TRANSFORMER, revision=revision), replace(WAN, revision=wan_revision)
        sources = {"--revision": transformer, "--wan-revision": wan}
        commits = fetch_released(out, transformer, wan)
    for option, source in sources.items():
        commit = commits[source.repository]
        known = "" if source.pinned else f"; the same again: {option} {commit}"
        print(f"{source.repository} at {commit}{known}")
    if preset in PLAIN:
        print(f"these are Wan's own weights: {UNTRAINED}")
    print(f"ready for --model: {out}")
