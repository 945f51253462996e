"""Serve a policy to robots over the network, in the protocol of openpi's clients."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    import ssl

    from action_images.geometry import Camera
    from action_images.robot import Policy
    from action_images.serving.server import PolicyServer

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(
    policy: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    cameras: tuple[Path, ...] = (),
    token_file: Path | None = None,
    anybody: bool = False,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    max_message_mb: float = 16.0,
    max_clients: int = 16,
    max_per_second: float = 100.0,
    plan_s: float = 120.0,
    sampling: str | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Serve a policy to robots over the network: a websocket for openpi's clients and RemotePolicy, /healthz, /metrics.

    Writes one JSON object a line to stderr for whatever happens. Ends on Ctrl-C or SIGTERM, once the current plan is answered.

    Args:
        policy: A folder of models, `shipped`, or `hold`, which stays where it is and needs no weights.
        host: The address to listen on; anything but loopback asks for --token-file or --anybody.
        port: The port to listen on; 0 takes any free one, which the log names.
        cameras: Cameras files (docs/conventions.md) that observations may name, by the file's name without its ending.
        token_file: A file whose text clients must send as `Authorization: Bearer TOKEN`.
        anybody: Listen beyond loopback without a token.
        tls_cert: Certificate chain (PEM); serves wss:// instead of ws://.
        tls_key: The certificate's private key (PEM).
        max_message_mb: The largest observation in MB.
        max_clients: How many may be connected at once.
        max_per_second: Observations of one client.
        plan_s: Time after which a policy counts as hanging, and is started again.
        sampling: How to sample, a name of generation.GENERATIONS; the models' own if not given.
        device: Where the models run, such as cuda or cpu.
        dtype: Of the transformer and the language model.
    """
    import asyncio
    from functools import partial

    from action_images.serving.limits import Limits
    from action_images.serving.log import to_stream
    from action_images.serving.server import PolicyServer

    token = None if token_file is None else read_token(token_file)
    if host not in LOOPBACK and token is None and not anybody:
        raise ActionImagesError(
            f"--host {host} lets the whole network drive the policy: give --token-file, or --anybody if that is meant"
        )
    if not 0 <= port < 65536:
        raise ActionImagesError(f"--port is {port}; give one from 0 to 65535")
    limits = Limits(int(max_message_mb * 1e6), max_clients, max_per_second, plan_s).check()
    rigs = _by_name(cameras)
    tls = _tls(tls_cert, tls_key)
    to_stream()
    server = PolicyServer(
        partial(open_policy, _known(policy), sampling, device, dtype),
        partial(load_rigs, rigs),
        name=_name(policy, sampling, dtype),
        host=host,
        port=port,
        token=token,
        tls=tls,
        limits=limits,
    )
    asyncio.run(_until_signal(server))


def load_rigs(paths: dict[str, Path]) -> "dict[str, Camera]":
    """The rigs (axis: view) of cameras files, each with its views in the file's order."""
    from action_images.episodes.cameras_file import load_cameras
    from action_images.structs import stack

    rigs = {}
    for name, path in paths.items():
        views = load_cameras(path)
        if any(camera.batch_shape for camera in views.values()):
            raise ActionImagesError(
                f"{path}: a camera of this file moves; a server's calibration stands still"
            )
        if len({camera.size for camera in views.values()}) > 1:
            raise ActionImagesError(
                f"{path}: its cameras have different sizes; an observation's images have one"
            )
        rigs[name] = stack(list(views.values()))
    return rigs


def open_policy(
    policy: str, sampling: str | None = None, device: str = "cpu", dtype: str = "float32"
) -> "Policy":
    """The policy of this name; called in the policy's own process."""
    if policy == "hold":
        from action_images.control import Hold

        if (sampling, device, dtype) != (None, "cpu", "float32"):
            raise ActionImagesError("hold has no weights: leave --sampling, --device and --dtype out")
        return Hold()
    from action_images.cli.evaluate import generative_policy
    from action_images.model.shipped import models_folder

    folder = models_folder(policy)
    return generative_policy(
        folder, "policy", imagine=False, sampling=sampling, seed=0, device=device, dtype=dtype
    )


def _known(policy: str) -> str:
    from action_images.model.shipped import models_folder

    if policy != "hold" and not models_folder(policy).is_dir():
        raise ActionImagesError(
            f"there is no policy '{policy}'; give a folder of models, `shipped` or `hold`"
        )
    return policy


def _name(policy: str, sampling: str | None, dtype: str) -> str:
    """What the policy is called in the results of those who ask it: by its weights, and by what changes its plans."""
    from action_images.model.shipped import models_name

    sampled = f" sampling={sampling}" if sampling else ""
    return (policy if policy == "hold" else models_name(policy)) + sampled + in_dtype(dtype)


def in_dtype(dtype: str) -> str:
    """What is said of a dtype behind a model's name in results, so that those of one never mix with those of another."""
    return "" if dtype == "float32" else f" {dtype}"


def read_token(path: Path) -> str:
    """A token's file; raises ValueError where that holds no good one."""
    if path.stat().st_size > 4096 or len(token := path.read_text().strip()) < 16:
        raise ActionImagesError(
            f"{path}: a token is one line of 16 or more characters; make one with: openssl rand -hex 32 > {path}"
        )
    return token


def _by_name(cameras: tuple[Path, ...]) -> dict[str, Path]:
    rigs: dict[str, Path] = {}
    for path in cameras:
        if not path.is_file():
            raise ActionImagesError(f"{path}: there is no such cameras file")
        if rigs.setdefault(path.stem, path) != path:
            raise ActionImagesError(
                f"{rigs[path.stem]} and {path} would both be called '{path.stem}'; rename one"
            )
    return rigs


def _tls(cert: Path | None, key: Path | None) -> "ssl.SSLContext | None":
    import ssl

    if (cert is None) != (key is None):
        raise ActionImagesError("TLS needs both --tls-cert and --tls-key")
    if cert is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


async def _until_signal(server: "PolicyServer") -> None:
    import asyncio
    import signal

    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        stop.set()
        # A second signal does not wait for anything.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    async with server.running():
        await stop.wait()
