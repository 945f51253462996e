"""Options of a command that distribute its work among workers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from action_images.parallel.cluster import Executor


@dataclass(frozen=True)
class WorkerOptions:
    """Where the work is done; the results are the same to the byte."""

    on: Literal["local", "processes", "ray"] = "local"
    """`local` in this process, several `processes` of this machine, or workers of a `ray` cluster
    (docs/scale.md)."""
    workers: int | None = None
    """How many workers; as many as there are cards, or as the cluster has room for, if not given."""
    threads: int = 1
    """Processor threads of each worker; another number may change last digits."""

    def on_device(self, device: str) -> "Executor":
        """An executor that distributes the work among workers of this device."""
        from action_images.parallel.cluster import executor_named

        return executor_named(self.on, self.workers, self.threads, device)
