"""A denoiser that knows one recording: it finds which frames are given, and answers the rest."""

from dataclasses import replace

import torch

from action_images.canvas import MODES
from action_images.codec import draw
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.build import build
from action_images.model.bundle import Clips
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import PRESETS
from action_images.pipeline import Pipeline
from action_images.samples.sample import Sample, collate

CLIPS = Clips((64, 64), 5, 5.0, "one-step")
DEBUG = replace(
    PRESETS["debug"],
    transformer={**PRESETS["debug"].transformer, "in_channels": 96, "out_channels": 96},
    autoencoder={"channels": 96},
)


def make_path(num_frames: int, fps: float = 5.0) -> Trajectory:
    """A smooth path about the origin, turning, the gripper closing half way; the same motion at any rate."""
    phase = torch.arange(num_frames) / fps / 2
    position = torch.stack([0.12 * phase.sin(), 0.1 * (1.5 * phase).cos(), 0.03 * phase], -1)
    rotation = from_euler_xyz(torch.stack([0.2 * phase, 0.1 * phase.cos(), 3.0 + 0.1 * phase], -1))
    return Trajectory(Pose(rotation, position), (torch.arange(num_frames) < num_frames / 2).float())


def make_cameras(num_views: int = 2, size: tuple[int, int] = CLIPS.size) -> Camera:
    eyes = torch.tensor([[1.0, 0.1, 0.6], [0.2, 1.0, 0.5], [-0.8, 0.5, 0.7]])[:num_views]
    return Camera.look_at(eyes, torch.zeros(num_views, 3), 0.8, size)


def make_episode(num_frames: int, num_views: int = 2, fps: float = 5.0, name: str = "test/e0") -> Episode:
    """Videos that brighten evenly, with a square that slides: every frame differs from all others."""
    path, cameras = make_path(num_frames, fps), make_cameras(num_views)
    seconds = torch.arange(num_frames) / fps
    views = []
    for view in range(num_views):
        video = (
            (40 + 8 * seconds + 20 * view)
            .round()
            .to(torch.uint8)[:, None, None, None]
            .repeat(1, 3, *CLIPS.size)
        )
        for frame, place in enumerate((5 + 5 * seconds).int().clamp(max=50).tolist()):
            video[frame, view, 20:32, place : place + 10] = 230
        views.append(View(f"view{view}", FramesInMemory(video), cameras[view]))
    return Episode(name, "push the button", fps, tuple(views), path)


def whole(episode: Episode) -> Sample:
    """All frames of an episode, as a recording at the clips' pace."""
    video = torch.stack([view.frames.read(range(episode.num_frames)) for view in episode.views])
    cameras = make_cameras(len(episode.views))[:, None].expand(-1, episode.num_frames)
    valid = torch.ones(episode.num_frames, dtype=torch.bool)
    return Sample(video, cameras, episode.trajectory, valid, episode.instruction).normalised()


class Oracle(CanvasDenoiser):
    """Among all windows of a recording, padded ones too, the one whose given latents these are."""

    def __init__(self, pipeline: Pipeline, recording: Sample, num_frames: int = CLIPS.num_frames) -> None:
        super().__init__(pipeline.models.denoiser.transformer)
        total = recording.video.shape[1]
        windows = [[min(start + i, total - 1) for i in range(num_frames)] for start in range(total)]
        self.clean = torch.cat(
            [pipeline.encode(_window(recording, frames), MODES["joint"])[0].latents for frames in windows]
        )
        self.num_calls, self.num_from_nothing, self.texts = 0, 0, []
        self.blank = pipeline.models.autoencoder.encode(-torch.ones(num_frames, 3, *CLIPS.size))
        self.blind_to_actions = False

    def forward(self, canvas, noise_level, condition, branch="conditional"):  # noqa: ARG002 (a Denoiser's arguments)
        self.num_calls += 1
        actions = torch.cat(
            [
                torch.arange(s.start, s.stop)
                for segment, s in canvas.layout.spans.items()
                if segment.stream == "action"
            ]
        )
        self.num_from_nothing += int(not canvas.given[0, actions].any())
        self.texts.append(condition.text)
        answers = []
        for latents, given in zip(canvas.latents, canvas.given, strict=True):
            misfit = (self.clean[:, :, given] - latents[:, given]).square().flatten(1).sum(1)
            answers.append(self.clean[misfit.argmin()])
        answer = torch.stack(answers)
        if self.blind_to_actions:
            answer[:, :, actions] = self.blank.repeat(1, len(actions) // self.blank.shape[1], 1, 1)
        return (canvas.latents - answer) / noise_level.view(-1, 1, 1, 1, 1)


def _window(recording: Sample, frames: list[int]) -> Sample:
    path, cameras = recording.trajectory, recording.cameras
    part = replace(
        recording, video=recording.video[:, frames], valid=recording.valid[frames], trajectory=path[frames]
    )
    return collate([replace(part, cameras=cameras[:, frames])])


def knowing(episode: Episode, clips: Clips = CLIPS) -> ClipGenerator:
    """A generator that knows what the episode shows, behind an autoencoder that is fitted to it."""
    recording = whole(episode)
    pictures = draw(recording.trajectory, recording.cameras) * 2 - 1
    starts = range(recording.video.shape[1] - 4)
    phases = [
        (tensor[:, start : start + 5], 1.0) for tensor in (pictures, recording.video) for start in starts
    ]
    models = replace(build(DEBUG, autoencoder=PcaAutoencoder(**DEBUG.autoencoder).fit(phases)), clips=clips)
    pipeline = Pipeline.of(models)
    return ClipGenerator.of(replace(models, denoiser=Oracle(pipeline, recording)))
