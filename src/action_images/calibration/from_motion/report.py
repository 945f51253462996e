"""The results as json for other programs, and as cameras."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from action_images.calibration.from_motion.judge import Finding
from action_images.calibration.from_motion.search import SetResult
from action_images.calibration.from_motion.view import ViewResult
from action_images.geometry import Camera

SOURCE = "from motion"
"""The source of the cameras, as a cameras file states it."""


def usable_cameras(
    result: SetResult, findings: Sequence[Finding], *, declared: Collection[str] = ()
) -> dict[str, Camera]:
    """The cameras of the views without a refusal; none if the set is refused.

    `declared`: kinds of findings that will be declared and are then no reason to refuse.
    """
    refused = {
        finding.view for finding in findings if finding.level == "refused" and finding.kind not in declared
    }
    if None in refused:
        return {}
    return {
        view.view.name: view.camera.camera(view.view.size)
        for view in result.views
        if view.view.name not in refused and view.solved is not None
    }


def report(result: SetResult, findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything by name; lengths in m or, where the name says so, px."""
    return {
        "source": SOURCE,
        "episodes": {
            "in_set": result.gathered.num_episodes,
            "used": [one.id for one in result.gathered.episodes],
            "refused": result.gathered.refused,
        },
        "convention": {
            "best": result.convention,
            "explains": result.share,
            "others": [asdict(rival) | {"is_clear": rival.is_clear} for rival in result.rivals],
        },
        "views": {view.view.name: _view(result, view) for view in result.views},
        "findings": [asdict(finding) for finding in findings],
    }


def _view(result: SetResult, view: ViewResult) -> dict[str, Any]:
    told: dict[str, Any] = {
        "size": list(view.view.size),
        "mirrored": view.reading.mirrored,
        "mirror_margin": result.mirrored[view.view.name],
        "num_tracks": view.view.num_tracks,
        "num_shared_points": view.num_shared,
        "late_frames": view.shift,
        "late_frames_error": _finite(view.shift_error),
        "held_out_px": view.held_out_px,
        "held_out_share": view.held_out_share,
        "agreement": view.agreement,
        "least_turn": view.steady,
        "jitter": view.jitter,
        "repeated": view.repeated,
        "clicks": view.num_clicks,
        "clicks_px": view.clicks_px,
        "episodes": [asdict(episode) for episode in view.episodes],
    }
    if view.solved is not None:
        camera = view.camera
        told["camera"] = {
            "focal_px": camera.focal,
            "pixel_aspect": camera.aspect,
            "k1": camera.radial,
            "position": camera.eye.tolist(),
        }
    if view.pixel_shape is not None:
        told["pixel_shape"] = asdict(view.pixel_shape)
    if view.bump is not None:
        told["bump"] = asdict(view.bump)
    if view.predicted is not None:
        told["predicted"] = {
            "px": _finite(view.predicted.px),
            "metres": _finite(view.predicted.metres),
            "by_information_px": _finite(view.predicted.by_information_px),
            "by_groups_px": _finite(view.predicted.by_groups_px),
            "by_sharing_px": _finite(view.predicted.by_sharing_px),
            "misfit": view.predicted.misfit,
        }
    return told


def _finite(value: float) -> float | None:
    """Infinity as None, since JSON has none."""
    return value if abs(value) < 1e12 else None
