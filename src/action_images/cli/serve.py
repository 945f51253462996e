"""Serve a policy to robots over the network, using the protocol of openpi's clients.

action-images serve --policy shipped --port 8000
action-images serve --policy run/model --cameras cameras.json --host 0.0.0.0 --token-file token
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.policies import SERVER_SCHEMES, Maker, Planning
from action_images.serving.limits import Limits
from action_images.terminal.paths import GivenFile
from action_images.terminal.placing import planning_placed
from action_images.terminal.refusals import without_effect
from action_images.terminal.server_options import read_token

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from action_images.geometry import Camera
    from action_images.reports.viewing.plans_shelf import PlanWriter
    from action_images.robot import Policy
    from action_images.serving.server import PolicyServer

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SERVED = ("hold", "random")
"""References that can be served; the others need to know each trial in advance, which a robot cannot."""

WATCHED = 50
"""The number of plans that --watch keeps by default."""


@dataclass(frozen=True)
class Access:
    """Who may connect, and how the connection is encrypted."""

    token_file: Path | None = None
    """A file with the token that clients must send as `Authorization: Bearer TOKEN`."""
    anybody: bool = False
    """Listen beyond loopback without a token."""
    tls_cert: Path | None = None
    """Certificate chain (PEM); serves wss:// instead of ws://."""
    tls_key: Path | None = None
    """The certificate's private key (PEM)."""

    def token(self, host: str) -> str | None:
        """The token; raises ActionImagesError if the server would be open to the network without one, unless
        --anybody allows it."""
        if self.token_file is not None:
            return read_token(self.token_file)
        if host not in LOOPBACK and not self.anybody:
            raise ActionImagesError(
                f"--host {host} lets the whole network drive the policy: give --token-file, "
                "or --anybody if that is meant"
            )
        return None

    def tls(self) -> "ssl.SSLContext | None":
        """The TLS context; None without a certificate."""
        import ssl

        if (self.tls_cert is None) != (self.tls_key is None):
            raise ActionImagesError("TLS needs both --tls-cert and --tls-key")
        if self.tls_cert is None or self.tls_key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.tls_cert, self.tls_key)
        return context


@dataclass(frozen=True)
class Bounds:
    """Limits on what clients may send."""

    max_message_mb: float = 16.0
    """The largest observation in MB."""
    max_clients: int = 16
    """The most clients connected at once."""
    max_per_second: float = 100.0
    """The most observations of one client per second."""
    plan_s: float = 120.0
    """Seconds after which a policy counts as hanging and is restarted."""

    def limits(self) -> Limits:
        """The limits in the server's form; raises ActionImagesError, naming the limit, unless all are
        positive."""
        limits = Limits(
            max_message_bytes=int(self.max_message_mb * 1e6),
            max_clients=self.max_clients,
            max_per_second=self.max_per_second,
            plan_s=self.plan_s,
        )
        return limits.check()


@dataclass(frozen=True)
class Rigs:
    """Reads the calibrations in the policy's process, since the server's own loads no torch."""

    files: tuple[tuple[str, Path], ...]
    """Names and cameras files."""

    def __call__(self) -> "Mapping[str, Camera]":
        """Rigs (axis: view) by name, each with its views in the file's order."""
        from action_images.episodes.cameras_file import load_still_rig

        return {name: load_still_rig(path) for name, path in self.files}


@dataclass(frozen=True)
class Watched:
    """Opens, in the policy's process, the folder that plans are written to."""

    folder: Path
    keep: int

    def __call__(self, policy: "Policy") -> "PlanWriter":
        """The writer of the policy's plans, whose rows are control steps."""
        from action_images.reports.viewing.plans_shelf import DEFAULT_FPS, PlanWriter

        return PlanWriter(self.folder, self.keep, getattr(policy, "control_hz", DEFAULT_FPS))


@dataclass(frozen=True)
class Opened:
    """Opens the policy in its own process, which logs where its models run."""

    policy: str
    make: Maker
    planning: Planning

    def __call__(self) -> "Policy":
        """The policy."""
        planning_placed(self.policy, self.planning)
        return self.make()

    def policy_name(self) -> str:
        """Its name, with a hash of the weights that are in its folder now."""
        from action_images.policies import name_of

        return name_of(self.policy, self.planning)


def main(
    policy: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    cameras: tuple[GivenFile, ...] = (),
    observation_map: GivenFile | None = None,
    watch: Path | None = None,
    watch_keep: int | None = None,
    planning: Annotated[Planning, tyro.conf.arg(name="")] = Planning(),
    access: Annotated[Access, tyro.conf.arg(name="")] = Access(),
    bounds: Annotated[Bounds, tyro.conf.arg(name="")] = Bounds(),
) -> None:
    """Serve a policy to robots over the network: a websocket for openpi's clients and RemotePolicy, /healthz,
    /metrics.

    Logs events to stderr as one JSON object a line. Ends on Ctrl-C or SIGTERM, once the current plan is
    answered.

    Args:
        policy: A folder of models, `shipped`, `random`, or `hold`, which stays where it is and needs no
            weights.
        host: The address to listen on; any address but loopback requires --token-file or --anybody.
        port: The port to listen on; 0 takes any free one, which is logged.
        cameras: Cameras files (docs/conventions.md) that observations may name, by the file's name without
            its ending.
        watch: A folder for the last plans and their inputs, for 'action-images view'. Writing takes time
            after each answer.
        watch_keep: With --watch: how many plans it keeps; older ones are removed. 50 if not given.
        observation_map: A json file that maps the fields of a foreign client (docs/serving.md).
    """
    import asyncio

    from action_images.policies import REFERENCES, maker_of, name_of
    from action_images.serving.log import to_stream
    from action_images.serving.observation_map import ObservationMap
    from action_images.serving.server import PolicyServer

    if watch is None:
        without_effect("--watch-keep is about --watch", {"watch-keep": watch_keep})
    token = access.token(host)
    if not 0 <= port < 65536:
        raise ActionImagesError(f"--port is {port}; give one from 0 to 65535")
    if policy.startswith(SERVER_SCHEMES) or policy in set(REFERENCES) - set(SERVED):
        raise ActionImagesError(
            f"--policy {policy} cannot be served; give a folder of models, `shipped`, or one of "
            f"{', '.join(SERVED)}"
        )
    renaming = None if observation_map is None else ObservationMap.load(observation_map)
    if planning.dtype == "auto":
        planning = planning_placed(policy, planning)  # the name that clients see includes the dtype
    server = PolicyServer(
        Opened(policy, maker_of(policy, planning), planning),
        Rigs(_by_name(cameras)),
        name=name_of(policy, planning),
        host=host,
        port=port,
        token=token,
        tls=access.tls(),
        limits=bounds.limits(),
        observation_map=renaming,
        open_watcher=None if watch is None else Watched(watch, WATCHED if watch_keep is None else watch_keep),
    )
    to_stream()
    asyncio.run(_until_signal(server))


def _by_name(cameras: tuple[GivenFile, ...]) -> tuple[tuple[str, Path], ...]:
    rigs: dict[str, Path] = {}
    for path in cameras:
        if not path.is_file():
            raise ActionImagesError(f"{path}: there is no such cameras file")
        if rigs.setdefault(path.stem, path) != path:
            raise ActionImagesError(
                f"{rigs[path.stem]} and {path} would both be called '{path.stem}'; rename one"
            )
    return tuple(rigs.items())


async def _until_signal(server: "PolicyServer") -> None:
    import asyncio
    import signal

    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)
        # A second signal ends at once.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    # Do not use the loop's own handlers: Windows has none.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    async with server.running():
        await stop.wait()
