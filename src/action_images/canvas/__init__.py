"""The input of the video model: latent segments side by side in time, some of them given."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from action_images.canvas.canvas import Canvas
    from action_images.canvas.layout import Layout, Segment
    from action_images.canvas.modes import MODES, Mode, Show

__all__ = ["MODES", "Canvas", "Layout", "Mode", "Segment", "Show"]


def __getattr__(name: str) -> Any:
    """The names above; torch is imported only when one of them is used, not for `canvas.shown`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from action_images.canvas import canvas, layout, modes

    home = next(module for module in (modes, layout, canvas) if hasattr(module, name))
    return getattr(home, name)
