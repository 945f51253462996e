"""Which frame counts and image sizes an autoencoder and a network take."""

from action_images.errors import ActionImagesError


def check_frames(num_frames: int, factor: int) -> None:
    """Raise ActionImagesError, with the two nearest, unless there is one frame and a multiple of `factor`."""
    if num_frames < 1 or (num_frames - 1) % factor:
        below = max((num_frames - 1) // factor * factor + 1, 1)
        raise ActionImagesError(
            f"the autoencoder takes 1 + {factor} n frames, not {num_frames}; "
            f"cut the clip to {below} or {below + factor} frames"
        )


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raise ActionImagesError, with the size that fits, unless both sides (px) are multiples of the pixels in
    a token."""
    if any(side < multiple or side % multiple for side in size):
        fitting = " x ".join(str(max(round(side / multiple), 1) * multiple) for side in size)
        raise ActionImagesError(
            f"images of {size[0]} x {size[1]} px do not fit: "
            f"height and width must be multiples of {multiple}; resize to {fitting}"
        )
