"""Fetch the released weights from the hub into a folder that this project loads.

action-images fetch-weights weights
action-images fetch-weights weights --revision main
"""

from pathlib import Path
from typing import Annotated

import tyro


def main(
    out: Annotated[Path, tyro.conf.Positional], revision: str = "main", wan_revision: str = "main"
) -> None:
    """Fetch, convert and write down the commits; a folder that is filled already is left as it is.

    Needs about 27 GB in OUT and as much in the hub's cache (HF_HOME), which can be deleted afterwards.
    Nothing in the checkpoint is run.

    Args:
        out: the folder to fill; its sources.json tells the commits.
        revision: commit of anyeZHY/ActionImages; the default takes the newest and says which that was.
        wan_revision: commit of Wan-AI/Wan2.2-TI2V-5B-Diffusers, likewise.
    """
    from dataclasses import replace

    from action_images.model.hub import TRANSFORMER, WAN, fetch_released

    transformer, wan = replace(TRANSFORMER, revision=revision), replace(WAN, revision=wan_revision)
    commits = fetch_released(out, transformer, wan)
    for source, option in ((transformer, "--revision"), (wan, "--wan-revision")):
        commit = commits[source.repository]
        known = "" if source.pinned else f"; the same again: {option} {commit}"
        print(f"{source.repository} at {commit}{known}")
    print(f"ready for --model: {out}")
