"""Choose the device and dtype of a command before anything is loaded, and print them in one line."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from action_images.errors import ActionImagesError


@runtime_checkable
class _Placeable(Protocol):
    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> Any: ...


if TYPE_CHECKING:
    from action_images.policies import Planning

Options = TypeVar("Options", bound=_Placeable)


def placed(options: Options, *, on_cluster: bool = False) -> Options:
    """The options (a dataclass with `device` and `dtype`) with an available device and dtype, and print both.

    A cluster's workers have devices of their own: a named device is passed on as it is, and `auto` becomes
    the device of this machine. Prints on stderr. Raises ActionImagesError as `device.place_of` does.
    """
    from action_images.device import dtype_name, place_of

    if on_cluster and options.dtype == "auto":
        raise ActionImagesError(
            "--dtype auto measures this machine, and the cluster's workers are others; "
            "give --dtype float32 or bfloat16"
        )
    if on_cluster and options.device != "auto":
        return options
    place = place_of(options.device, options.dtype)
    print(place.line, file=sys.stderr)
    device = place.device.type if on_cluster else str(place.device)
    return replace(options, device=device, dtype=dtype_name(place.dtype))  # type: ignore[type-var]


def planning_placed(policy: str, planning: "Planning") -> "Planning":
    """`placed` options for a policy's models; unchanged for a policy that runs no models here."""
    from action_images.policies import REFERENCES, SERVER_SCHEMES

    return planning if policy in REFERENCES or policy.startswith(SERVER_SCHEMES) else placed(planning)
