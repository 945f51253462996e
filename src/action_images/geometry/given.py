"""Join cameras, given as a rig, a list or the dict of a cameras file, into one rig."""

from collections.abc import Iterable, Mapping, Sequence

from action_images.errors import ActionImagesError
from action_images.geometry.camera import Camera
from action_images.structs import stack

Cameras = Camera | Sequence[Camera] | Mapping[str, Camera]
"""A rig in any of the forms that `rig_of` takes."""


def rig_of(given: object, name: str = "cameras") -> Camera:
    """A Camera unchanged; several of them in their order, with an axis `view` in front.

    Still cameras beside a moving one are repeated for each of its frames.

    Raises ActionImagesError, naming the remedy, if they cannot be joined or are no cameras.
    """
    if isinstance(given, Camera):
        return given
    several = given.values() if isinstance(given, Mapping) else given
    if isinstance(several, (str, bytes)) or not isinstance(several, Iterable):
        raise ActionImagesError(
            f"{name} is a {type(given).__name__}; give a Camera, a list of them, or load_cameras(path)"
        )
    rig = list(several)
    wrong = next((one for one in rig if not isinstance(one, Camera)), None)
    if wrong is not None or not rig:
        holds = "is empty" if not rig else f"holds a {type(wrong).__name__}"
        raise ActionImagesError(f"{name} {holds}; give a Camera for each view, as load_cameras(path) does")
    sizes = dict.fromkeys(tuple(camera.size) for camera in rig)
    if len(sizes) > 1:
        raise ActionImagesError(
            f"{name} have images of several sizes, {', '.join(map(str, sizes))} (height, width); bring them "
            "to one with geometry.framing, or draw each camera by itself"
        )
    moving = dict.fromkeys(tuple(camera.batch_shape) for camera in rig if camera.batch_shape)
    if len(moving) > 1:
        raise ActionImagesError(
            f"{name} have batch axes {', '.join(map(str, moving))}; cameras that move together have as many "
            "frames"
        )
    shape = next(iter(moving), ())
    return stack([camera.to(rig[0].dtype).expand(*shape) for camera in rig])
