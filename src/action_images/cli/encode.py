"""Encode a data set with a model's frozen parts before training, here or on many machines.

action-images encode dataset --cache latents
action-images encode dataset --cache latents --model run/model --on ray --workers 8
"""

from typing import Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import GivenDataset, GivenModels, OutFolder
from action_images.terminal.refusals import above_zero


def main(
    dataset: Annotated[GivenDataset, tyro.conf.Positional],
    cache: OutFolder,
    model: GivenModels = "shipped",
    views: tuple[str, ...] = (),
    frames: int | None = None,
    stride: int | None = None,
    step: int | None = None,
    device: str = "auto",
    on: Literal["local", "processes", "ray"] = "local",
    workers: int | None = None,
    threads: int = 1,
    num_views: int | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    *,
    mirror: bool = False,
    check: bool = False,
) -> int:
    """Fill CACHE with the latents of every window of a data set and the embeddings of its instructions; the
    same command resumes a stopped run.

    `action-images train RECIPE --latents CACHE` reads them (docs/scale.md).

    Args:
        dataset: a LeRobotDataset v3.
        model: folder of saved models, or `shipped`; its autoencoder is used, at the image size of its clips.
        cache: folder to write to, shared by everything that is encoded.
        views: which views; all if not given.
        frames: frames of a window; the model's own if not given.
        stride: windows take every n-th frame of the recording, instead of about 5 per second, which
            `action-images train --data` takes of a single set too.
        step: frames of the recording from the start of one window to the next; windows do not overlap if not
            given. `action-images train --data` starts one at every frame: `--step 1`.
        device: where the autoencoder runs: cuda, cuda:1, mps, cpu, or auto for the first one available.
        on: `local` in this process, in several `processes` of this machine, or on workers of a `ray` cluster
            (docs/scale.md); the latents are the same to the byte.
        workers: how many workers; as many as there are cards, or as the cluster has room for, if not given.
        threads: processor threads of each worker; another number may change last digits.
        num_views: encode each choice of this many views in each order, as training draws them; all views in
            the given order if not given. Latents are stored by view; camera inputs depend on the order.
        dtype: precision of the frozen parts: the recipe's `autoencoder_dtype` and `text_dtype`.
        mirror: also encode mirror images, for recipes with `mirror`.
        check: after encoding, read everything that the cache holds and name what is damaged.
    """
    above_zero({"frames": frames, "stride": stride, "step": step, "num-views": num_views})
    from action_images.episodes.dataset import Dataset
    from action_images.model.bundle import load_clips
    from action_images.model.shipped import models_folder
    from action_images.parallel.cluster import executor_named
    from action_images.samples.latent_cache import damaged, entries
    from action_images.samples.window import Cutting
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import counting
    from action_images.training.latents import Encoding, encode_dataset
    from action_images.training.own_data import common_strides, taken

    folder = models_folder(model)
    clips = load_clips(folder)
    if clips is None:
        raise ActionImagesError(
            f"{model}: does not say what clips it was trained on, so their size is not known; name another "
            "model"
        )
    device = ModelOptions(model, device=device, dtype=dtype).placed(on_cluster=on == "ray").device
    told = PlainConsole(stderr=True)
    source = Dataset(dataset)
    if stride is None:
        (stride,) = common_strides([source.fps], [str(dataset)])
        told.print(f"{dataset}: {taken(source.fps, stride)}", soft_wrap=True)
    length = clips.num_frames if frames is None else frames
    cutting = Cutting(length, stride, length * stride if step is None else step)
    encoding = Encoding(
        dataset,
        folder,
        cache,
        views or source.view_names,
        cutting,
        clips.size,
        device,
        num_views=num_views,
        dtype=dtype,
        mirror=mirror,
    )
    executor = executor_named(on, workers, threads, device)
    with counting("encoding") as tell:
        total = encode_dataset(encoding, tell, executor)
    size = sum(path.stat().st_size for path in entries(cache))
    PlainConsole().print(f"{total} windows, {size / 1e9:.3f} GB: {cache}", soft_wrap=True)
    problems = list(damaged(cache)) if check else []
    for problem in problems:
        told.print(problem, soft_wrap=True)
    return 1 if problems else 0
