"""Record demonstrations as episodes: simulated in parallel, stored in the order of their seeds."""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch

from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.encoded_episode import Encoded, encode_episode
from action_images.episodes.episode import Episode, EpisodeError, FramesInMemory, View
from action_images.episodes.video import Codec
from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory
from action_images.parallel.pool import pool_of, told_if_killed
from action_images.robot import Observation, RepeatableEnvironment
from action_images.sim.arm import CONTROL_HZ
from action_images.sim.cameras import Rig
from action_images.sim.environment import Tabletop
from action_images.sim.expert import SETTLING, Blunder, Disturbance, correct, demonstrate, wander
from action_images.sim.grammar import Wording
from action_images.sim.look import Look
from action_images.sim.look_family import LookFamily
from action_images.structs import concatenate, stack

Actor = Literal["expert", "disturbed", "clumsy", "corrected", "play"]
"""The controller of the arm.

- expert: the task's expert
- disturbed: the expert, usually pushed aside once on its way, and recorded from there on
- clumsy: the expert after an attempt that went wrong, recorded from the end of that attempt
- corrected: the same after another controller's attempt, such as a policy's. This is DAgger (Ross et al.
  2011), except that the expert takes over at the end of the trial.
- play: random motions in the task's scene, without a purpose or an instruction
"""

Demonstration = tuple[str, int]
"""A task's name and a seed."""
Attempt = Callable[[Tabletop, Observation, Demonstration], None]
"""Tries a task before the expert: carries out the trial that has begun, given its first observation."""

PLAY_STEPS = 96


@runtime_checkable
class Recording(Protocol):
    """Settings for recording demonstrations of any world, without tasks and seeds."""

    @property
    def fps(self) -> float:
        """Recorded frames a second."""
        ...

    @property
    def num_views(self) -> int:
        """The number of cameras."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of their images in px."""
        ...

    def episode_id(self, task: str, seed: int) -> str:
        """The name of a seed's demonstration in a data set."""
        ...

    def demonstration(self, task: str, seed: int) -> Episode | None:
        """The demonstration of a seed; None if it failed."""
        ...


@dataclass(frozen=True)
class RecordingConfig:
    """Settings for recording demonstrations, without task and seed. `size` is (height, width) in px.

    A frame is recorded every `every` control steps. After the task the expert keeps still for `hold` steps.
    `attempt` is the attempt that a `corrected` demonstration corrects. `wording` is the kind of instructions.
    """

    rig: Rig
    look: Look | LookFamily
    num_views: int
    size: tuple[int, int]
    every: int = 1
    hold: int = SETTLING
    actor: Actor = "expert"
    attempt: Attempt | None = None
    wording: Wording = "phrasings"

    def __post_init__(self) -> None:
        if (self.actor == "corrected") != (self.attempt is not None):
            raise ActionImagesError(
                "an attempt is corrected: give an `attempt` with the actor `corrected`, and with no other"
            )

    @property
    def fps(self) -> float:
        """Recorded frames a second."""
        return CONTROL_HZ / self.every

    def episode_id(self, task: str, seed: int) -> str:
        """The name of a seed's demonstration in a data set."""
        return f"{self.actor + '/' if self.actor in ('clumsy', 'corrected', 'play') else ''}{task}/{seed:07d}"

    def environment(self, task: str) -> Tabletop:
        """A world of this task with these settings."""
        seen = {"look": self.look, "num_views": self.num_views, "size": self.size}
        return Tabletop(task, self.rig, wording=self.wording, **seen)

    def demonstration(self, task: str, seed: int) -> Episode | None:
        """The demonstration of a seed; None if it failed."""
        environment = self.environment(task)
        episode = record_episode(environment, task, seed, self)
        environment.close()
        return episode


def record_episode(environment: Tabletop, task: str, seed: int, recording: RecordingConfig) -> Episode | None:
    """Record the demonstration of one seed; None if it failed.

    Frame i shows the tool at trajectory[i]. Its opening is the last command to the gripper, so a held object
    does not change it.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{recording.actor} {task}".encode())])
    mishap: Disturbance | Blunder | None = None
    first_seen = environment.reset(seed)
    if recording.attempt is not None:
        recording.attempt(environment, first_seen, (task, seed))
        first_seen = environment.observation()
        steps = correct(environment, recording.hold)
    elif recording.actor == "play":
        steps = wander(environment, rng, PLAY_STEPS)
    elif recording.actor == "disturbed":
        mishap = Disturbance(rng)
        steps = demonstrate(environment, recording.hold, disturbance=mishap)
    elif recording.actor == "clumsy":
        mishap = Blunder.draw(rng)
        steps = demonstrate(environment, recording.hold, blunder=mishap)
    else:
        steps = demonstrate(environment, recording.hold)
    film = Film(environment, recording.every, first_seen)
    for _ in steps:
        film.after_step(forget=mishap is not None and mishap.under_way)
    name = recording.episode_id(task, seed)
    if recording.actor == "play":
        return replace(film.episode(name, recording.fps), instruction=None)
    done = environment.succeeded() and film.num_frames > 1
    return film.episode(name, recording.fps) if done else None


class Film:
    """The recording of a trial: an observation every few control steps, and the commands to the arm."""

    def __init__(self, environment: RepeatableEnvironment, every: int, first_seen: Observation):
        self._environment, self._every, self._num_steps = environment, every, 0
        self._seen, self._told = [first_seen], [environment.state().told]

    def after_step(self, *, forget: bool = False) -> None:
        """Note a control step. `forget` drops everything recorded so far from the demonstration."""
        self._num_steps += 1
        if forget:
            self._seen, self._told = [], []
        elif self._num_steps % self._every == 0:
            self._seen.append(self._environment.observation())
            self._told.append(self._environment.state().told)

    @property
    def num_frames(self) -> int:
        """The number of recorded frames."""
        return len(self._seen)

    def episode(self, name: str, fps: float) -> Episode:
        """The recording; its first command is the arm's own pose."""
        frames = stack(self._seen)
        path = Trajectory(frames.world_from_tool, frames.opening)
        told_poses = stack(self._told).to(torch.float32)
        told = concatenate([path[:1], Trajectory(told_poses, frames.opening)[1:]])
        views = tuple(_view(frames, view) for view in range(frames.images.shape[1]))
        return Episode(name, frames.instruction, fps, views, path, told=told)


def _view(frames: Observation, view: int) -> View:
    """One view of all frames (axis: frame); a camera that stands still is stored once."""
    camera = frames.cameras[:, view]
    poses = camera.world_from_camera.matrix()
    stands_still = bool((poses == poses[0]).all())
    images = FramesInMemory(frames.images[:, view])
    return View(f"view{view}", images, camera[0] if stands_still else camera)


Encode = Callable[[Episode, Path], Encoded]
"""Checks an episode and encodes its videos into a folder."""


def record(
    out: Path,
    wanted: Iterable[Demonstration],
    recording: Recording,
    *,
    num_workers: int = 1,
    crf: int = 18,
    preset: str = "medium",
    codec: Codec = "h264",
) -> Iterator[tuple[Demonstration, bool]]:
    """Add demonstrations to the data set in `out`, in this order; yields each with whether it succeeded.

    `crf`, `preset` and `codec` are those of `write_video`. Demonstrations already in `out` are skipped and
    not yielded; failed ones are left out of the data set. The bytes do not depend on `num_workers`, nor on
    how often recording was interrupted and resumed.
    """
    with DatasetWriter(out, recording.fps, crf, codec) as writer:
        if writer.sizes is not None and list(writer.sizes.values()) != [recording.size] * recording.num_views:
            has = ", ".join(
                f"{name} of {height} x {width} px" for name, (height, width) in writer.sizes.items()
            )
            raise EpisodeError(
                f"{out}: has the views {has}, {recording.num_views} of {recording.size} px were asked for; "
                "record into another folder"
            )
        missing = (one for one in wanted if recording.episode_id(*one) not in writer.ids)
        encode = partial(encode_episode, crf=crf, preset=preset, codec=codec)
        for one, encoded, folder in _encoded(missing, writer, recording, encode, num_workers=num_workers):
            with folder:
                if encoded is not None:
                    writer.commit(encoded)
            yield one, encoded is not None


Result = tuple[Demonstration, Encoded | None, TemporaryDirectory]


def _encoded(
    missing: Iterator[Demonstration],
    writer: DatasetWriter,
    recording: Recording,
    encode: Encode,
    *,
    num_workers: int,
) -> Iterator[Result]:
    if num_workers <= 1:
        for one in missing:
            folder = writer.staging()
            yield one, _single_threaded(one, recording, Path(folder.name), encode), folder
        return
    with told_if_killed(), pool_of(num_workers, torch.set_num_threads, (1,)) as pool:
        under_way: deque[tuple[Demonstration, Future, TemporaryDirectory]] = deque()

        def submit(num: int) -> None:
            for one in islice(missing, num):
                folder = writer.staging()
                under_way.append(
                    (one, pool.submit(_demonstrate, one, recording, Path(folder.name), encode), folder)
                )

        try:
            submit(3 * num_workers)
            while under_way:
                one, future, folder = under_way.popleft()
                yield one, future.result(), folder
                submit(1)
        finally:
            pool.shutdown(cancel_futures=True)


def _single_threaded(
    one: Demonstration, recording: Recording, folder: Path, encode: Encode
) -> Encoded | None:
    """Run with one thread, as in the workers: the number of threads changes sums, and trials amplify that."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _demonstrate(one, recording, folder, encode)
    finally:
        torch.set_num_threads(num_threads)


def _demonstrate(one: Demonstration, recording: Recording, folder: Path, encode: Encode) -> Encoded | None:
    episode = recording.demonstration(*one)
    return None if episode is None else encode(episode, folder)
