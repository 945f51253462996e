"""The loop: what it learns is a function of the recipe,
however often it is stopped and however it is cut up.
"""

import json
import multiprocessing
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from runs import assert_same_weights, losses_of, weights_of, write_demonstrations
from safetensors import SafetensorError

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.errors import ActionImagesError
from action_images.files.atomic import unfinished_of
from action_images.files.lock import LOCK, alone_in
from action_images.model.bundle import Models
from action_images.model.text import HashedWords
from action_images.training import train as loop
from action_images.training.checkpoint import checkpoints, load
from action_images.training.finite import NotFiniteError
from action_images.training.interruption import interruptible
from action_images.training.recipe import Recipe, SourceRecipe, differences
from action_images.training.run_folder import saved_recipe
from action_images.training.setup import clips_of
from action_images.training.train import Run, train
from action_images.training.validation import Validation


@pytest.fixture
def plain(recipe):
    """Without validation, which no law here needs."""
    return replace(recipe, validation=())


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """The folder of a recipe's run from beginning to end, each recipe run once."""
    done = {}

    def run(recipe) -> Path:
        key = json.dumps(recipe.as_json())
        if key not in done:
            done[key] = tmp_path_factory.mktemp("run")
            train(recipe, done[key])
        return done[key]

    return run


def test_the_loss_of_the_debug_recipe_is_what_it_was(plain, uninterrupted):
    losses = losses_of(uninterrupted(plain))
    assert list(losses) == [1, 2, 3, 4, 5, 6]
    assert [losses[1], losses[2]] == pytest.approx([0.8047, 0.6095], abs=2e-3)


def test_a_run_that_is_stopped_and_resumed_equals_one_that_is_not(plain, uninterrupted, tmp_path):
    run = Run.start(plain, tmp_path)
    for step, batches in run.steps():
        run.log.step(step, *run.learn(step, batches), 0.0, 1)
        if step == 2:
            run.save()
            break
    model = train(plain, tmp_path)
    whole = uninterrupted(plain)
    assert losses_of(tmp_path) == losses_of(whole)
    assert_same_weights(model, whole / "model")


def test_a_run_of_the_first_version_is_gone_on_with(plain, uninterrupted, tmp_path):
    """As version 1 left it: modes were called tasks in `recipe.json`, which had no version."""
    run = Run.start(plain, tmp_path)
    for step, batches in run.steps():
        run.log.step(step, *run.learn(step, batches), 0.0, 1)
        if step == 2:
            run.save()
            break
    values = plain.as_json()
    for source in values["sources"]:
        source["tasks"] = source.pop("modes")
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    assert differences(saved_recipe(tmp_path), plain) == []
    model = train(plain, tmp_path)
    assert_same_weights(model, uninterrupted(plain) / "model")


def test_a_run_that_is_killed_at_any_moment_resumes_and_equals_one_that_is_not(
    plain, uninterrupted, tmp_path
):
    patient = replace(plain, save_minutes=0.0)
    for least in (1, 3):
        child = multiprocessing.get_context("fork").Process(target=train, args=(patient, tmp_path))
        child.start()
        until = time.monotonic() + 300
        while child.is_alive() and not (
            (tmp_path / "log.jsonl").is_file() and len(losses_of(tmp_path)) >= least
        ):
            assert time.monotonic() < until
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert child.exitcode == -signal.SIGKILL
    model = train(patient, tmp_path)
    whole = uninterrupted(plain)
    assert losses_of(tmp_path) == losses_of(whole)
    assert_same_weights(model, whole / "model")


@pytest.mark.parametrize("size", [1, 3])
def test_the_micro_batch_changes_no_draw_no_noise_and_no_loss(plain, uninterrupted, tmp_path, size):
    train(replace(plain, micro_batch_size=size), tmp_path)
    one, other = losses_of(tmp_path), losses_of(uninterrupted(plain))
    assert [one[step] for step in one] == pytest.approx([other[step] for step in one], rel=1e-5)


def test_workers_change_nothing(plain, uninterrupted, tmp_path):
    train(replace(plain, num_workers=1), tmp_path)
    assert losses_of(tmp_path) == losses_of(uninterrupted(plain))
    assert_same_weights(tmp_path / "model", uninterrupted(plain) / "model")


def test_another_recipe_is_refused_and_what_differs_is_named(plain, tmp_path):
    Run.start(plain, tmp_path)
    with pytest.raises(ValueError, match=r"another recipe.*learning_rate: 0.003 -> 0.1"):
        train(replace(plain, learning_rate=0.1, keep_last=3), tmp_path)


def test_a_validation_set_that_is_not_there_leaves_no_run_behind(recipe, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        train(replace(recipe, validation=(SourceRecipe(tmp_path / "nowhere"),)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_row_that_was_left_half_written_does_not_swallow_the_next(plain, tmp_path):
    Run.start(plain, tmp_path).log.step(0, 0.5, 1.0, 0.1, 1)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    Run.start(plain, tmp_path).log.step(1, 0.4, 1.0, 0.1, 1)
    assert losses_of(tmp_path) == {1: 0.5, 2: 0.4}


def rewritten(source: Path, out: Path, change) -> Path:
    """The same demonstrations, each changed (number, episode)."""
    with DatasetWriter(out, fps=5) as writer:
        for number, episode in enumerate(Dataset(source)):
            writer.add(change(number, episode))
    return out


def test_episodes_without_a_path_or_with_a_bare_view_are_left_out_where_actions_are_drawn(
    plain, demonstrations, tmp_path
):
    def bare(number, episode):
        views = tuple(replace(view, camera=None) for view in episode.views[:1]) + episode.views[1:]
        return (
            replace(episode, trajectory=None)
            if number == 1
            else replace(episode, views=views)
            if number == 4
            else episode
        )

    folder = rewritten(demonstrations, tmp_path / "data", bare)
    run = Run.start(replace(plain, sources=(SourceRecipe(folder, modes={"policy": 1.0}),)), tmp_path / "run")
    (source,) = run.mixture.sources
    assert source.bare == ["move/0001", "move/0004"]
    assert {run.mixture[index].window.episode_id for index in range(200)} == {
        f"move/{number:04d}" for number in (0, 2, 3, 5)
    }
    whole = Run.start(
        replace(plain, sources=(SourceRecipe(folder, modes={"video": 1.0}),)), tmp_path / "video"
    )
    assert whole.mixture.sources[0].bare == []
    with pytest.raises(ValueError, match=r"none of 6 episodes gives a window.*6 have no tool poses"):
        Run.start(
            replace(plain, sources=(SourceRecipe(without_cameras(demonstrations, tmp_path / "none")),)),
            tmp_path / "none run",
        )


def without_cameras(source: Path, out: Path) -> Path:
    return rewritten(
        source,
        out,
        lambda _, episode: replace(
            episode, views=tuple(replace(view, camera=None) for view in episode.views)
        ),
    )


def test_video_alone_is_learnt_without_calibration(plain, demonstrations, tmp_path):
    folder = without_cameras(demonstrations, tmp_path / "data")
    train(
        replace(plain, sources=(SourceRecipe(folder, modes={"video": 1.0}),), num_steps=2), tmp_path / "run"
    )
    assert len(losses_of(tmp_path / "run")) == 2


def test_what_only_says_how_a_run_goes_on_may_change(plain, tmp_path):
    train(replace(plain, num_steps=2), tmp_path)
    assert (
        Run.start(
            replace(plain, num_steps=2, micro_batch_size=1, save_minutes=1.0, num_workers=1), tmp_path
        ).progress.step
        == 2
    )


def test_changed_data_is_refused(plain, tmp_path):
    folder = write_demonstrations(tmp_path / "data", 3, seed=5)
    own = replace(plain, sources=(SourceRecipe(folder, modes={"policy": 1.0}),), num_steps=1)
    train(own, tmp_path / "run")
    write_demonstrations(tmp_path / "more", 4, seed=5)
    folder.rename(tmp_path / "old")
    (tmp_path / "more").rename(folder)
    with pytest.raises(ValueError, match="the data has changed"):
        train(own, tmp_path / "run")


def one_step_on(plain: Recipe, folder: Path) -> Recipe:
    write_demonstrations(folder, 3, seed=5)
    return replace(plain, sources=(SourceRecipe(folder, modes={"policy": 1.0}),), num_steps=1)


def change(folder: Path, what: str) -> None:
    """Another recording under the same ids and lengths, or one part of it."""
    if what == "all":
        shutil.rmtree(folder)
        write_demonstrations(folder, 3, seed=6)
    elif what == "pictures":
        videos = sorted(folder.glob("videos/*view0/*/*.mp4"))
        shutil.copy(videos[0], videos[1])
    else:
        path = folder / "meta/tasks.parquet"
        table = pq.read_table(path)
        words = pa.array([f"{text} slowly" for text in table["task"].to_pylist()])
        pq.write_table(table.set_column(table.column_names.index("task"), "task", words), path)


@pytest.mark.parametrize("what", ["all", "pictures", "words"])
@pytest.mark.parametrize("killed", ["later", "before its first checkpoint"])
def test_other_data_under_the_same_ids_is_refused(plain, tmp_path, what, killed):
    own = one_step_on(plain, tmp_path / "data")
    if killed == "later":
        train(own, tmp_path / "run")
    else:
        Run.start(own, tmp_path / "run")
    change(tmp_path / "data", what)
    with pytest.raises(ActionImagesError, match=r"run: the data has changed since this run began: .*data/"):
        train(own, tmp_path / "run")


def test_a_copy_of_the_data_and_a_run_of_an_earlier_version_go_on(plain, tmp_path):
    own = one_step_on(plain, tmp_path / "data")
    train(own, tmp_path / "run")
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "copy").rename(tmp_path / "data")
    train(own, tmp_path / "run")
    (tmp_path / "run/data.json").unlink()
    change(tmp_path / "data", "words")
    train(own, tmp_path / "run")  # compared by ids and windows alone, as it was
    change(tmp_path / "data", "pictures")
    with pytest.raises(ActionImagesError, match="the data has changed"):
        train(own, tmp_path / "run")


def test_scores_on_other_validation_data_are_not_compared(recipe, tmp_path, capsys):
    folder = write_demonstrations(tmp_path / "held out", 3, seed=5)
    judged = SourceRecipe(folder, modes={"policy": 1.0})
    own = replace(recipe, validation=(judged,), num_steps=1, validation_windows=1)
    train(own, tmp_path / "run")
    best = load_state(checkpoints(tmp_path / "run/checkpoints")[-1])["best"]
    start = partial(Run.start, own, tmp_path / "run", validation=Validation.of(own, clips_of(own)))
    assert start().progress.best == best
    assert "validation has changed" not in capsys.readouterr().out
    change(folder, "all")
    assert start(validation=Validation.of(own, clips_of(own))).progress.best is None
    assert "the validation has changed" in " ".join(capsys.readouterr().out.split())


def test_a_damaged_checkpoint_is_refused_by_name(plain, tmp_path):
    train(replace(plain, num_steps=2, save_minutes=0.0), tmp_path)
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"step-00000002: is no checkpoint.*delete it"):
        train(replace(plain, num_steps=2, save_minutes=0.0), tmp_path)


def test_a_loss_that_is_no_number_stops_the_run_and_its_samples_are_listed(plain, tmp_path):
    run = Run.start(plain, tmp_path)
    with torch.no_grad():
        run.models.denoiser.transformer.proj_out.bias.fill_(torch.nan)
    before = {name: value.clone() for name, value in run.models.denoiser.named_parameters()}
    step, batches = next(run.steps())
    with pytest.raises(NotFiniteError, match=r"step 0: the loss is nan.*action-images check"):
        run.learn(step, batches)
    listed = (tmp_path / "not_finite_step_0_process_0.txt").read_text().splitlines()
    assert sorted(listed) == sorted(
        f"{draw.source} {draw.window} {draw.mode}" for draw in map(run.mixture.__getitem__, range(4))
    )
    after = dict(run.models.denoiser.named_parameters())
    assert all(
        torch.equal(before[name].nan_to_num(7.0), value.nan_to_num(7.0)) for name, value in after.items()
    )
    assert run.progress.step == run.ema.num_updates == 0


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_who_is_asked_to_stop_finishes_the_step_saves_and_stops(recipe, tmp_path, asked):
    # Whoever started the tests may ignore it (nohup does), and then a run does too.
    before = signal.signal(asked, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(replace(recipe, validate_minutes=0.0), tmp_path, show=lambda *_: signal.raise_signal(asked))
        assert signal.getsignal(asked) is signal.SIG_DFL
    finally:
        signal.signal(asked, before)
    better, saved = checkpoints(tmp_path / "checkpoints")
    _, progress = load(saved)
    assert progress.step == 2  # asked to while the first was judged
    # What is the best so far is known after a kill too, or `best/` would be written over by something worse.
    _, then = load(better)
    assert (then.step, then.best) == (1, progress.best)
    assert then.best is not None


def test_a_run_stopped_before_its_last_validation_makes_up_for_it(recipe, tmp_path):
    judged = replace(recipe, num_steps=2, validate_minutes=100.0)
    train(judged, tmp_path / "whole")
    run = Run.start(judged, tmp_path / "stopped")
    for step, batches in run.steps():
        run.learn(step, batches)
    run.save()
    train(judged, tmp_path / "stopped")
    assert_same_weights(tmp_path / "stopped" / "best", tmp_path / "whole" / "best")
    states = [load(checkpoints(tmp_path / one / "checkpoints")[-1])[1] for one in ("whole", "stopped")]
    assert states[0].best == states[1].best
    assert states[0].judged == states[1].judged == 2


def test_a_lost_terminal_is_ignored_where_it_was_before():
    found = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as came:
            signal.raise_signal(signal.SIGHUP)
            assert not came()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, found)


def test_a_run_in_a_thread_ends_as_one_in_the_main_thread(plain, uninterrupted, tmp_path):
    with ThreadPoolExecutor(1) as threads:
        model = threads.submit(train, plain, tmp_path).result()
    assert_same_weights(model, uninterrupted(plain) / "model")


def test_a_second_run_in_the_same_folder_is_refused_before_it_changes_anything(plain, tmp_path):
    with alone_in(tmp_path / "run"):
        with pytest.raises(ActionImagesError, match=r"run: another process is writing here"):
            train(plain, tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    train(replace(plain, num_steps=1), tmp_path / "run")


def test_what_a_killed_save_left_is_gone_when_the_run_goes_on(plain, tmp_path):
    train(replace(plain, num_steps=1), tmp_path)
    left = [unfinished_of(tmp_path / "best"), unfinished_of(tmp_path / "checkpoints" / "step-00000003")]
    for folder in left:
        folder.mkdir()
        (folder / "tensors.safetensors").write_bytes(b"0" * 10)
    unfinished = tmp_path / ".recipe.json.abcdefgh.action-images-part.json"
    unfinished.write_text("{")
    # Killed between the two renames: the old one is all there is.
    (tmp_path / "checkpoints" / "step-00000001").rename(
        tmp_path / "checkpoints" / ".step-00000001.action-images-old"
    )
    assert Run.start(replace(plain, num_steps=1), tmp_path).progress.step == 1
    assert not [path for path in [*left, unfinished] if path.exists()]


@pytest.mark.parametrize("name", ["start", "model"])
def test_a_full_disk_is_one_sentence_that_names_the_folder(plain, tmp_path, name, monkeypatch):
    def full(self, folder):
        if folder == unfinished_of(folder.with_name(name)):
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        save(self, folder)

    save = Models.save
    monkeypatch.setattr(Models, "save", full)
    with pytest.raises(OSError, match=rf"{name}: the models.* could not be written .*No space.*make room"):
        train(replace(plain, num_steps=1), tmp_path)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"), ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")],
)
def test_what_accelerates_config_says_and_a_run_does_not_follow_is_refused(
    plain, tmp_path, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ActionImagesError, match=rf"sets [a-z_]+ to {value}.*{variable}"):
        train(plain, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_a_step_beyond_the_last_is_refused(plain, tmp_path):
    train(replace(plain, num_steps=1), tmp_path)
    folder = tmp_path / "checkpoints"
    (folder / "step-00000001").rename(folder / "step-1000000000")
    state = {"step": 10**9, "fingerprint": load_state(folder / "step-1000000000")["fingerprint"]}
    (folder / "step-1000000000" / "state.json").write_text(json.dumps(state))
    with pytest.raises(ActionImagesError, match=r"step-1000000000: says step 1000000000 of a run of 1;"):
        train(replace(plain, num_steps=1), tmp_path)


def load_state(checkpoint: Path) -> dict:
    return json.loads((checkpoint / "state.json").read_text())


def test_a_validation_that_fails_comes_after_the_checkpoint_of_its_step(recipe, tmp_path):
    def fail(*_):
        raise RuntimeError("no picture")

    with pytest.raises(RuntimeError, match="no picture"):
        train(replace(recipe, validate_minutes=0.0), tmp_path, show=fail)
    (saved,) = checkpoints(tmp_path / "checkpoints")
    assert load(saved)[1].step == 1


def test_a_second_signal_ends_at_once_and_handlers_come_back():
    # A process that a shell started in the background ignores SIGINT; the law is about one that does not.
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible() as came:
            signal.raise_signal(signal.SIGINT)
            assert came()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)


def test_the_finished_weights_are_the_average_and_not_the_last(plain, tmp_path):
    folder = train(replace(plain, num_steps=4), tmp_path)
    tensors, _ = load(checkpoints(tmp_path / "checkpoints")[-1])
    finished = weights_of(folder)
    names = [name for name in finished if f"average/transformer.{name}" in tensors]
    assert names
    assert all(torch.equal(finished[name], tensors[f"average/transformer.{name}"]) for name in names)
    assert any(not torch.equal(finished[name], tensors[f"model/transformer.{name}"]) for name in names)


def test_gradients_are_clipped_and_weights_of_layers_alone_decay(plain, tmp_path):
    run = Run.start(replace(plain, clip_gradient=1e-3), tmp_path)
    _, norm = run.learn(*next(run.steps()))
    moments = torch.stack([state["exp_avg"].norm() for state in run.engine.optimizer.state.values()])
    assert norm > 1e-3
    assert moments.norm().item() / (1 - plain.betas[0]) == pytest.approx(1e-3, rel=1e-2)
    decaying = {
        id(parameter)
        for group in run.engine.optimizer.param_groups
        if group["weight_decay"] > 0
        for parameter in group["params"]
    }
    network = dict(run.models.denoiser.transformer.named_parameters())
    for name in (
        "blocks.0.attn1.to_q.weight",
        "patch_embedding.weight",
        "stem.convolutions.0.weight",
        "proj_out.weight",
    ):
        assert id(network[name]) in decaying, name
    for name in (
        "proj_out.bias",
        "output_bias",
        "view_embedding",
        "blocks.0.scale_shift_table",
        "blocks.0.norm2.weight",
    ):
        assert id(network[name]) not in decaying, name


def test_a_recipe_trains_on_one_part_and_judges_on_the_other(recipe, demonstrations, tmp_path):
    one = SourceRecipe(demonstrations, modes={"policy": 1.0}, held_out=0.5, held_out_by="episode")
    own = replace(
        recipe,
        sources=(replace(one, part="train"),),
        validation=(replace(one, part="held_out"),),
        validation_windows=64,
    )
    mixture = Run.start(own, tmp_path).mixture
    learnt = {mixture[index].window.episode_id for index in range(200)}
    judged = {
        draw.window.episode_id
        for _, draws in Validation.of(own, clips_of(own)).batches("policy", 16)
        for draw in draws
    }
    assert learnt
    assert judged
    assert not learnt & judged
    assert learnt | judged == {f"move/{number:04d}" for number in range(6)}
    with pytest.raises(ValueError, match="choose another stride"):
        Run.start(replace(own, sources=(one, replace(one, stride=2))), tmp_path / "other")


def test_no_more_checkpoints_are_kept_than_asked_for(plain, tmp_path):
    train(replace(plain, save_minutes=0.0, keep_last=2), tmp_path)
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000005", "step-00000006"]


def test_the_finished_models_load_and_say_what_they_are(recipe, tmp_path):
    folder = train(replace(recipe, num_steps=2), tmp_path)
    for each in (folder, tmp_path / "best"):
        models = Models.load(each)
        assert models.clips.num_frames == 5
        assert models.clips.fps == 5
        card = (each / "README.md").read_text()
        assert all(
            said in card
            for said in (
                "license: apache-2.0",
                "## Data",
                "| demonstrations | 1 | all, learnt from | 6 |",
                "final mm",
                "## Limits",
            )
        )
        assert str(tmp_path) not in card
    network = type(models.denoiser.transformer).from_pretrained(folder, subfolder="transformer")
    assert sum(value.numel() for value in network.parameters()) == sum(
        value.numel() for value in models.denoiser.parameters()
    )


def test_a_recipe_that_cannot_share_its_batch_is_refused_at_once(plain):
    with pytest.raises(ValueError, match="a batch of 4 cannot be shared by 3 processes"):
        loop.share_of(plain, 3)


def test_new_models_are_fitted_to_axes_as_long_as_the_recipe_has_them(plain, tmp_path):
    runs = {
        length: Run.start(replace(plain, axis_length=length), tmp_path / str(length))
        for length in (None, 0.1, 0.2)
    }
    assert [run.pipeline.format.axis_length for run in runs.values()] == [0.1, 0.1, 0.2]
    by_default, short, long = (run.models.denoiser.transformer.output_bias for run in runs.values())
    assert torch.equal(by_default, short)
    # The mean action image has its spots elsewhere.
    assert not torch.equal(short, long)
    assert Models.load(tmp_path / "0.2" / "start").clips.axis_length == 0.2


@pytest.mark.parametrize("length", [0.0, -0.1, 10.0, float("nan")])
def test_axes_of_no_length_are_refused(plain, length):
    with pytest.raises(ValueError, match="axis_length must be above 0 and below 10"):
        replace(plain, axis_length=length)


def test_models_know_the_words_of_all_that_they_were_trained_on_and_of_its_mirror_image(
    plain, demonstrations, tmp_path
):
    other = tmp_path / "other"
    with DatasetWriter(other, fps=5) as writer:
        for number, told in enumerate(("Push it to the left.", None, "turn clockwise")):
            writer.add(replace(Dataset(demonstrations)[number], id=f"move/{number}", instruction=told))
    begun = Run.start(plain, tmp_path / "first")
    begun.models.save(tmp_path / "models")
    assert Models.load(tmp_path / "models").text.vocabulary == {"go", "there", "0", "1"}
    source = replace(plain.sources[0], path=other)
    on = Run.start(replace(plain, sources=(source,), pretrained=tmp_path / "models"), tmp_path / "second")
    assert on.models.text.vocabulary == {
        "go",
        "there",
        "0",
        "1",
        "push",
        "it",
        "to",
        "the",
        "left",
        "turn",
        "clockwise",
    }
    mirrored = Run.start(replace(plain, sources=(source,), mirror=0.5), tmp_path / "third")
    assert {"left", "right", "clockwise", "counterclockwise"} < mirrored.models.text.vocabulary


def test_an_instruction_that_is_too_long_is_refused_before_the_first_step_by_its_episode(
    plain, demonstrations, tmp_path
):
    long = tmp_path / "long"
    with DatasetWriter(long, fps=5) as writer:
        for number, told in enumerate(("go there", " ".join(f"word{word}" for word in range(30)))):
            writer.add(replace(Dataset(demonstrations)[number], id=f"move/{number}", instruction=told))
    source = replace(plain.sources[0], path=long)
    said = r"long: move/1: an instruction has 30 words, this model reads \d+; shorten: 'word0 word1"
    with pytest.raises(ActionImagesError, match=said):
        Run.start(replace(plain, sources=(source,)), tmp_path / "first")
    assert not (tmp_path / "first" / "start").exists()
    silent = replace(source, modes={"label": 1.0}, drop_text=1.0)
    Run.start(replace(plain, sources=(silent,)), tmp_path / "silent")
    # Where validation alone has them, its words become known only if the models know all words.
    begun = Run.start(plain, tmp_path / "second")
    replace(begun.models, text=HashedWords(begun.models.text.dim)).save(tmp_path / "models")
    judged = replace(plain, validation=(source,), pretrained=tmp_path / "models")
    with pytest.raises(ActionImagesError, match=said):
        Run.start(judged, tmp_path / "third")


def test_models_whose_words_are_not_known_go_on_hearing_all(plain, tmp_path):
    begun = Run.start(plain, tmp_path / "first")
    replace(begun.models, text=HashedWords(begun.models.text.dim)).save(tmp_path / "models")
    on = Run.start(replace(plain, pretrained=tmp_path / "models"), tmp_path / "second")
    assert on.models.text.vocabulary is None
