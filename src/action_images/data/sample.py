"""What training and evaluation are fed: some frames of some views, with everything that belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from typing_extensions import Self

from action_images.data.episode import Episode, EpisodeError, View
from action_images.data.fitted import fit_camera, fit_frames
from action_images.data.window import Window
from action_images.geometry import Camera, Pose, Trajectory
from action_images.structs import Struct, stack


@dataclass(frozen=True)
class Sample(Struct):
    """A window of an episode; a batch is a Sample with one more axis.

    `video` is in [-1, 1], or uint8 on its way from a worker process (see `normalised`). `cameras` is None where a view
    is not calibrated, `trajectory` where the tool is not known. `valid` is False for frames beyond the episode's end:
    what is there repeats the last frame and belongs in no loss. The instruction of a batch is a tuple of them.
    """

    video: Float[Tensor, "*batch view frame 3 h w"] | UInt8[Tensor, "*batch view frame 3 h w"]
    cameras: Annotated[Camera, "*batch view frame"] | None
    trajectory: Annotated[Trajectory, "*batch frame"] | None
    valid: Bool[Tensor, "*batch frame"]
    instruction: str | tuple[str | None, ...] | None

    def normalised(self) -> Self:
        """The same with its video in [-1, 1], float32."""
        if self.video.dtype != torch.uint8:
            return self
        return replace(self, video=torch.mul(self.video, 2 / 255).sub_(1))

    def moved(self, new_from_world: Pose) -> Self:
        """The same scene described in another world frame; the pose has batch axes (*batch), or none."""
        cameras, path = self.cameras, self.trajectory
        if cameras is not None:
            cameras = cameras.moved(new_from_world[..., None, None])
        if path is not None:
            path = replace(path, world_from_tool=new_from_world[..., None] @ path.world_from_tool)
        return replace(self, cameras=cameras, trajectory=path)

    def relative(self) -> Self:
        """The same in the frame of the first view's camera at the first frame; raises ValueError without cameras."""
        if self.cameras is None:
            raise ValueError("a sample without cameras has none to be relative to; use calibrated views")
        return self.moved(self.cameras.world_from_camera[..., 0, 0].inverse())


def cut(episode: Episode, window: Window, size: tuple[int, int] | None = None) -> Sample:
    """The sample at an address, its video uint8; `size` (height, width) fits all views to it, cameras alike.

    Raises EpisodeError where the window is not of this episode, or views differ in size and none is given.
    """
    if window.episode_id != episode.id:
        raise EpisodeError(f"{window}: is not a window of episode {episode.id}; look the episode up by the window's id")
    indices, valid = window.indices(episode.num_frames)
    views = [episode.view(name) for name in window.views]
    sizes = {view.name: view.frames.size for view in views}
    if size is None and len(set(sizes.values())) > 1:
        raise EpisodeError(f"{window}: views differ in size ({sizes}); give the size that they shall be fitted to")
    parts = [_fitted(view, indices, size or view.frames.size) for view in views]
    rig = [camera for _, camera in parts if camera is not None]
    cameras = stack(rig) if len(rig) == len(parts) else None
    trajectory = None if episode.trajectory is None else episode.trajectory[torch.tensor(indices)]
    return Sample(torch.stack([video for video, _ in parts]), cameras, trajectory, valid, episode.instruction)


def _fitted(view: View, indices: Sequence[int], size: tuple[int, int]) -> tuple[UInt8[Tensor, "frame 3 h w"], Camera | None]:
    """The frames at this size, and their cameras (frame)."""
    frames, camera = fit_frames(view.frames.read(indices), size), view.camera
    if camera is None:
        return frames, None
    camera = camera[torch.tensor(indices)] if camera.batch_shape else camera.expand(len(indices))
    return frames, fit_camera(camera, size)


def collate(samples: Sequence[Sample]) -> Sample:
    """Equal samples as one batch; raises ValueError, naming the field, where one lacks what another has."""
    plain = [replace(sample, instruction=None) for sample in samples]
    return replace(stack(plain), instruction=tuple(sample.instruction for sample in samples))
