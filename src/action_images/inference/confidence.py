"""The confidence of each frame's pose in a reading."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.codec import Reading
from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.pipeline import Prediction

HALF_CONFIDENT_M, HALF_CONFIDENT_RAD = 5e-3, 0.1
"""Predicted standard deviations of position and rotation; either alone halves the confidence."""


def confidence(prediction: Prediction, sigma_px: float) -> Float[Tensor, "*frames"]:
    """The confidence of each frame's pose, in [0, 1]: precision times agreement; 0 if the pose is unknown.

    Precision is 1 / (1 + position_std / 5 mm + rotation_std / 0.1 rad), with the reading's predicted standard
    deviations; `agreement` is that of the views. If several answers were averaged, the confidence is their
    `consensus`. Raises ValueError without a reading.
    """
    reading = _reading_of(prediction)
    if prediction.sure is not None:
        return torch.where(known(reading), prediction.sure, 0.0)
    precision = 1 / (1 + reading.position_std / HALF_CONFIDENT_M + reading.rotation_std / HALF_CONFIDENT_RAD)
    return (precision * agreement(reading, sigma_px)).nan_to_num(0.0)


def consensus(
    paths: Trajectory, mean: Trajectory, sure: Float[Tensor, "answer *frames"]
) -> Float[Tensor, "*frames"]:
    """The confidence of the mean of several answers' paths (answer *frames), in [0, 1]; 0 if none is known.

    It is the geometric mean of the answers' mean confidence and of their closeness. The latter is
    1 / (1 + m / 5 mm + a / 0.1 rad), with the root mean square distance m and angle a from their mean.
    Answers that contradict each other are wrong more often than their spots suggest.
    """
    share = sure / sure.sum(0).clamp_min(1e-12)
    pose = mean.world_from_tool
    each = paths.world_from_tool
    repeated = Pose(pose.rotation.expand_as(each.rotation), pose.translation.expand_as(each.translation))
    metres, radians = each.distance(repeated)
    apart = _root_mean_square(metres, share) / HALF_CONFIDENT_M
    turned = _root_mean_square(radians, share) / HALF_CONFIDENT_RAD
    return (sure.mean(0) / (1 + apart + turned)).sqrt()


def _root_mean_square(
    values: Float[Tensor, "answer *frames"], share: Float[Tensor, "answer *frames"]
) -> Float[Tensor, "*frames"]:
    return torch.where(share > 0, share * values.square(), 0.0).sum(0).sqrt()


def agreement(reading: Reading, sigma_px: float) -> Float[Tensor, "*frames"]:
    """The fit of one pose to the spots of all views, in [0, 1].

    1 is an exact fit. 0 means that the pose misses the spots by their width `sigma_px` (px), or is unknown.
    """
    agreement = (1 - reading.residual_px / sigma_px).clamp(0, 1)
    return torch.where(known(reading), agreement, 0.0).nan_to_num(0.0)


def known_path(prediction: Prediction) -> Trajectory:
    """The path (*batch frame) that was read; poses interpolated between their neighbours are NaN.

    Raises ValueError without a reading.
    """
    reading = _reading_of(prediction)
    read = known(reading)
    pose = reading.trajectory.world_from_tool
    rotation = torch.where(read[..., None, None], pose.rotation, torch.nan)
    translation = torch.where(read[..., None], pose.translation, torch.nan)
    return Trajectory(Pose(rotation, translation), reading.trajectory.opening)


def known(reading: Reading) -> Bool[Tensor, "*frames"]:
    """True for frames whose pose was read, not interpolated between its neighbours."""
    pose = reading.trajectory.world_from_tool
    finite = pose.translation.isfinite().all(-1) & pose.rotation.isfinite().all(-1).all(-1)
    return finite & reading.position_std.isfinite()


def _reading_of(prediction: Prediction) -> Reading:
    if prediction.reading is None:
        raise ActionImagesError(
            "there is no reading: decode action images of at least two views with their cameras"
        )
    return prediction.reading
