"""Make a Policy from a name, a folder or an address: the one place where all users of policies get theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError, WeightsChanged

if TYPE_CHECKING:
    from action_images.robot import Policy


@dataclass(frozen=True)
class Reference:
    """The class of a reference policy, and the values of a `ReferencePolicy` that it takes."""

    place: str
    takes: tuple[str, ...] = ()


REFERENCES: Mapping[str, Reference] = {
    "expert": Reference("action_images.evaluation.references:Expert"),
    "expert-video": Reference("action_images.evaluation.references:ExpertThroughVideo", ("size", "fps")),
    "hold": Reference("action_images.control:Hold"),
    "random": Reference("action_images.evaluation.references:Random", ("seed",)),
}
"""The reference policies by name. Every other name is a folder of models, `shipped`, or an address."""
SERVER_SCHEMES = ("ws://", "wss://")
DEFAULT_SIZE = (128, 128)
"""Height and width (px) of images for a policy without a size of its own."""
DEFAULT_FPS = 5.0
"""Frames per second of `expert-video` beside a policy without a known training rate."""
PLAN_S = 600.0
"""Time limit in s for a server's plan: a simulator stands still meanwhile, so the server's own limit
decides."""


@dataclass(frozen=True)
class Planning:
    """How the models of a folder plan. Values that differ from these defaults are part of the policy's name
    in results."""

    mode: Literal["policy", "joint"] = "policy"
    """What the models imagine: the actions alone (policy), or the video as well (joint)."""
    imagine: bool = False
    """Also decode the imagined video, for films (with --mode joint)."""
    sampling: str | None = None
    """Name of the sampling (docs/model.md); the models' own if not given."""
    seed: int = 0
    """Seed of the policy's noise; scenes do not depend on it."""
    best_of: int = 1
    """Make this many plans and take the most confident one."""
    device: str = "auto"
    """Where the models run: cuda, cuda:1, mps, cpu, or auto for the first one available."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the transformer and the language model; auto takes what is fast on the device."""
    compiled: bool = False
    """Compile the network's blocks (torch.compile): the first plan is slow, and last digits differ."""
    shared_by: int = 1
    """How many cards share the tokens of each plan (docs/scale.md); on the CPU, how many processes."""

    def options(self) -> list[str]:
        """The command line's options whose values are not the defaults."""
        changed = [one.name for one in fields(self) if getattr(self, one.name) != one.default]
        return [f"--{name.replace('_', '-')}" for name in changed]

    def suffix(self) -> str:
        """Words appended to a policy's name in results; empty for the defaults."""
        told = ("mode", "best_of", "sampling", "seed")
        changed = [one for one in fields(self) if one.name in told and getattr(self, one.name) != one.default]
        ordered = sorted(changed, key=lambda one: told.index(one.name))
        return "".join(f" {one.name}={getattr(self, one.name)}" for one in ordered)


@dataclass(frozen=True)
class ServerAccess:
    """Access to a policy server: its token, and the format of actions (None: `matrix`, which is not
    rounded)."""

    token: str | None = None
    actions: str | None = None


@dataclass(frozen=True)
class ReferencePolicy:
    """Makes a reference policy; `size` (height, width; px) and `fps` are those of the video of
    `expert-video`."""

    name: str
    size: tuple[int, int] = DEFAULT_SIZE
    fps: float = DEFAULT_FPS
    seed: int = 0

    def __call__(self) -> "Policy":
        """The policy."""
        reference = REFERENCES[self.name]
        values = {value: getattr(self, value) for value in reference.takes}
        return resolve_name(reference.place)(**values)


@dataclass(frozen=True)
class ServedPolicy:
    """Makes the client of a policy server; one that serves another policy than `serves` is refused (None:
    any is taken)."""

    uri: str
    access: ServerAccess = ServerAccess()
    serves: str | None = None

    def __call__(self) -> "Policy":
        """The client; it sends nothing before the first request."""
        from action_images.serving.client import RemotePolicy

        actions = self.access.actions or "matrix"
        # Ask a judged policy in unknown words too: its failures then count.
        return RemotePolicy(
            self.uri,
            token=self.access.token,
            timeout_s=PLAN_S,
            actions=actions,
            known_words="none",
            serves=self.serves,
        )


@dataclass(frozen=True)
class ModelsPolicy:
    """Loads the policy of a folder of models; `holds` is the `models_name` that it must have (None: any)."""

    folder: Path
    planning: Planning = Planning()
    holds: str | None = None

    def __call__(self) -> "Policy":
        """The policy; raises ActionImagesError if the folder's models cannot plan in this way, WeightsChanged
        if they are others than `holds`."""
        from action_images.baselines.network import PathRegressor
        from action_images.model.bundle import answers_of

        answers_numbers = answers_of(self.folder) == PathRegressor.answers
        policy = self._regression() if answers_numbers else self._generation()
        self._check_weights()
        return policy

    def _check_weights(self) -> None:
        """Called once the models are loaded: a training may replace them at any time before."""
        from action_images.model.shipped import models_name

        if self.holds is not None and (now := models_name(str(self.folder))) != self.holds:
            raise WeightsChanged(
                f"{self.folder}: now holds '{now}', no longer '{self.holds}', as a training replaces its "
                "models: copy the folder, and give results of the copy a folder of their own"
            )

    def _regression(self) -> "Policy":
        """The baseline that answers in numbers: small deterministic networks, which stay float32."""
        from action_images.baselines.policy import VectorPolicy

        planning = self.planning
        if planning.best_of != 1:
            raise ActionImagesError(
                f"{self.folder}: gives the same plan each time, so there is no best of {planning.best_of}; "
                "leave --best-of out"
            )
        if planning != Planning(device=planning.device):
            raise ActionImagesError(
                f"{self.folder}: answers in numbers of float32 and imagines nothing; "
                f"leave {', '.join(set(planning.options()) - {'--device'})} out"
            )
        return VectorPolicy.load(self.folder, planning.device)

    def _generation(self) -> "Policy":
        from action_images.policy import BestOf, GenerativePolicy

        planning = self.planning
        if planning.imagine and planning.mode != "joint":
            raise ActionImagesError(
                "--imagine decodes the imagined video, and --mode policy imagines none; give --mode joint"
            )
        policy = GenerativePolicy.load(
            self.folder,
            planning.device,
            planning.sampling,
            planning.dtype,
            compiled=planning.compiled,
            shared_by=planning.shared_by,
            mode=planning.mode,
            wanted=("video", "action") if planning.imagine else ("action",),
            seed=planning.seed,
        )
        return policy if planning.best_of == 1 else BestOf(policy, planning.best_of)


Maker = ReferencePolicy | ServedPolicy | ModelsPolicy
"""Makes a policy when it is called. Can be pickled to other processes; equal makers make equal policies."""


@dataclass(frozen=True)
class NamedPolicy:
    """A policy that can be made, with its name in results."""

    name: str
    make: Callable[[], "Policy"]
    image_size: tuple[int, int]
    """Height and width (px) of its images by default: those of its training, if it was trained."""
    fps: float
    plans_on_clips: bool = True
    """Whether size and rate decide what it plans."""

    @property
    def clips(self) -> tuple[int, int, float] | None:
        """Height, width (px) and frames per second of the clips that it plans on; None if it plans on
        none."""
        return (*self.image_size, self.fps) if self.plans_on_clips else None

    def tried(self) -> "NamedPolicy":
        """The same, after making it once, so that errors appear here and not in every worker."""
        self.make()
        return self


def maker_of(given: str, planning: Planning = Planning(), access: ServerAccess = ServerAccess()) -> Maker:
    """The maker of the policy of this name. Loads no models and no torch.

    Raises ActionImagesError if options do not fit this kind of policy, or if there is no such folder.
    """
    _check_access(given, access)
    if given in REFERENCES:
        return _reference(given, planning)
    if given.startswith(SERVER_SCHEMES):
        _refuse_planning(given, planning.options())
        return ServedPolicy(given, access)
    return ModelsPolicy(_folder(given), planning)


def load_policy(
    given: str | Path = "shipped",
    planning: Planning = Planning(),
    access: ServerAccess = ServerAccess(),
) -> "Policy":
    """The policy of this name, ready to plan: `shipped`, a folder of models, ws://HOST:PORT or a reference.

    Raises as `maker_of` does.
    """
    return maker_of(str(given), planning, access)()


def policy_named(
    given: str,
    planning: Planning = Planning(),
    access: ServerAccess = ServerAccess(),
    *,
    reference_size: tuple[int, int] | None = None,
) -> NamedPolicy:
    """The policy of this name, with its name in results, image size and frames per second; no weights are
    loaded.

    A server is asked for them. Its `make` raises WeightsChanged once server or folder have other weights.
    `reference_size` (height, width; px) is the size of the images that references
    see and draw. Raises as `maker_of` does, if a folder lacks the clips of its models' training, or if no
    server answers.
    """
    maker = maker_of(given, planning, access)
    if isinstance(maker, ServedPolicy):
        return _served(maker)
    if isinstance(maker, ModelsPolicy):
        return _modelled(given, maker)
    size = reference_size or DEFAULT_SIZE
    make = ReferencePolicy(given, size, DEFAULT_FPS, maker.seed)
    name = given + (f" seed={maker.seed}" if maker.seed else "")
    return NamedPolicy(name, make, size, DEFAULT_FPS, plans_on_clips="fps" in REFERENCES[given].takes)


def name_of(given: str, planning: Planning = Planning()) -> str:
    """The name of a reference or a folder's policy in results: from its weights, and from options that change
    its plans."""
    from action_images.model.shipped import models_name

    called = given if given in REFERENCES else models_name(given, planning.dtype)
    return called + planning.suffix()


def _reference(given: str, planning: Planning) -> ReferencePolicy:
    # Of a reference, only the random seed can be chosen.
    chosen = {"--seed"} & {f"--{value}" for value in REFERENCES[given].takes}
    _refuse_planning(given, [name for name in planning.options() if name not in chosen])
    return ReferencePolicy(given, seed=planning.seed)


def _refuse_planning(given: str, options: list[str]) -> None:
    if not options:
        return
    why = (
        "is told so where it is started" if given.startswith(SERVER_SCHEMES) else "has none, so leave it out"
    )
    raise ActionImagesError(f"{', '.join(options)}: is for a folder of models; '{given}' {why}")


def _check_access(given: str, access: ServerAccess) -> None:
    named = {"--token-file": access.token, "--actions": access.actions}
    options = [name for name, value in named.items() if value is not None]
    if options and not given.startswith(SERVER_SCHEMES):
        raise ActionImagesError(
            f"{', '.join(options)}: is for a policy server (ws://HOST:PORT), not for '{given}'"
        )


def _folder(given: str) -> Path:
    from action_images.model.shipped import models_folder

    folder = models_folder(given)
    if not folder.is_dir():
        raise ActionImagesError(
            f"there is no policy '{given}'; give a folder of models, `shipped`, ws://HOST:PORT, "
            f"or one of {', '.join(REFERENCES)}"
        )
    # Use the absolute path, since a worker may have another working directory.
    return folder.resolve()


def _modelled(given: str, maker: ModelsPolicy) -> NamedPolicy:
    from action_images.model.bundle import load_clips
    from action_images.model.shipped import models_name

    clips = load_clips(maker.folder)
    if clips is None:
        raise ActionImagesError(
            f"{maker.folder}: does not say what clips its models were trained on; save them with clips"
        )
    make = replace(maker, holds=models_name(str(maker.folder)))
    return NamedPolicy(name_of(given, maker.planning), make, clips.size, clips.fps)


def _served(maker: ServedPolicy) -> NamedPolicy:
    """The server's description of its policy."""
    from action_images.serving.client import RemotePolicy

    client = maker()
    assert isinstance(client, RemotePolicy)
    with client:
        said = client.metadata
    size, fps = said.get("image_size"), said.get("fps")
    height, width = size if isinstance(size, list) and len(size) == 2 else DEFAULT_SIZE
    rate = float(fps) if isinstance(fps, int | float) and fps > 0 else DEFAULT_FPS
    # Another model behind the same address is another policy.
    serves = str(said["policy"]) if said.get("server") == "action-images" else None
    name = maker.uri if serves is None else f"{serves} at {maker.uri}"
    name += "" if maker.access.actions is None else f" actions={maker.access.actions}"
    return NamedPolicy(name, replace(maker, serves=serves), (int(height), int(width)), rate)
