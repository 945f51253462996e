"""The time of each stage from a scene to a clip."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class Stages:
    """Milliseconds by stage, in the order in which the stages began.

    Entering a stage again adds to its time.
    """

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str, device: torch.device) -> Iterator[None]:
        """Time the code inside, including the GPU work that is pending at its end."""
        start = time.perf_counter()
        yield
        if device.type in ("cuda", "mps"):
            getattr(torch, device.type).synchronize()
        self.ms[name] = self.ms.get(name, 0.0) + 1e3 * (time.perf_counter() - start)
