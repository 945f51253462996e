"""Judge a model's clips, all modes of it, on a recorded data set: videos, paths and tracks, with floors and ceilings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.episodes.dataset import Dataset
    from action_images.evaluation.clip_modes import Answerer, Row
    from action_images.geometry import Trajectory
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.samples.sample import Sample

SHOWN = (
    "path mm",
    "path deg",
    "with video %",
    "grip F1",
    "track px",
    "jaccard@4",
    "average jaccard",
    "psnr dB",
    "ssim",
)
PLAIN = ("policy", "joint", "second_view")
"""Modes that are judged with the true instruction alone."""
SHOWN_THE_ANSWER = ("label", "label_from_nothing", "simulate")
"""Modes whose answer is determined by what they are shown, whatever they are told."""
MODES_JUDGED = PLAIN + SHOWN_THE_ANSWER


def main(
    dataset: Annotated[Path, tyro.conf.Positional],
    out: Path,
    model: str = "shipped",
    windows: int = 64,
    mode: tuple[str, ...] = (),
    views: tuple[str, ...] = (),
    seed: int = 0,
    sampling: str | None = None,
    lpips: bool = False,
    fvd: bool = False,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Write OUT/clips.json and OUT/clips.md: every figure with its 95 % bootstrap interval over windows, and print the main ones.

    Windows of one clip are taken evenly over the data set. Every mode is judged on the same ones. 'label',
    'label_from_nothing' and 'simulate' are judged with the true instruction, none, and one of another window that
    says something else (where there is one): a model that follows the text instead of what it is shown is found out by the
    difference. 'with video %' says how many poses of such labels lie nearer to the recorded path than to what the model plans by the
    other instruction, where these two are 4 cm apart or more.
    'still' is the floor (the first image and pose again and again), 'codec' the ceiling (what was recorded through the
    autoencoder and the reader), 'lucas-kanade' a point tracker without learning.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views and tool poses that the model was not trained on.
        model: folder of saved models, or `shipped`, which know the embedded world alone.
        out: folder to write to.
        windows: how many clips are judged.
        mode: names of the modes to judge, for a model that has not learnt all of them; all if not given.
        views: which views; the first two if not given.
        seed: of the noise; the same seed gives the same figures.
        sampling: how to sample, a name of generation.GENERATIONS; the model's own if not given.
        lpips: also LPIPS, which needs torchvision and weights that it downloads.
        fvd: also FVD, which needs cd-fvd and weights that it downloads, clips of at least 10 frames, and hundreds of windows.
        device: where the model runs, such as cuda or cpu.
        dtype: of the transformer and the language model.
    """
    import json

    # Also what is imported late: an hour of judging must not end in an error.
    import cv2  # noqa: F401
    import torch
    import torchmetrics  # noqa: F401
    from rich.console import Console
    from rich.progress import track

    from action_images.cli.serve import in_dtype
    from action_images.episodes.dataset import Dataset
    from action_images.evaluation import clip_modes as generation
    from action_images.evaluation import video_metrics
    from action_images.files.atomic import commit_file
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.model.shipped import models_folder, models_name

    if unknown := sorted(set(mode) - {*MODES_JUDGED}):
        raise ActionImagesError(
            f"--mode: nothing is judged by the name {', '.join(unknown)}; there are: {', '.join(MODES_JUDGED)}"
        )
    generator = ClipGenerator.load(models_folder(model), device, sampling, getattr(torch, dtype))
    source = Dataset(dataset)
    chosen = views or source.view_names[:2]
    if len(chosen) < 2:
        raise ActionImagesError(
            f"{dataset}: paths are read from at least two views, {', '.join(chosen)} is one; name more with --views"
        )
    # What needs weights is loaded first, for the same reason.
    extra = {"lpips": video_metrics.load_lpips()} if lpips else {}
    distance = video_metrics.load_fvd(generator.clips.num_frames, device) if fvd else None
    pairs = clips(source, generator, chosen, windows)
    others = {id(window): other for window, other in pairs}
    shown = track([window for window, _ in pairs], "judging", console=Console(stderr=True))
    asked, videos = modes(generator, others, seed, mode or MODES_JUDGED), {}
    if distance is not None:
        asked = {name: generation.kept(mode, videos.setdefault(name, [])) for name, mode in asked.items()}
    measured = generation.judge(shown, asked, extra)
    horizons = (1, generator.clips.num_frames // 2, -1)
    rows = [
        row for mode, of_mode in measured.items() for row in generation.rows(mode, of_mode, chosen, horizons)
    ]
    if distance is not None:
        rows += [generation.set_row(mode, "fvd", distance, made) for mode, made in videos.items() if made]
    out.mkdir(parents=True, exist_ok=True)
    called = models_name(model) + in_dtype(dtype)
    about = {
        "dataset": dataset.resolve().name,
        "model": called,
        "views": chosen,
        "windows": len(pairs),
        "seed": seed,
    }
    for name, text in (
        ("clips.json", json.dumps({**about, "rows": generation.as_json(rows)}, indent=1) + "\n"),
        ("clips.md", markdown(rows)),
    ):
        part = out / f"{name}.part"
        part.write_text(text)
        commit_file(part, out / name)
    Console().print(table(rows, len(pairs)))
    Console().print(f"written: {out / 'clips.json'}, {out / 'clips.md'}", soft_wrap=True)


def clips(
    source: "Dataset", generator: "ClipGenerator", views: tuple[str, ...], number: int
) -> "list[tuple[Sample, str | None]]":
    """Windows of one clip, evenly over the data set, each with an instruction of another that says something else."""
    from action_images.inference.pacing import paced, recording

    if number < 1:
        raise ActionImagesError(f"judge at least one window, not {number}")
    length, places = generator.clips.num_frames, []
    for index in range(len(source)):
        frames = paced(source.length(index), source.fps, generator.clips.fps)
        places += [
            (index, frames[start : start + length])
            for start in range(0, len(frames) - length + 1, length - 1)
        ]
    if not places:
        raise ActionImagesError(
            f"{source.path}: no episode is as long as a clip of the model ({length} frames at {generator.clips.fps:g}/s)"
        )
    number, windows = min(number, len(places)), []
    for index, frames in (places[turn * len(places) // number] for turn in range(number)):
        episode = source[index]
        if episode.trajectory is None:
            raise ActionImagesError(
                f"{episode.id}: has no tool poses, so nothing can be compared with them; judge on a data set that has"
            )
        windows.append(recording(episode, views, frames, generator.clips.size))
    told = [window.instruction for window in windows]
    different = [
        next((other for other in told[i:] + told[:i] if other not in (None, one)), None)
        for i, one in enumerate(told)
    ]
    return list(zip(windows, different, strict=True))  # pyright: ignore[reportReturnType]


def modes(
    generator: "ClipGenerator", others: "dict[int, str | None]", seed: int, modes: tuple[str, ...]
) -> "dict[str, Answerer]":
    """Name -> what it makes of a window; names of modes, with what the text says where that is tried."""
    from functools import partial

    import torch

    from action_images.canvas import MODES
    from action_images.evaluation import clip_modes as generation
    from action_images.inference.confidence import known_path
    from action_images.samples.sample import collate

    def generated(window: "Sample", mode: str, text: str) -> generation.Answer:
        instruction = {"true": window.instruction, "empty": None, "contradictory": others[id(window)]}[text]
        scene = generation.told(window, instruction if not isinstance(instruction, tuple) else instruction[0])
        prediction = generator.generate(collate([scene]), mode, [seed])
        whole = MODES[mode].video_frames is None and mode not in ("label", "label_from_nothing")
        made = prediction.video[0] if whole and prediction.video is not None else None
        if made is not None and mode == "second_view":
            made = torch.cat(
                [torch.full_like(made[:1], torch.nan), made[1:]]
            )  # what was shown whole is no achievement
        asked = mode != "simulate" and prediction.reading is not None
        path = known_path(prediction)[0] if asked else None
        # What the other instruction asks for only a model that plans can say.
        rival = (
            planned(id(window), scene) if text == "contradictory" and asked and "policy" in modes else None
        )
        return generation.Answer(made, path, told=rival)

    plans: dict[int, Trajectory] = {}

    def planned(number: int, scene: "Sample") -> "Trajectory":
        if number not in plans:
            plans[number] = known_path(generator.generate(collate([scene]), "policy", [seed]))[0]
        return plans[number]

    def codec(window: "Sample") -> generation.Answer:
        pipeline = generator.pipeline
        canvas, condition = pipeline.encode(
            collate([window]).to(generator.device), MODES["joint"], generator.clips.num_frames
        )
        assert window.cameras is not None
        shown = pipeline.decode(canvas, condition, window.cameras[None].to(generator.device)).to("cpu")
        assert shown.video is not None
        return generation.Answer(shown.video[0], known_path(shown)[0])

    asked: dict[str, Answerer] = {
        mode: partial(generated, mode=mode, text="true") for mode in PLAIN if mode in modes
    }
    texts = ("true", "empty") if None in others.values() else ("true", "empty", "contradictory")
    for mode in (one for one in SHOWN_THE_ANSWER if one in modes):
        for text in texts:
            asked[f"{mode}, {text} text"] = partial(generated, mode=mode, text=text)
    return {"codec": codec, "still": generation.still, "lucas-kanade": generation.tracked, **asked}


def table(rows: "list[Row]", num_windows: int):
    """The main figures over all views and frames."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(
        title=f"{num_windows} windows: medians of path errors, means of the rest",
        box=SIMPLE,
        padding=(0, 0, 0, 1),
    )
    for heading in ("mode", *SHOWN):
        # In a narrow terminal names are wrapped, never figures.
        made.add_column(
            heading.replace(" ", "\n"),
            justify="left" if heading == "mode" else "right",
            no_wrap=heading != "mode",
            overflow="fold",
        )
    for mode in dict.fromkeys(row.mode for row in rows):
        cells = {
            row.figure: f"{row.value:.3g}"
            for row in rows
            if row.mode == mode and (row.view, row.frame) == ("all", "all")
        }
        made.add_row(mode, *(cells.get(name, "") for name in SHOWN))
    return made


def markdown(rows: "list[Row]") -> str:
    """Every figure as a table for a page."""
    lines = ["| mode | figure | view | frame | value | 95 % interval |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.mode} | {row.figure} | {row.view} | {row.frame} | {row.value:.4g} | {row.low:.4g} to {row.high:.4g} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"
