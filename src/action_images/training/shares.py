"""Checkpoints of a sharded model: each process writes its own shards while the run continues."""

from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, distributed

from action_images.errors import ActionImagesError
from action_images.files import checksum
from action_images.files.atomic import unfinished_of
from action_images.training.checkpoint import (
    SHARE,
    Progress,
    checksum_of_files,
    folder_of,
    remove_old,
    write_state,
)
from action_images.training.processes import gathered, raised_together
from action_images.training.written import written


def can_share() -> bool:
    """Whether this torch writes distributed checkpoints as safetensors; older ones use pickle."""
    try:
        from torch.distributed.checkpoint import HuggingFaceStorageWriter  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass
class Shares:
    """Writes checkpoints of a run with sharded weights, one at a time, in a thread of each process.

    A checkpoint is complete once `settle` has returned. Until then its folder has the name of an unfinished
    one, and a killed run continues from the previous checkpoint.
    """

    accelerator: Accelerator
    _group: Any = None
    _future: Future[Any] | None = None
    _waiting: tuple[Path, Progress, int] | None = None
    _held: ExitStack = field(default_factory=ExitStack)

    @property
    def is_written(self) -> bool:
        """Whether this process has a checkpoint that can be settled without waiting."""
        return self._future is not None and self._future.done()

    def begin(
        self, folder: Path, tensors: Iterable[tuple[str, Tensor]], progress: Progress, keep_last: int
    ) -> None:
        """Copy this process's shards to the CPU, and start writing them below `folder`.

        Every process takes part. Raises ActionImagesError in all if one cannot write there.
        """
        from torch.distributed import checkpoint as torch_checkpoint

        self.settle()
        done = folder_of(folder, progress)
        with raised_together(self.accelerator):
            if self.accelerator.is_main_process:
                self._held.enter_context(written(done, "the checkpoint"))
        with raised_together(self.accelerator):
            if not unfinished_of(done).is_dir():
                raise ActionImagesError(
                    f"{unfinished_of(done)}: is not there for process {self.accelerator.process_index}; "
                    "processes that share a model write into one folder, let all machines see it"
                )
        if self._group is None:
            # Its own group, so that writing and training do not wait for each other.
            self._group = distributed.new_group(backend="gloo")
        writer = torch_checkpoint.HuggingFaceStorageWriter(str(unfinished_of(done)), save_distributed=True)
        answer = torch_checkpoint.async_save(dict(tensors), storage_writer=writer, process_group=self._group)
        assert isinstance(answer, Future)
        self._future, self._waiting = answer, (done, progress, keep_last)

    def settle(self) -> None:
        """Wait for the checkpoint that is being written, if there is one, and give it its final name.

        Every process takes part. Raises OSError or ActionImagesError in all if a share was not written.
        """
        if self._future is None or self._waiting is None:
            return
        future, (done, progress, keep_last) = self._future, self._waiting
        self._future, self._waiting = None, None
        with raised_together(self.accelerator), self._held:
            with raised_together(self.accelerator):
                _result_of(future, done)
            rank = self.accelerator.process_index + 1
            mine = sorted(unfinished_of(done).glob(f"{SHARE}{rank:05d}-*.safetensors"))
            sums = gathered(self.accelerator, {path.name: checksum.checksum(path) for path in mine})
            if self.accelerator.is_main_process:
                found: dict[str, str] = {}
                for part in sums:
                    found |= part
                write_state(unfinished_of(done), progress, checksum_of_files(found))
        if self.accelerator.is_main_process:
            remove_old(done.parent, keep_last)


def _result_of(future: Future[Any], done: Path) -> None:
    try:
        future.result()
    except Exception as error:
        # torch wraps the exceptions of all processes, such as OSError, in one of its own.
        raise OSError(
            f"{done}: the checkpoint could not be written ({str(error).strip().splitlines()[-1]}); "
            "the one before is as it was, make room and resume"
        ) from error
