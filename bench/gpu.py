"""What a card does with this project: the same numbers as the CPU, and how fast; `make gpu`.

At most `--minutes`. Sections are taken one after the other, each by itself: what fails, does not fit into
memory or would take too long is named, and the rest goes on. The JSON is written after each row. MFU is the
share of the matrix peak, as measured here, that a network's own operations (`model.cost`) reach.
"""

import argparse
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from action_images.canvas import MODES
from action_images.canvas.shown import SHOWN
from action_images.codec import draw
from action_images.device import Place, dtype_name, place_of
from action_images.diffusion.sampler import Sampling, sample
from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.files.atomic import write_json
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_euler_xyz
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.generation import Generation
from action_images.inference.stages import Stages
from action_images.model import cost
from action_images.model.budget import Clip, Setting, budget
from action_images.model.build import build, build_autoencoder, build_transformer
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import PRESETS, Preset
from action_images.model.shipped import SHIPPED, models_folder
from action_images.model.text import HashedWords
from action_images.samples.loader import load
from action_images.samples.sample import Sample
from action_images.training.batches import layout_kind, noised_batches
from action_images.training.recipe import SourceRecipe
from action_images.training.recipes import DEBUG
from action_images.training.train import Run

CONSOLE = Console(width=150)
WORDS = 24
SEED = 0
FLOAT32_BOUND, BFLOAT16_BOUND = 1e-3, 0.08
"""How far numbers may lie from the CPU's float32, as a share of their spread: order of sums, and 8 bits."""
SHARE_OF_MEMORY = 0.85
"""A model is tried where what `describe` says for it takes less of the free memory."""
SHARE_OF_TIME = 0.3
"""A section is begun where it should take less of the time that is left."""
TRIED = ("debug", "tiny", "base", "wan2.1-1.3b", "wan2.2-5b")


class Skipped(Exception):
    """A row that was left out, and why."""


@dataclass
class Session:
    """One run of the script: where, until when, and what was found so far."""

    place: Place
    stop: float
    out: Path
    peak: dict[str, float] = field(default_factory=dict)
    """Operations a second that large products of matrices reach, by dtype."""
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The card, or the CPU."""
        return self.place.device

    @property
    def left_s(self) -> float:
        """Seconds left."""
        return self.stop - time.monotonic()

    def section(self, name: str, rows: Callable[["Session"], Iterator[dict[str, Any]]]) -> None:
        """Take a section's rows as they come, print and keep them; nothing that goes wrong goes further."""
        self.found[name] = []
        if self.left_s <= 0:
            self._add(name, {"what": name, "left out": "no time left"})
        else:
            try:
                for row in rows(self):
                    self._add(name, row)
            except Skipped as error:
                self._add(name, {"what": name, "left out": str(error)})
            except Exception as error:
                self._add(name, {"what": name, "failed": f"{type(error).__name__}: {error}"[:500]})
                CONSOLE.print(traceback.format_exc(), markup=False, highlight=False)
        _print(name, self.found[name])

    def _add(self, name: str, row: dict[str, Any]) -> None:
        self.found[name].append(row)
        write_json(self.out, self.found, indent=1)

    def seconds(self, flops: float, dtype: torch.dtype) -> float:
        """How long so many operations should take at a fifth of the peak."""
        return 5 * flops / self.peak[dtype_name(dtype)]

    def need(self, name: str, *, bytes_: float = 0, seconds: float = 0) -> None:
        """Raise Skipped where memory or time do not suffice."""
        free = _free_memory(self.device)
        if bytes_ > SHARE_OF_MEMORY * free:
            raise Skipped(f"{name} takes {bytes_ / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
        if seconds > SHARE_OF_TIME * self.left_s:
            raise Skipped(f"{name} may take {seconds:.0f} s, {max(self.left_s, 0):.0f} s are left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--json", type=Path, default=Path("bench/results/gpu.json"))
    asked = parser.parse_args()
    place = place_of(asked.device)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    session = Session(place, time.monotonic() + 60 * asked.minutes, asked.json)
    CONSOLE.print(place.line)
    session.section("card", card)
    session.section("equal", equal)
    session.section("plans", plans)
    session.section("training", training)
    session.section("compiled", compiled)
    CONSOLE.print(f"written: {asked.json}", soft_wrap=True)


def dtypes_of(session: Session) -> list[torch.dtype]:
    """float32, and bfloat16 where the device has it."""
    return [torch.float32, *([torch.bfloat16] if session.device.type == "cuda" else [])]


def card(session: Session) -> Iterator[dict[str, Any]]:
    """What the device is, and its matrix peaks."""
    device = session.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    memory_gb = _free_memory(device) / 1e9
    yield {"what": name, "free GB": memory_gb, "torch": torch.__version__, "CUDA": str(torch.version.cuda)}
    for dtype in dtypes_of(session):
        session.peak[dtype_name(dtype)] = speed = _peak(device, dtype)
        yield {"what": f"products of matrices, {dtype_name(dtype)}", "TFLOP/s": speed / 1e12}


def equal(session: Session) -> Iterator[dict[str, Any]]:
    """Numbers against the CPU's float32, as shares of their spread."""
    there = session.device
    scene = scene_of((64, 64), 9)
    here = draw(scene.trajectory, scene.cameras)
    on_card = draw(scene.trajectory.to(there), scene.cameras.to(there)).cpu()
    yield _compared("drawing, float32", on_card, here, FLOAT32_BOUND)
    folder = models_folder(SHIPPED)
    truth = _canvas(Models.load(folder), scene)
    for dtype in dtypes_of(session):
        bound = FLOAT32_BOUND if dtype is torch.float32 else BFLOAT16_BOUND
        made = _canvas(Models.load(folder, dtype).to(there), scene)
        yield _compared(f"sampler, {dtype_name(dtype)}", made, truth, bound)
    with tempfile.TemporaryDirectory() as temporary:
        dataset = write_dataset(Path(temporary) / "data", 4)
        truth = _step(Path(temporary) / "cpu", dataset, "cpu", "no")
        for dtype in dtypes_of(session):
            precision = "no" if dtype is torch.float32 else "bf16"
            made = _step(Path(temporary) / precision, dataset, str(there), precision)
            bound = FLOAT32_BOUND if dtype is torch.float32 else BFLOAT16_BOUND
            yield _compared(f"gradient of a training step, {dtype_name(dtype)}", made, truth, bound)


def plans(session: Session) -> Iterator[dict[str, Any]]:
    """Stages of a plan, tokens a second and memory, of each preset with random weights."""
    for name in TRIED:
        if name not in PRESETS:
            yield {"what": name, "left out": "there is no such preset yet"}
            continue
        dtype = torch.bfloat16 if session.device.type == "cuda" and "wan" in name else torch.float32
        try:
            yield _plan(session, name, dtype)
        except (Skipped, torch.OutOfMemoryError) as error:
            yield {"what": f"{name}, {dtype_name(dtype)}", "left out": str(error)[:200]}
        _forget(session.device)


def compiled(session: Session) -> Iterator[dict[str, Any]]:
    """Denoising with compiled blocks against plain."""
    for name in ("tiny", "wan2.2-5b"):
        dtype = torch.bfloat16 if session.device.type == "cuda" else torch.float32
        try:
            session.need(f"compiling {name}", seconds=20.0)
            generator, load = _generator(session, name, dtype, num_steps=4)
            denoise = _denoising(generator, load)
            plain = _fastest(denoise, session.device, 3)
            start = time.perf_counter()
            generator.pipeline.models.denoiser.compile_blocks()
            denoise()
            took = time.perf_counter() - start
            fast = _fastest(denoise, session.device, 3)
            yield {
                "what": f"{name}, {dtype_name(dtype)}",
                "plain ms": 1e3 * plain,
                "compiled ms": 1e3 * fast,
                "times as fast": plain / fast,
                "compiling s": took,
            }
        except (Skipped, torch.OutOfMemoryError) as error:
            yield {"what": name, "left out": str(error)[:200]}
        _forget(session.device)


def training(session: Session) -> Iterator[dict[str, Any]]:
    """Steps on canvases that are ready, whole steps, and the loader alone, in samples a second."""
    with tempfile.TemporaryDirectory() as temporary:
        dataset = write_dataset(Path(temporary) / "data", 8)
        for dtype in dtypes_of(session):
            precision = "no" if dtype is torch.float32 else "bf16"
            session.need("training", seconds=5.0)
            run = _run(
                Path(temporary) / f"run-{precision}", dataset, str(session.device), precision, batch=32
            )
            yield {"what": f"debug, {dtype_name(dtype)}", **_rates(session, run)}


def scene_of(size: tuple[int, int], num_frames: int, batch: int = 1) -> Sample:
    """A tool that moves straight before two cameras, drawn as its own video."""
    angle = torch.tensor([-0.6, 0.6])
    eye = torch.stack([1.2 * angle.cos(), 1.2 * angle.sin(), torch.full_like(angle, 0.7)], -1)
    cameras = Camera.look_at(eye, torch.tensor([0.0, 0.0, 0.1]).expand_as(eye), 0.9, size)
    generator = torch.Generator().manual_seed(SEED)
    start, stop = 0.3 * (torch.rand(2, batch, 1, 3, generator=generator) - 0.5) + torch.tensor([0, 0, 0.15])
    share = torch.linspace(0, 1, num_frames)[:, None]
    turn = torch.tensor([torch.pi, 0.0, 0.2]).expand(batch, num_frames, 3)
    opening = torch.ones(batch, num_frames)
    path = Trajectory(Pose(from_euler_xyz(turn), start + share * (stop - start)), opening)
    video = draw(path, cameras) * 0.8 - 0.2
    valid = torch.ones(batch, num_frames, dtype=torch.bool)
    moving = cameras.per_frame((batch,), num_frames)
    return Sample(video, moving, path, valid, ("push the red block",) * batch)


def write_dataset(folder: Path, num: int) -> Path:
    """Episodes of nine frames of 32 px, two views."""
    batch = scene_of((32, 32), 9, num)
    pixels = batch.video.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    with DatasetWriter(folder, fps=5) as writer:
        for number in range(num):
            views = tuple(
                View(f"view{view}", FramesInMemory(pixels[number, view]), batch.cameras[number, view, 0])
                for view in range(2)
            )
            writer.add(Episode(f"move/{number:04d}", "go there", 5.0, views, batch.trajectory[number]))
    return folder


def models_of(preset: Preset, dtype: torch.dtype, device: torch.device) -> Models:
    """Random weights that are made where they are used: no more than one copy of them is ever held."""
    if preset.hashed_words is not None:
        models = build(preset, SEED)
        models.autoencoder.fit([(scene_of(preset.size, preset.num_frames).video, 1.0)])
        _cast(models.denoiser.transformer, dtype)
        return models.to(device)
    with torch.device("meta"):
        network = build_transformer(preset)
    _cast(network, dtype)
    network.to_empty(device=device)
    _fill(network)
    config = network.config
    network.rope = WanRotaryPosEmbed(config["attention_head_dim"], config["patch_size"], 1024).to(device)
    with torch.device(device):
        autoencoder = build_autoencoder(preset)
    text = HashedWords(dim=config["text_dim"]).to(device)
    return Models(CanvasDenoiser(network.eval()), autoencoder, text)


def _cast(network: Any, dtype: torch.dtype) -> None:
    """As weights are loaded: what diffusers keeps in float32 stays so."""
    kept = set(network._keep_in_fp32_modules or ())
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if kept & set(name.split(".")) else dtype)


@torch.no_grad()
def _fill(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.normal_(0, 0.02)


def _generator(
    session: Session, name: str, dtype: torch.dtype, num_steps: int
) -> tuple[ClipGenerator, Sample]:
    """A preset's generator and a scene for it, where memory and time suffice."""
    preset = PRESETS[name]
    bytes_ = _weight_bytes(preset, dtype)
    session.need(f"{name} in {dtype_name(dtype)}", bytes_=bytes_)
    # On a processor filling takes long: some 0.2 GB a second.
    session.need(f"making {name}", seconds=bytes_ / (2e8 if session.device.type == "cpu" else 2e10))
    clips = Clips(preset.size, preset.num_frames, 10.0, preset.sampling)
    generation = Generation(Sampling(num_steps=num_steps))
    models = models_of(preset, dtype, session.device)
    scene = scene_of(preset.size, preset.num_frames)
    return ClipGenerator.of(models, clips=clips, generation=generation), scene


def _plan(session: Session, name: str, dtype: torch.dtype) -> dict[str, Any]:
    preset, device, num_steps = PRESETS[name], session.device, 4
    network = cost.Network.of(preset)
    with torch.device("meta"):
        autoencoder = build_autoencoder(preset)
    factors = (autoencoder.temporal_factor, autoencoder.spatial_factor)
    load = cost.load_of(MODES["policy"], 2, preset.num_frames, preset.size, factors, WORDS)
    flops = cost.forward_flops(network, load)
    session.need(f"{name}", seconds=4 * num_steps * session.seconds(flops, dtype))
    generator, scene = _generator(session, name, dtype, num_steps)
    shown = replace(scene, video=scene.video[:, :, :1])
    generator.generate(shown, "policy", [1], ["action"])
    _reset_peak(device)
    runs = []
    for seed in range(3):
        stages = Stages()
        generator.generate(shown, "policy", [seed], ["action"], stages)
        runs.append(stages.ms)
    ms = {}
    for stage in runs[0]:
        ms[f"{stage} ms"] = median(run[stage] for run in runs)
    denoise_s = ms["denoise ms"] / 1e3
    row = {"what": f"{name}, {dtype_name(dtype)}, {num_steps} steps", **ms}
    row["tokens/s"] = num_steps * load.num_tokens(network.patch) / denoise_s
    row["MFU %"] = 100 * num_steps * flops / denoise_s / session.peak[dtype_name(dtype)]
    clip = Clip(SHOWN["policy"], 2, preset.num_frames, preset.size)
    held = budget(preset, clip, Setting("inference", dtype=dtype_name(dtype)))
    row["weights GB"] = _weight_bytes(preset, dtype) / 1e9
    # Words are hashed here, also where a preset has a language model.
    row["described GB"] = (held.peak - held.text_encoder) / 1e9
    if device.type == "cuda":
        row["peak GB"] = torch.cuda.max_memory_allocated(device) / 1e9
    return row


def _weight_bytes(preset: Preset, dtype: torch.dtype) -> float:
    """Of network and autoencoder; the latter is float32."""
    with torch.device("meta"):
        autoencoder = build_autoencoder(preset)
    network = cost.count_parameters(cost.Network.of(preset)) * dtype.itemsize
    return network + 4 * sum(one.numel() for one in autoencoder.parameters())


def _denoising(generator: ClipGenerator, scene: Sample) -> Callable[[], object]:
    shown = replace(scene, video=scene.video[:, :, :1])
    canvas, condition = generator.pipeline.encode(shown, MODES["policy"], generator.clips.num_frames)
    sampling, denoiser = generator.generation.sampling, generator.pipeline.models.denoiser
    return lambda: sample(denoiser, canvas, condition, sampling, torch.Generator().manual_seed(SEED))


def _canvas(models: Models, scene: Sample) -> Tensor:
    """What the sampler makes of a scene, on the CPU."""
    generator = ClipGenerator.of(models)
    return _denoising(generator, scene)().latents.float().cpu()  # type: ignore[attr-defined]


def _run(out: Path, dataset: Path, device: str, precision: str, batch: int = 4) -> Run:
    recipe = replace(
        DEBUG,
        sources=(SourceRecipe(dataset, modes={"policy": 0.5, "joint": 0.5}),),
        validation=(),
        num_steps=10_000,
        batch_size=batch,
        micro_batch_size=batch,
        mixed_precision=precision,
        num_workers=2,
    )
    from accelerate.state import AcceleratorState

    from action_images.training.train import joined

    AcceleratorState._reset_state(reset_partial_state=True)
    return Run.start(recipe, out, accelerator=joined(recipe, out, device=device))


def _step(out: Path, dataset: Path, device: str, precision: str) -> Tensor:
    """The gradient of the first step's loss, all in one vector, on the CPU."""
    run = _run(out, dataset, device, precision)
    batches = next(
        load(run.mixture, 4, 1, 0, run.clips.size, num_workers=0, device=device, group=layout_kind)
    )
    run._accumulate_gradient(batches)
    parameters = run.engine.network.parameters()
    return torch.cat([one.grad.float().flatten().cpu() for one in parameters if one.grad is not None])


def _rates(session: Session, run: Run) -> dict[str, float]:
    """Samples a second of passes alone, of steps, of the loop with its loader, and of the loader alone."""
    recipe, size = run.recipe, run.recipe.batch_size
    seconds = max(1.0, min(10.0, 0.05 * session.left_s))
    steps = run.steps()
    for _ in range(3):
        run.learn(*next(steps))
    loader = _loader_rate(run, seconds, session.device)
    _, batches = next(steps)
    parts = list(noised_batches(run.pipeline, batches, recipe, size, run.clips.num_frames))

    def passes() -> None:
        for part in parts:
            run.objective.losses(run.engine.module, part, recipe).sum().backward()
        run.engine.optimizer.zero_grad()

    return {
        "passes/s": _rate(passes, size, seconds, session.device),
        "steps/s": _rate(lambda: run.learn(0, batches), size, seconds, session.device),
        "loop/s": _rate(lambda: run.learn(*next(steps)), size, seconds, session.device),
        "loader/s": loader,
    }


def _loader_rate(run: Run, seconds: float, device: torch.device) -> float:
    """Of a loader of its own, which ends with this function."""
    stream = run.steps()
    return _rate(lambda: next(stream), run.recipe.batch_size, seconds, device)


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large product of matrices, the fastest of some."""
    size = 1024 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: left @ right, device, 10)


def _rate(work: Callable[[], object], samples: int, seconds: float, device: torch.device) -> float:
    """Samples a second."""
    work()
    _wait(device)
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work()
        times += 1
    _wait(device)
    return times * samples / (time.perf_counter() - start)


def _fastest(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _compared(what: str, made: Tensor, truth: Tensor, bound: float) -> dict[str, Any]:
    """The root mean square difference as a share of the spread, and whether it stays below the bound."""
    off = ((made - truth).square().mean().sqrt() / truth.std().clamp_min(1e-12)).item()
    return {"what": what, "off": off, "bound": bound, "equal": "yes" if off <= bound else "NO"}


def _free_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _print(name: str, rows: list[dict[str, Any]]) -> None:
    columns: dict[str, None] = {}
    for row in rows:
        columns |= dict.fromkeys(row)
    table = Table(*columns, title=name)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    CONSOLE.print(table)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
