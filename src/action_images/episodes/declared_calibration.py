"""What info.json says of the numbers in our camera columns (docs/lerobot.md), held against what they mean."""

from collections.abc import Iterator, Mapping
from typing import Any

from action_images.episodes.names import EpisodeError

OPENCV = ("x right, y down, z", "opencv")
"""How OpenCV's axes are named: the text begins with the first, or contains the second."""
STRAIGHT = ("none", "", None)
"""Distortion models of straight pictures."""


def check_calibration(root: object, features: Mapping[str, Any], cameras: str, pictures: str) -> None:
    """Raise EpisodeError, naming feature and field, if a camera column declares another meaning than ours.

    `cameras` and `pictures` are the prefixes of camera columns and of pictures. Fields that are not there are
    taken as ours; so are columns without a declaration.
    """
    for key, feature in features.items():
        if not key.startswith(cameras) or not isinstance(feature, Mapping):
            continue
        info = feature.get("info")
        declared = info.get("calibration") if isinstance(info, Mapping) else None
        if not isinstance(declared, Mapping):
            continue
        view = key.removeprefix(cameras).rpartition(".")[0]
        shown = features.get(f"{pictures}{view}")
        for told in _contradictions(key.rpartition(".")[2], declared, shown):
            raise EpisodeError(
                f"{root}: info.json says of {key} that {told}; convert the numbers, or correct info.json if "
                "it is wrong"
            )


def _contradictions(quantity: str, declared: Mapping[str, Any], shown: Any) -> Iterator[str]:
    ours: dict[str, Any] = {"quantity": quantity, "layout": "row major"}
    ours |= {"unit": "px", "pixel_centre": 0.5} if quantity == "intrinsics" else {"unit": "m"}
    for name, wanted in ours.items():
        if declared.get(name, wanted) != wanted:
            yield f"'{name}' is {declared[name]!r}, and it is read as {wanted!r}"
    if quantity == "intrinsics":
        model = declared.get("distortion_model")
        if (model.lower() if isinstance(model, str) else model) not in STRAIGHT:
            yield f"'distortion_model' is {model!r}, and it is read as 'none': straighten the pictures"
        yield from _other_size(declared, shown)
        return
    axes = declared.get("axes", OPENCV[0])
    if not isinstance(axes, str) or not (axes.lower().startswith(OPENCV[0]) or OPENCV[1] in axes.lower()):
        yield f"'axes' is {axes!r}, and they are read as 'x right, y down, z forward (OpenCV)'"


def _other_size(declared: Mapping[str, Any], shown: Any) -> Iterator[str]:
    """A size that is not that of the view's pictures, whose channels come last or first."""
    shape = shown.get("shape") if isinstance(shown, Mapping) else None
    if not isinstance(shape, list) or len(shape) != 3:
        return
    size = shape[1:] if shape[0] == 3 else shape[:2]
    for name, there in zip(("height", "width"), size, strict=True):
        if declared.get(name, there) != there:
            yield f"'{name}' is {declared[name]!r}, and that of the view's pictures is {there}"
