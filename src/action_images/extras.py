"""The package's extras: their modules, and the command that installs what is missing."""

EXTRAS = {
    "data": ("h5py", "pyarrow"),
    "sim": ("gymnasium", "mujoco"),
    "model": ("accelerate", "diffusers", "peft", "safetensors", "transformers"),
    "serve": ("msgpack", "prometheus_client", "websockets"),
    "train": ("tensorboard",),
    "deepspeed": ("deepspeed",),
    "judge": ("cv2", "torchmetrics"),
    "ray": ("pandas", "ray"),
    "view": ("PIL", "matplotlib", "scipy"),
    "rerun": ("rerun",),
    "calibrate": ("cv2", "scipy"),
}
"""Extra of the package -> its modules. A missing module is reported with the user's own extra if that has
it, else with the first one that does."""

MODELS = ("data", "model", "view")
NEEDS = {
    "draw": (),
    "read": (),
    "envs": (),
    "compare, report, inspect-codec": ("view",),
    "calibrate": ("calibrate",),
    "import, check": ("data",),
    "view": ("data", "view"),
    "tasks, watch, record, replay": ("sim", "data", "view"),
    "describe, convert-weights, fetch-weights": ("model",),
    "train, train-autoencoder, train-painter": ("train", *MODELS),
    "generate, imagine, simulate, label, encode, judge-confidence": MODELS,
    "judge-clips": ("judge", *MODELS),
    "demo, evaluate, judge-plans, judge-simulator": ("sim", *MODELS),
    "serve": ("serve", *MODELS),
}
"""Commands -> the extras that they need."""


def cure_of(error: ModuleNotFoundError, user: str = "") -> str | None:
    """How to install a missing package, in words; None for a package of no extra.

    If several extras provide it, the one named like its `user` is preferred.
    """
    missing = (error.name or "").partition(".")[0]
    extra = next((name for name in (user, *EXTRAS) if missing in EXTRAS.get(name, ())), None)
    if extra is None:
        return None
    return f"needs {missing}, which is not installed; the extra '{extra}' brings it: {install_line(extra)}"


def install_line(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'action-images[{extra}]', in a clone pip install '.[{extra}]'"
