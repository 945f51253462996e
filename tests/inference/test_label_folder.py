"""The folder that labels are written to: held by one process, and taken up again after any kill."""

import pytest

from action_images.episodes.episode import EpisodeError
from action_images.errors import ActionImagesError
from action_images.inference.label_folder import SETTINGS, alone_with_labels, prepare
from action_images.inference.label_job import Job
from action_images.inference.labelling import Labelling
from recorded import write_set


def no_models():
    raise AssertionError("nothing is labelled here")


@pytest.fixture
def job(tmp_path) -> Job:
    return Job(no_models, write_set(tmp_path / "set"), Labelling("a model", ("front", "left")))


def test_a_folder_that_was_killed_before_it_had_settings_is_taken(job, tmp_path):
    half = tmp_path / "out" / "labels" / ".settings.json.abcdefgh.action-images-part.json"
    half.parent.mkdir(parents=True)
    half.touch()
    with alone_with_labels(job, tmp_path / "out"):
        assert prepare(job, tmp_path / "out", None)[1] == 6
    assert (tmp_path / "out" / SETTINGS).is_file()
    assert not half.exists()


def test_a_second_process_is_refused(job, tmp_path):
    with (
        alone_with_labels(job, tmp_path / "out"),
        pytest.raises(ActionImagesError, match="another process is writing here"),
        alone_with_labels(job, tmp_path / "out"),
    ):
        pass


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(job, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(EpisodeError, match="holds something"), alone_with_labels(job, tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
