"""The first frame sent to a client: the server's name, limits and fields, and the meaning of its numbers."""

import time
from collections.abc import Mapping
from typing import Any

import action_images
from action_images.serving.limits import Limits
from action_images.serving.messages import ACTION_FORMATS, DEFAULT_FORMAT, PROTOCOL

FRAMES = (
    "metres and radians; world: the fixed right-handed frame of the cameras' poses; "
    "camera: OpenCV axes, x right, y down, z forward, pixel centres at +0.5; "
    "tool: its origin is the point between the finger tips; quaternions are x y z w"
)
"""Frames and units."""

OBSERVATION = {
    "images": "uint8 (view, height, width, 3) or (view, 3, height, width), RGB",
    "prompt": "text: what to do",
    "world_from_tool": "float (4, 4), or (7,): x y z, quaternion x y z w",
    "opening": "number: the gripper, 0 closed to 1 open",
    "intrinsics": "float (view, 3, 3), px",
    "world_from_camera": "float (view, 4, 4), camera to world",
    "calibration": "text, instead of the two above: one of 'calibrations'",
    "action_format": "text, optional: one of 'action_formats'",
    "num_steps": "whole number, optional: so many rows are answered; those beyond the plan have confidence 0",
    "known_words": "text, optional: how many words of the prompt must be known: none, some (default), all",
    "confidence": "true: also answer each row's confidence, and rows of confidence 0: do not drive to these",
    "imagined": "true: also answer what the policy imagined, under 'plan'",
    "seq": "whole number, optional: comes back with the answer",
    "timeout_ms": "number, optional: after this time no answer is wanted",
}
"""The fields of an observation."""


def describe(name: str, policy: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The metadata of a server; `name` is its policy's name, `policy` the worker's first frame (see
    worker.run)."""
    formats = {}
    for format_name, one in ACTION_FORMATS.items():
        formats[format_name] = {
            "columns": list(one.columns),
            "units": list(one.units),
            "meaning": one.meaning,
        }
    return {
        "server": "action-images",
        "version": action_images.__version__,
        "protocol": PROTOCOL,
        "policy": name,
        "policy_class": policy["policy"],
        "image_size": policy["image_size"],
        "fps": policy["fps"],
        "calibrations": policy["calibrations"],
        "action_formats": formats,
        "default_action_format": DEFAULT_FORMAT,
        "frames": FRAMES,
        "observation": OBSERVATION,
        "max_message_bytes": limits.max_message_bytes,
        "max_per_second": limits.max_per_second,
        "started": time.time(),
    }
