"""Figures of serving: the cost of the wire, many clients at once, and memory over many requests."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from action_images.control import Hold
from action_images.files.atomic import write_text
from action_images.geometry import Camera, Pose
from action_images.robot import Observation
from action_images.serving.client import RemotePolicy


class Served:
    """A server in a process of its own, as a user would start it, and what Linux says of it."""

    def __init__(self, process: subprocess.Popen, port: int, policy_pid: int):
        self.uri, self.pid, self.policy_pid, self._process = (
            f"ws://127.0.0.1:{port}",
            process.pid,
            policy_pid,
            process,
        )

    def use(self) -> dict[str, int]:
        """Memory (kB), threads and open files of the server and of the policy's process."""
        figures = {}
        for who, pid in (("server", self.pid), ("policy", self.policy_pid)):
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            figures[f"{who}_kb"] = int(status["VmRSS"].split()[0])
            figures[f"{who}_threads"] = int(status["Threads"])
            figures[f"{who}_files"] = len(os.listdir(f"/proc/{pid}/fd"))
        return figures


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Served]:
    """`action-images serve --policy hold` until the block ends."""
    command = [
        sys.executable,
        "-m",
        "action_images",
        "serve",
        "--policy",
        "hold",
        "--port",
        "0",
        "--max-per-second",
        "1e6",
        *options,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = policy_pid = None
        for line in process.stderr:
            said = json.loads(line)
            policy_pid = said.get("pid", policy_pid)
            if said["event"] == "listening":
                port = said["port"]
                break
        if port is None or policy_pid is None:
            raise RuntimeError("the server did not start")
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield Served(process, port, policy_pid)
        finally:
            process.terminate()
            process.wait(30)
            drain.join()


def observation(size: int, num_views: int = 2) -> Observation:
    """Calibrated views of noise."""
    generator = torch.Generator().manual_seed(0)
    eyes = torch.tensor([0.9, 0.0, 0.6]) + 0.3 * torch.rand(num_views, 3, generator=generator)
    images = torch.randint(0, 256, (num_views, 3, size, size), generator=generator, dtype=torch.uint8)
    cameras = Camera.look_at(eyes, torch.zeros(num_views, 3), 0.8, (size, size))
    return Observation(images, cameras, Pose.identity(), torch.tensor(1.0), "hold still")


def overhead(num: int) -> list[dict[str, Any]]:
    """A plan over the wire against the same plan in-process, two views of each size."""
    rows, local = [], Hold()
    with serving() as served, RemotePolicy(served.uri) as remote:
        for size in (128, 256, 512):
            seen, times = observation(size), {"in_process": [], "wire": []}
            for policy, kept in ((local, "in_process"), (remote, "wire")):
                for number in range(num + 20):
                    start = time.perf_counter()
                    policy.plan(seen)
                    if number >= 20:
                        times[kept].append(1e3 * (time.perf_counter() - start))
            ordered = {kept: sorted(values) for kept, values in times.items()}
            row: dict[str, Any] = {"views_px": f"2 x {size}", "requests": num}
            for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99)):
                row |= {f"{kept}_{name}_ms": values[int(share * num)] for kept, values in ordered.items()}
            rows.append({**row, "overhead_median_ms": row["wire_median_ms"] - row["in_process_median_ms"]})
    return rows


def many_clients(num_clients: int, seconds: float) -> list[dict[str, Any]]:
    """Plans a second for several clients at once, and how evenly they are served."""
    with serving() as served:
        counts, longest = [0] * num_clients, [0.0] * num_clients
        until = time.perf_counter() + seconds

        def ask(number: int) -> None:
            with RemotePolicy(served.uri) as remote:
                seen = observation(256)
                while (start := time.perf_counter()) < until:
                    remote.plan(seen)
                    counts[number] += 1
                    longest[number] = max(longest[number], 1e3 * (time.perf_counter() - start))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(num_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    row = {
        "clients": num_clients,
        "plans_per_s": sum(counts) / seconds,
        "least": min(counts),
        "most": max(counts),
        "longest_ms": max(longest),
    }
    return [row]


def endurance(num: int) -> list[dict[str, Any]]:
    """Memory, threads and files along many requests, a new connection for every hundredth."""
    rows = []
    with serving() as served, RemotePolicy(served.uri) as remote:
        seen = observation(64)
        for done in range(num + 1):
            if done % (num // 10) == 0:
                rows.append({"requests": done, **served.use(), "client_threads": threading.active_count()})
            if done % 100 == 0:
                remote.close()
            remote.plan(seen)
    return rows


def show(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title=title, box=SIMPLE)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=180).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("overhead", "clients", "endurance"),
        default=["overhead", "clients", "endurance"],
    )
    parser.add_argument("--requests", type=int, default=10_000, help="of the endurance run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "overhead": ("a plan over the wire and in-process", lambda: overhead(300)),
        "clients": ("clients at once, two views of 256 px", lambda: many_clients(8, 10.0)),
        "endurance": ("memory, threads and open files", lambda: endurance(arguments.requests)),
    }
    figures = {}
    for name in arguments.only:
        title, measure = parts[name]
        figures[name] = measure()
        show(title, figures[name])
    if arguments.json:
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
