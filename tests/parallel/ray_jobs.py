"""Work for a Ray cluster's workers, in a module that they can import."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.label_job import Job


def load(folder: Path) -> ClipGenerator:
    return ClipGenerator.load(folder)


@dataclass(frozen=True)
class Fragile(Job):
    """A job whose process is killed once, when it has done an episode and not yet handed it over."""

    mark: Path = Path()

    def labels(self, folder):
        work = super().labels(folder)

        def fragile(number):
            result = work(number)
            if number == 2 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return fragile
