"""Policies and servers for the tests of serving: real ones, in real processes, on loopback."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry import rotation as rotations
from action_images.robot import Observation, Plan
from action_images.serving.limits import Limits
from action_images.serving.server import PolicyServer

PATIENCE_S = 300.0
"""How long a test waits for what must come; other work may share the machine."""


@dataclass(frozen=True)
class Winding:
    """A plan that depends on every part of the observation, bit for bit."""

    num_steps: int = 8
    image_size: tuple[int, int] = (32, 48)
    fps: float = 4.0

    def plan(self, observation: Observation) -> Plan:
        """A path that winds away from the tool, by what the cameras show."""
        share = torch.arange(1, self.num_steps + 1) / self.num_steps
        shown = observation.images.float().mean((-1, -2)).flatten()[:3] / 255
        turn = observation.cameras.intrinsics.float().flatten()[:3].sin() * share[:, None]
        start = observation.world_from_tool
        rotation = start.rotation @ rotations.from_rotation_vector(turn + len(observation.instruction) / 100)
        opening = (observation.opening * share).clamp(0, 1)
        return Plan(
            Trajectory(Pose(rotation, start.translation + shown * share[:, None]), opening),
            video=observation.images[:, None].expand(-1, self.num_steps, -1, -1, -1).float() / 255,
            confidence=0.5 + share / 2,
        )


@dataclass(frozen=True)
class Moody:
    """Does what the instruction says: `wait PATH` (until there is such a file), `fail`, `refuse`, `unsure
    NUM_KNOWN`; else holds."""

    def plan(self, observation: Observation) -> Plan:
        """Eight steps of standing still, after doing as told."""
        what, *rest = (observation.instruction or "hold").split()
        confidence = torch.ones(8)
        if what == "wait":
            while not Path(rest[0]).exists():
                time.sleep(0.005)
        elif what == "fail":
            raise RuntimeError("secret/path/of/the/server")
        elif what == "refuse":
            raise ActionImagesError("this policy wants three views")
        elif what == "unsure":
            confidence[int(rest[0]) :] = 0
        held = observation.world_from_tool[None].expand(8)
        return Plan(Trajectory(held, observation.opening.expand(8)), confidence=confidence)


@dataclass(frozen=True)
class Sighted(Moody):
    """Finds the tool in a bright picture where camera 0 has it, in a dark one where camera 1 has it."""

    def tool_misses(self, observation: Observation) -> torch.Tensor:
        """The distance of the tool found in each picture from each camera's projection."""
        misses = torch.full((2, 2), 0.3)
        for view, picture in enumerate(observation.images):
            misses[view, 0 if picture.float().mean() > 127 else 1] = 0.01
        return misses


@dataclass(frozen=True)
class Doors:
    """Makes a policy: not while there is a file `shut` in the folder, and with an error while there is one
    `broken`."""

    folder: Path

    def __call__(self) -> Moody:
        """The policy, once it may be made."""
        while (self.folder / "shut").exists():
            time.sleep(0.005)
        if (self.folder / "broken").exists():
            (self.folder / "tried").touch()
            raise ValueError("there are no weights here")
        return Moody()


@dataclass(frozen=True)
class Renamed:
    """Makes a policy that is called as the file says, as a folder whose weights a training replaces."""

    name: Path

    def __call__(self) -> Moody:
        """The policy."""
        return Moody()

    def policy_name(self) -> str:
        """The file's text."""
        return self.name.read_text()


def broken() -> Moody:
    """A policy that cannot be opened."""
    raise ValueError("there are no weights here")


def rigs() -> dict[str, Camera]:
    """The calibrations that the test servers hold."""
    return {"table": observation(seed=5).cameras}


def observation(seed: int = 0, instruction: str = "hold", size: tuple[int, int] = (32, 48)) -> Observation:
    """Two calibrated views of noise, and a tool somewhere."""
    generator = torch.Generator().manual_seed(seed)
    eyes = torch.tensor([[0.9, -0.5, 0.6], [0.8, 0.6, 0.5]]) + 0.05 * torch.rand(2, 3, generator=generator)
    images = torch.randint(0, 256, (2, 3, *size), generator=generator, dtype=torch.uint8)
    rotation = rotations.from_rotation_vector(torch.randn(3, generator=generator))
    # Near where the cameras look.
    tool = Pose(rotation, 0.2 * torch.rand(3, generator=generator))
    cameras = Camera.look_at(eyes, torch.zeros(2, 3), 0.8, size)
    return Observation(images, cameras, tool, torch.rand((), generator=generator), instruction)


@contextlib.contextmanager
def running(policy=Moody, calibrations=rigs, **options) -> Iterator[PolicyServer]:
    """A server with its loop in a thread, until the block ends."""
    options = {"port": 0, "limits": Limits(max_clients=64, max_per_second=1e6, grace_s=2), **options}
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    server = PolicyServer(policy, calibrations, **options)
    failures: list[BaseException] = []

    async def serve() -> None:
        async with server.running():
            started.set()
            await stop.wait()

    def body() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=body)
    thread.start()
    started.wait()
    try:
        if not failures:
            yield server
    finally:
        if not failures:
            loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def uri(server: PolicyServer) -> str:
    """Where it listens."""
    return f"ws://127.0.0.1:{server.port}"


def counted(server: PolicyServer, outcome: str) -> float:
    """How many frames had this outcome so far."""
    return (
        server.metrics.registry.get_sample_value("action_images_observations_total", {"outcome": outcome})
        or 0.0
    )
