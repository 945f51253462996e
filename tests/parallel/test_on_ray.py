"""Work over a real Ray cluster: in order, the same bytes as here, and nothing lost with a killed worker."""

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ray_jobs import Fragile, load
from ray_squares import begin

from action_images.episodes.dataset import DatasetWriter
from action_images.files.lock import alone_in
from action_images.inference.label_folder import load_labels
from action_images.inference.label_job import Job
from action_images.inference.labelled_copy import label_dataset
from action_images.inference.labelling import Labelling
from action_images.model.bundle import Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.parallel.cluster import OnRay, executor_named, here
from action_images.samples.window import Cutting
from action_images.training.latents import SOURCE, Encoding, encode_dataset
from truth import knowing, make_episode

LABELLING = Labelling("random", ("view0", "view1"), overlap=2)
MOST_SECONDS = 600
"""For all that is done on the cluster; on an idle machine it takes a tenth of this."""


@pytest.fixture(scope="module", autouse=True)
def ray():
    """A cluster of two processors on this machine, ended with the tests, and in any case in time."""

    def late(*_):
        raise TimeoutError(f"Ray did not come to an end within {MOST_SECONDS} s")

    # Workers are told where the jobs of these tests are, as a user's modules would be installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": str(MOST_SECONDS)}
    import ray

    signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_SECONDS)
    try:
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
        yield ray
        ray.shutdown()
    finally:
        signal.alarm(0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """A data set of four episodes, and a saved model of random weights."""
    root, episode = tmp_path_factory.mktemp("ray"), make_episode(9)
    with DatasetWriter(root / "data", fps=5) as writer:
        for number in range(4):
            writer.add(replace(episode, id=f"test/e{number}"))
    models = knowing(episode).pipeline.models
    replace(models, denoiser=CanvasDenoiser(models.denoiser.transformer)).save(root / "model")
    return root / "data", root / "model"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_labels_are_the_same_bytes_wherever_they_are_made_though_a_worker_is_killed(folders, tmp_path):
    data, model = folders
    seen = []
    label_dataset(Job(partial(load, model), data, LABELLING), tmp_path / "here")
    job = Fragile(partial(load, model), data, LABELLING, tmp_path / "mark")
    rows = label_dataset(
        job, tmp_path / "ray", seen=lambda done, total: seen.append((done, total)), executor=OnRay(2)
    )
    assert (tmp_path / "mark").exists()
    assert content(tmp_path / "ray") == content(tmp_path / "here")
    assert load_labels(tmp_path / "ray") == rows
    assert seen == [(done, 4) for done in range(1, 5)]


def test_latents_are_the_same_bytes_wherever_they_are_made(folders, tmp_path):
    data, model = folders
    encoding = Encoding(data, model, tmp_path / "here", ("view1", "view0"), Cutting(5, step=2), (64, 64))
    with alone_in(encoding.folder), pytest.raises(ValueError, match="another process is writing here"):
        encode_dataset(encoding)
    assert encode_dataset(encoding) == 12
    assert encode_dataset(replace(encoding, folder=tmp_path / "ray"), executor=OnRay()) == 12
    assert content(tmp_path / "ray") == content(tmp_path / "here")
    cache = encoding.frozen(Models.load(model)).cache("video", SOURCE)
    window = encoding.cutting.window("test/e3", ("view1",), 2)
    known = cache.find(str(window), "video 5")
    assert known is not None
    assert known.shape[0] == 96


def test_results_come_in_the_order_of_the_items_and_errors_as_they_were_raised(ray):
    items = [7, 3, 9, 1, 4]
    assert list(OnRay(2)(partial(begin, 2), items)) == list(here(partial(begin, 2), items))
    with pytest.raises(ValueError, match="thirteen is not squared"):
        list(OnRay(1)(partial(begin, 1), [1, 13]))
    assert list(OnRay(1)(partial(begin, 1), [])) == []
    assert ray.is_initialized(), "a cluster that somebody else has joined is left to him"


def test_an_item_that_kills_its_process_each_time_is_named_and_given_up():
    results = OnRay(1)(partial(begin, 1), [2, 17, 3])
    assert next(results) == (4, "word ")
    with pytest.raises(
        OSError, match="item 17: the process that worked on it died 3 times; its files are damaged"
    ):
        list(results)


def test_what_the_cluster_has_no_room_for_is_refused_and_not_waited_for():
    with pytest.raises(ValueError, match="a worker needs 3"):
        list(OnRay(num_cpus=3)(partial(begin, 1), [1]))
    with pytest.raises(ValueError, match="0 graphics cards"):
        list(executor_named("ray", device="cuda")(partial(begin, 1), [1]))


def test_a_place_that_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="--on ray"):
        executor_named("local", num_workers=4)
    with pytest.raises(ValueError, match="--device cuda, not"):
        executor_named("ray", device="cuda:1")
    with pytest.raises(ValueError, match="at least one"):
        OnRay(num_workers=0)
