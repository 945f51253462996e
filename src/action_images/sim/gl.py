"""MuJoCo's graphics: OpenGL contexts for rendering, and errors that name missing libraries."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import atexit
import importlib
import os
import sys
import threading
from collections import deque
from typing import Any

CURE = (
    "install the OpenGL libraries (Debian and Ubuntu: 'apt-get install libegl1 libgl1' for MUJOCO_GL=egl, "
    "'apt-get install libosmesa6' for MUJOCO_GL=osmesa) "
    "and set MUJOCO_GL to egl, osmesa or, on a desktop, glfw"
)
FORKED = (
    "this process was forked from one that had already rendered, and OpenGL does not survive a fork: start "
    "processes by 'spawn' (gymnasium.make_vec(..., vector_kwargs={'context': 'spawn'}), "
    "multiprocessing.get_context('spawn')), or fork before the first image is rendered"
)
MAX_SIDE_PX = 1024


class RenderingError(OSError):
    """This machine cannot render with this MUJOCO_GL; the message names a solution."""


def load_mujoco() -> None:
    """Import MuJoCo with MUJOCO_GL=egl on Linux unless the user chose otherwise.

    Raises RenderingError, naming MUJOCO_GL and the packages to install, if its OpenGL libraries cannot be
    loaded.
    """
    if sys.platform == "linux":
        # MuJoCo reads it only when it is imported, and its own default on Linux needs a screen.
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import gymnasium  # noqa: F401
        import mujoco  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("gymnasium", "mujoco"):
            raise _cannot_render(error) from error
        raise RenderingError(
            f"the embedded world needs {error.name}: pip install 'action-images[sim]'"
        ) from error
    except Exception as error:  # PyOpenGL raises various errors if a library is missing
        raise _cannot_render(error) from error


def _cannot_render(error: Exception) -> RenderingError:
    chosen = os.environ.get("MUJOCO_GL")
    how = f"MUJOCO_GL={chosen}" if chosen else "MUJOCO_GL unset"
    return RenderingError(f"MuJoCo cannot render with {how} ({type(error).__name__}): {CURE}")


def _require_device() -> None:
    """Raise RenderingError if MUJOCO_EGL_DEVICE_ID names no EGL device of this machine."""
    chosen = os.environ.get("MUJOCO_EGL_DEVICE_ID")
    if chosen is None or os.environ.get("MUJOCO_GL", "").lower() != "egl":
        return
    num_devices = len(importlib.import_module("mujoco.egl").EGL.eglQueryDevicesEXT())
    if chosen not in map(str, range(num_devices)):
        raise RenderingError(
            f"MUJOCO_EGL_DEVICE_ID={chosen} names no EGL device: this machine has {num_devices}, counted "
            "from 0; set it to one of these, or unset it to take the first that works"
        )


def _context_class() -> Any:
    import mujoco

    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen in ("egl", "osmesa"):
        # Chosen by name: if MuJoCo was imported before this package, mujoco.GLContext needs a screen.
        return importlib.import_module(f"mujoco.{chosen}").GLContext
    return mujoco.GLContext


class Graphics:
    """One thread's OpenGL context, shared by all the models that it renders.

    MuJoCo frees a model's textures in the OpenGL context that is current. With one context for each renderer,
    closing one renderer would damage another.
    """

    def __init__(self):
        self._process, self._thread = os.getpid(), threading.get_ident()
        self._contexts, self._dropped = set(), deque()
        try:
            _require_device()
            self._gl: Any = _context_class()(MAX_SIDE_PX, MAX_SIDE_PX)
            self._gl.make_current()
        except RenderingError:
            raise
        except Exception as error:  # EGL, OSMesa and GLFW each fail in their own way
            raise _cannot_render(error) from error
        # MuJoCo ends EGL when the process exits; this is registered later, so it runs before that.
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave)

    def context(self, model: Any) -> Any:
        """MuJoCo's rendering context of a model (mujoco.MjrContext)."""
        import mujoco

        self._gl.make_current()
        self._free_dropped()
        try:
            context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except mujoco.FatalError as error:  # GLFW without a screen gets this far
            raise _cannot_render(error) from error
        self._contexts.add(context)
        return context

    def use(self, context: Any) -> None:
        """Make it the target of the next rendering."""
        import mujoco

        if self.forked:
            raise RenderingError(FORKED)
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "images are rendered in the thread that rendered first; "
                "give each thread an environment of its own"
            )
        self._gl.make_current()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)

    def free(self, context: Any) -> None:
        """Free its memory; repeated calls are harmless.

        In another thread, such as the garbage collector's, this is postponed to this thread. In a process
        forked from this one nothing is done, as the memory belongs to the parent.
        """
        if self.forked:
            return
        if threading.get_ident() != self._thread:
            self._dropped.append(context)
        elif context in self._contexts:
            self._contexts.remove(context)
            self._gl.make_current()
            context.free()

    @property
    def forked(self) -> bool:
        """Whether this process was forked from the one that made the context."""
        return os.getpid() != self._process

    def _free_dropped(self) -> None:
        while self._dropped:
            self.free(self._dropped.popleft())

    def _leave(self) -> None:
        """In a forked process, keep MuJoCo from touching this context at exit, which would hang."""
        self._gl.free = _nothing
        if os.environ.get("MUJOCO_GL", "").lower() == "egl":
            atexit.unregister(importlib.import_module("mujoco.egl").EGL.eglTerminate)

    def _end(self) -> None:
        if self.forked:
            return
        # Another thread's context cannot be made current here, so it is freed as a whole.
        if threading.get_ident() == self._thread:
            for context in list(self._contexts):
                self.free(context)
        self._gl.free()


def _nothing() -> None:
    pass


_threads = threading.local()
_rendering_process: int | None = None
"""The process that has a context: this one, or the one that it was forked from."""


def graphics() -> Graphics:
    """This thread's OpenGL context, made at the first call.

    Raises RenderingError if there can be none: without OpenGL, or in a process that was forked after this or
    another thread had rendered.
    """
    global _rendering_process
    if _rendering_process not in (None, os.getpid()):
        raise RenderingError(FORKED)
    if not hasattr(_threads, "graphics"):
        _threads.graphics = Graphics()
        _rendering_process = os.getpid()
    return _threads.graphics
