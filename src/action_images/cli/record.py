"""Record an expert's demonstrations in the embedded world as a data set.

action-images record --task push_button --episodes 20 --out demonstrations
action-images record --task trained --episodes 400 --views 4 --actor disturbed --out demonstrations
"""

import os
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError
from action_images.terminal.choices import TaskOrTrained
from action_images.terminal.paths import OutFolder
from action_images.terminal.placing import planning_placed

if TYPE_CHECKING:
    from action_images.episodes.dataset import DatasetWriter
    from action_images.sim.record import RecordingConfig


def main(
    task: tuple[TaskOrTrained, ...],
    episodes: int,
    out: OutFolder,
    views: int = 2,
    size: int = 128,
    rig: Literal["fixed", "sampled", "around", "held_out", "moving"] = "sampled",
    look: Literal["train", "wide", "unseen", "checkered"] = "train",
    seed: int = 0,
    workers: int = os.cpu_count() or 1,
    crf: int = 18,
    every: int = 4,
    hold: int = 32,
    actor: Literal["expert", "disturbed", "clumsy", "corrected", "play"] = "expert",
    policy: str | None = None,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16"] = "float32",
) -> None:
    """Record an expert's demonstrations in the embedded world as a data set, OUT, in the LeRobot v3 format.

    Can be stopped at any time: the same command goes on where it stopped, and ends with the same bytes. More
    tasks and seeds may be added with the same cameras, look, actor and quality; others want another folder.

    Args:
        task: Names of tasks, or `trained` for the ten that training may show, or `paper` for the seventeen
            of the paper's tasks that it may show.
        episodes: How many seeds of each task; a demonstration that fails is left out and counted.
        out: The data set's folder, made or added to.
        views: How many cameras.
        size: Height and width of the images in px, even.
        rig: Where the cameras stand.
        look: Colours and light; `wide` draws textures, light, cameras and sizes of furniture too.
        seed: The first seed; stay below 1000000, where the seeds for evaluation begin.
        workers: How many processes simulate and render.
        crf: H.264 quality of the videos, 0 (best) to 51.
        every: A frame is recorded every so many control steps of 1/20 s; 4, as the recipes expect it, are 5
            frames a second.
        hold: For how many control steps the expert keeps still in the end, so that models learn to stop.
        actor: The task's `expert`; `disturbed`: the expert, mostly pushed aside once and recorded from there
            on; `play`: motions of chance without an instruction; `clumsy`: the expert after a first attempt
            that went wrong, recorded from where that is given up; `corrected`: the expert after a policy's
            trial that failed, recorded from its end.
        policy: whom `corrected` corrects: a folder of models, or `shipped`. It looks through the first two
            cameras. Give each policy a data set of its own, and scenes (`--seed`) that it was not trained on.
        device: Where that policy runs: cuda, cuda:1, mps, cpu; auto takes the first of these that is there.
        dtype: Of its transformer and language model; auto takes what is fast on the device.
    """
    from itertools import product

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from action_images.benchmarks import DEFAULT, find_benchmark
    from action_images.episodes.dataset import DatasetWriter
    from action_images.evaluation.dagger import PolicyAttempt
    from action_images.evaluation.protocols import protocol_named
    from action_images.policies import Planning, maker_of, name_of
    from action_images.sim import LOOKS, RIGS, find_task
    from action_images.sim.record import RecordingConfig, record
    from action_images.terminal.console import PlainConsole

    benchmark = find_benchmark(DEFAULT)
    last_seed, num_seeds = seed + episodes - 1, benchmark.seeds.first_for_judging
    if episodes < 1 or seed < 0 or last_seed >= num_seeds:
        raise ActionImagesError(
            f"seeds {seed} to {last_seed} were asked for; demonstrations lie in 0 to {num_seeds - 1}"
        )
    if size % 2:
        raise ActionImagesError(f"--size is {size}; H.264 needs an even one")
    groups = {"trained": benchmark.trained, "paper": find_benchmark("paper").trained}
    named: list[str] = []
    for given in task:
        named += groups.get(given, (given,))
    names = tuple(dict.fromkeys(named))
    for name in names:
        find_task(name)
    if every < 1 or hold < 0:
        raise ActionImagesError(f"--every is at least 1 and --hold at least 0, got {every} and {hold}")
    attempt, planning = None, Planning(device=device, dtype=dtype)
    if (actor == "corrected") != (policy is not None):
        raise ActionImagesError(
            "--policy is whom `--actor corrected` corrects: give both (such as --policy shipped) or neither"
        )
    if policy is not None:
        if views < 2:
            raise ActionImagesError(
                f"--views is {views}; a policy looks through two cameras, so `--actor corrected` needs at "
                "least two"
            )
        planning = planning_placed(policy, planning)
        make = maker_of(policy, planning)
        make()  # here too, so that what is wrong is said once
        attempt = PolicyAttempt(make, protocol_named("in_domain").rollout_config)
    recording = RecordingConfig(
        RIGS[rig],
        LOOKS[look],
        num_views=views,
        size=(size, size),
        every=every,
        hold=hold,
        actor=actor,
        attempt=attempt,
    )
    wanted = list(product(names, range(seed, seed + episodes)))
    with DatasetWriter(out, recording.fps) as writer:
        num_there = sum(recording.episode_id(*one) in writer.ids for one in wanted)
        settings = {
            "actor": actor,
            "rig": rig,
            "look": look,
            "views": views,
            "size": size,
            "every": every,
            "hold": hold,
            "crf": crf,
        }
        _keep_settings(
            writer, recording, settings | {"policy": None if policy is None else name_of(policy, planning)}
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    failed = []
    with Progress(*columns) as progress:
        bar = progress.add_task("recording", total=len(wanted), completed=num_there)
        for one, succeeded in record(out, wanted, recording, num_workers=workers, crf=crf):
            progress.update(bar, advance=1, description=one[0])
            failed += [] if succeeded else [recording.episode_id(*one)]
    console = PlainConsole()
    console.print(
        f"{len(wanted) - len(failed)} of {len(wanted)} demonstrations are in {out} ({num_there} were there "
        "before)"
    )
    if failed:
        why = "had nothing to correct, or failed, and were left out"
        if actor not in ("clumsy", "corrected"):
            why = f"failed, and were left out: {', '.join(failed)}"
        console.print(f"{len(failed)} experts {why}", style="yellow")


def _keep_settings(writer: "DatasetWriter", recording: "RecordingConfig", settings: dict) -> None:
    """Refuse to go on with other cameras or another actor under the same ids; sets from before this was
    written down are taken."""
    from action_images.files.settings import keep_settings

    kind = recording.episode_id("", 0).rpartition("//")[0] or "demonstrations"
    path = writer.path / "meta" / "recordings" / f"{kind}.json"
    path.parent.mkdir(exist_ok=True)
    prefixed = [name.partition("/")[0] if name.count("/") > 1 else "demonstrations" for name in writer.ids]
    keep_settings(path, settings, empty=kind not in prefixed or not path.is_file())
