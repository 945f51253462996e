"""The one door to MuJoCo: chooses how images are rendered, and says what is missing where they cannot be."""

import os
import sys

CURE = (
    "install the OpenGL libraries (Debian and Ubuntu: 'apt-get install libegl1 libgl1' for MUJOCO_GL=egl, "
    "'apt-get install libosmesa6' for MUJOCO_GL=osmesa) and set MUJOCO_GL to egl, osmesa or, on a desktop, glfw"
)


class RenderingError(OSError):
    """This machine cannot render as MUJOCO_GL asks; the message names the cure."""


def open_door() -> None:
    """Import MuJoCo with MUJOCO_GL=egl on Linux unless the user chose otherwise.

    Raises RenderingError, naming MUJOCO_GL and the packages to install, where its OpenGL libraries cannot be loaded.
    """
    if sys.platform == "linux":
        # MuJoCo reads it once, when it is imported, and its own default on Linux needs a screen.
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "mujoco":
            raise cannot_render(error) from error
        raise RenderingError("the embedded world needs MuJoCo: pip install 'action-images[sim]'") from error
    except Exception as error:  # PyOpenGL fails with whatever the missing library leaves behind
        raise cannot_render(error) from error


def cannot_render(error: Exception) -> RenderingError:
    """The one clear sentence for any failure of OpenGL."""
    chosen = os.environ.get("MUJOCO_GL")
    how = f"MUJOCO_GL={chosen}" if chosen else "MUJOCO_GL unset"
    return RenderingError(f"MuJoCo cannot render with {how} ({type(error).__name__}): {CURE}")
