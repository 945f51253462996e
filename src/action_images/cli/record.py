"""Record an expert's demonstrations in a simulator as a data set.

action-images record --task trained --episodes 400 --views 4 --actor disturbed --out demonstrations
action-images record --env metaworld/mt10 --episodes 100 --out metaworld
"""

import os
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError
from action_images.terminal.paths import OutFolder
from action_images.terminal.placing import planning_placed
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

Actor = Literal["expert", "disturbed", "clumsy", "corrected", "play"]

if TYPE_CHECKING:
    from action_images.benchmarks import WorldConfig
    from action_images.episodes.dataset import DatasetWriter
    from action_images.sim.record import Attempt, Recording


def main(
    episodes: int,
    out: OutFolder,
    task: tuple[str, ...] = (),
    env: str = DEFAULT_WORLD,
    views: int = 2,
    size: int = 128,
    rig: str | None = None,
    look: str | None = None,
    seed: int = 0,
    workers: int = os.cpu_count() or 1,
    crf: int = 18,
    codec: Literal["h264", "av1"] = "h264",
    x264: Literal["medium", "superfast"] = "medium",
    every: int = 4,
    hold: int = 32,
    actor: Actor = "expert",
    wording: Literal["phrasings", "grammar"] = "phrasings",
    policy: str | None = None,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16"] = "float32",
) -> None:
    """Record an expert's demonstrations in a simulator as a data set, OUT, in the LeRobot v3 format.

    A run can be stopped at any time: the same command resumes it and ends with the same bytes. Tasks and
    seeds can be added later with the same cameras, look, actor and quality; other settings need another
    folder.

    Both the tool's poses and the arm's commands are stored; a recipe's `drawn` chooses which of them is
    learnt.

    Args:
        episodes: How many seeds of each task; a demonstration that fails is left out and counted.
        out: The data set's folder, created or added to.
        task: Names of tasks or of groups of tasks; `trained`, all that training may show, if not given.
        env: The world, or WORLD/TASK; 'action-images envs' lists them.
        views: How many cameras.
        size: Height and width of the images in px, even.
        rig: Where the cameras stand, in the embedded world fixed, sampled, around, held_out or moving; the
            rig of the world's training if not given.
        look: Colours and light, in the embedded world train, wide, unseen or checkered; the look of the
            world's training if not given. `wide` also varies textures, light, cameras and furniture sizes.
        seed: The first seed; stay below the world's seeds for evaluation, 1000000 in the embedded world.
        workers: How many processes simulate and render.
        crf: Quality of the videos, 0 (best) to 51.
        codec: Codec of the videos: h264, or av1 as LeRobot writes, which is smaller and slower; sizes must
            be even.
        x264: Effort of the h264 encoder: `superfast` takes a quarter of the time, and its files are a quarter
            larger with pictures 1 dB worse.
        every: Record one frame every so many control steps of 1/20 s; 4, which the recipes expect, gives 5
            frames a second.
        hold: For how many control steps the expert keeps still at the end, so that models learn to stop.
        actor: The task's `expert`, or `disturbed`, the expert, in most episodes pushed aside once and
            recorded from there on. The embedded world has more: `play`, random motions without an
            instruction; `clumsy`, the expert after a failed first attempt, recorded from where the attempt
            is given up; `corrected`, the expert after a policy's failed trial, recorded from the trial's end.
        wording: How tasks are worded: four phrasings each, or hundreds of sentences of a `grammar`.
        policy: The policy that `corrected` corrects: a folder of models, or `shipped`. It sees the first two
            cameras. Give each policy a data set of its own, and scenes (`--seed`) that it was not trained on.
        device: Where that policy runs: cuda, cuda:1, mps, cpu, or auto for the first one available.
        dtype: Precision of its transformer and language model; auto takes what is fast on the device.
    """
    from itertools import product

    from action_images.benchmarks import WorldConfig
    from action_images.episodes.dataset import DatasetWriter
    from action_images.evaluation.dagger import PolicyAttempt
    from action_images.evaluation.protocols import protocol_named
    from action_images.policies import Planning, policy_named
    from action_images.sim.record import record
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import counting

    benchmark, names = chosen_world(env, task)
    last_seed, num_seeds = seed + episodes - 1, benchmark.seeds.first_for_judging
    if episodes < 1 or seed < 0 or last_seed >= num_seeds:
        raise ActionImagesError(
            f"seeds {seed} to {last_seed} were asked for; demonstrations lie in 0 to {num_seeds - 1}"
        )
    if size % 2:
        raise ActionImagesError(f"--size is {size}; H.264 needs an even one")
    if every < 1 or hold < 0:
        raise ActionImagesError(f"--every is at least 1 and --hold at least 0, got {every} and {hold}")
    attempt, corrected, planning = None, None, Planning(device=device, dtype=dtype)
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
        # It is made here too, so that errors appear once.
        corrected = policy_named(policy, planning).tried()
        attempt = PolicyAttempt(corrected.make, protocol_named("in_domain").rollout_config)
    told = None if wording == "phrasings" else wording
    world = WorldConfig(benchmark.name, rig=rig, look=look, num_views=views, size=(size, size), wording=told)
    recording = _recording(world, every=every, hold=hold, actor=actor, attempt=attempt)
    wanted = list(product(names, range(seed, seed + episodes)))
    if codec == "av1" and x264 != "medium":
        raise ActionImagesError("--x264 is of h264 alone; leave it out with --codec av1")
    with DatasetWriter(out, recording.fps, codec=codec) as writer:
        num_there = sum(recording.episode_id(*one) in writer.ids for one in wanted)
        settings = {
            "actor": actor,
            "rig": world.rig or benchmark.rigs[0],
            "look": world.look or (benchmark.looks[0] if benchmark.looks else None),
            "views": views,
            "size": size,
            "every": every,
            "hold": hold,
            "crf": crf,
            **({} if codec == "h264" else {"codec": codec}),
            **({} if x264 == "medium" else {"x264": x264}),
            **({} if told is None else {"wording": told}),
        }
        named = {"policy": None if corrected is None else corrected.name}
        _keep_settings(writer, recording, settings | named)
    failed, done = [], num_there
    with counting("recording") as tell:
        tell(done, len(wanted))
        written = record(out, wanted, recording, num_workers=workers, crf=crf, preset=x264, codec=codec)
        for one, succeeded in written:
            done += 1
            tell(done, len(wanted), one[0])
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


def _recording(
    world: "WorldConfig", *, every: int, hold: int, actor: "Actor", attempt: "Attempt | None"
) -> "Recording":
    """The recording to make; raises ActionImagesError for an actor that this world does not have."""
    from action_images.benchmarks.record import WorldRecording
    from action_images.benchmarks.tabletop import TabletopBenchmark
    from action_images.sim import LOOKS, RIGS
    from action_images.sim.record import RecordingConfig

    if not isinstance(world.benchmark, TabletopBenchmark):
        if actor not in ("expert", "disturbed"):
            raise ActionImagesError(
                f"--actor {actor} is of the embedded world alone; take `expert` or `disturbed` for "
                f"'{world.benchmark_name}'"
            )
        return WorldRecording(world, every=every, hold=hold, actor=actor)
    return RecordingConfig(
        RIGS[world.rig or "sampled"],
        LOOKS[world.look or "train"],
        num_views=world.num_views,
        size=world.size,
        every=every,
        hold=hold,
        actor=actor,
        attempt=attempt,
        wording="phrasings" if world.wording is None else "grammar",
    )


def _keep_settings(writer: "DatasetWriter", recording: "Recording", settings: dict) -> None:
    """Refuse to resume with other cameras or another actor under the same ids; data sets without stored
    settings are accepted."""
    from action_images.files.settings import keep_settings

    kind = recording.episode_id("", 0).rpartition("//")[0] or "demonstrations"
    path = writer.path / "meta" / "recordings" / f"{kind}.json"
    path.parent.mkdir(exist_ok=True)
    prefixed = [name.partition("/")[0] if name.count("/") > 1 else "demonstrations" for name in writer.ids]
    keep_settings(path, settings, empty=kind not in prefixed or not path.is_file())
