"""Results of different settings never mix, and an attempt that came to nothing stands in nobody's way."""

import json

import pytest

from action_images.files.settings import keep_settings


def test_the_same_settings_go_on_and_others_are_refused_by_name(tmp_path):
    path = tmp_path / "settings.json"
    keep_settings(path, {"views": ("a", "b"), "seed": 1}, empty=True)
    keep_settings(path, {"seed": 1, "views": ["a", "b"]}, empty=False)
    with pytest.raises(ValueError, match=r"other settings \(seed differ\)"):
        keep_settings(path, {"views": ("a", "b"), "seed": 2}, empty=False)
    with pytest.raises(ValueError, match=r"\(rig differ\)"):
        keep_settings(path, {"views": ("a", "b"), "seed": 1, "rig": None} | {"rig": "fixed"}, empty=False)
    assert json.loads(path.read_text()) == {"views": ["a", "b"], "seed": 1}


def test_without_a_result_the_settings_of_a_failed_attempt_are_replaced(tmp_path):
    path = tmp_path / "settings.json"
    keep_settings(path, {"seed": 1}, empty=True)
    keep_settings(path, {"seed": 2}, empty=True)
    assert json.loads(path.read_text()) == {"seed": 2}


@pytest.mark.parametrize(
    ("content", "said"), [(None, "has results but no"), ("{", "is no JSON"), ("[1]", "holds no settings")]
)
def test_results_without_settings_are_refused(tmp_path, content, said):
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=said):
        keep_settings(path, {"seed": 1}, empty=False)
