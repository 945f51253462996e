"""Names, folders and addresses become policies in one place: what they are called and how they are made."""

import pickle
import shutil
import subprocess
import sys

import pytest

from action_images.baselines.policy import VectorPolicy
from action_images.control import Hold
from action_images.errors import ActionImagesError, WeightsChanged
from action_images.evaluation.references import Expert, ExpertThroughVideo, Random
from action_images.model.shipped import INDEX, models_folder
from action_images.policies import (
    REFERENCES,
    ModelsPolicy,
    Planning,
    ReferencePolicy,
    ServedPolicy,
    ServerAccess,
    maker_of,
    name_of,
    policy_named,
)
from action_images.policy import BestOf, GenerativePolicy
from action_images.serving.client import RemotePolicy


@pytest.mark.parametrize("given", [*REFERENCES, "shipped", "ws://127.0.0.1:9"])
def test_a_maker_pickles_and_is_equal_to_its_copy(given: str):
    maker = maker_of(given)
    copy = pickle.loads(pickle.dumps(maker))
    assert copy == maker
    assert hash(copy) == hash(maker)
    assert type(copy()) is type(maker())


def test_every_kind_of_name_makes_its_kind_of_policy():
    made = {given: type(maker_of(given)()) for given in (*REFERENCES, "shipped", "wss://robot:9")}
    assert made == {
        "expert": Expert,
        "expert-video": ExpertThroughVideo,
        "hold": Hold,
        "random": Random,
        "shipped": GenerativePolicy,
        "wss://robot:9": RemotePolicy,
    }
    assert VectorPolicy not in made.values()


def test_the_shipped_policy_has_the_size_and_rate_of_its_clips():
    shipped = policy_named("shipped")
    policy = shipped.make()
    assert (shipped.image_size, shipped.fps) == (policy.image_size, policy.fps)
    assert shipped.clips == (*policy.image_size, policy.fps)


def test_a_folder_whose_models_were_replaced_makes_no_policy_of_the_former_name(tmp_path):
    folder = shutil.copytree(models_folder("shipped"), tmp_path / "model")
    judged = policy_named(str(folder))
    judged.make()
    index = folder / INDEX
    index.write_text(index.read_text() + "\n")
    with pytest.raises(WeightsChanged, match=r"no longer '.*', as a training replaces its models: copy the"):
        judged.make()


def test_options_reach_the_policy():
    planning = Planning(mode="joint", imagine=True, seed=3, best_of=2)
    best = maker_of("shipped", planning)()
    assert isinstance(best, BestOf)
    assert best.num_plans == 2
    assert (best.policy.mode, best.policy.wanted, best.policy.seed) == ("joint", ("video", "action"), 3)


def test_what_changes_plans_belongs_to_the_name():
    plain = name_of("shipped")
    assert plain.startswith("shipped-")
    assert name_of("shipped", Planning(device="cuda", imagine=True)) == plain
    planning = Planning(mode="joint", best_of=2, sampling="one-step", seed=1, dtype="bfloat16")
    assert name_of("shipped", planning) == f"{plain} bfloat16 mode=joint best_of=2 sampling=one-step seed=1"
    assert policy_named("random", Planning(seed=4)).name == "random seed=4"


def test_references_draw_at_the_size_that_they_are_shown():
    video = policy_named("expert-video", reference_size=(64, 96))
    assert video.make == ReferencePolicy("expert-video", (64, 96))
    assert video.clips == (64, 96, 5.0)
    assert policy_named("expert", reference_size=(64, 96)).clips is None


@pytest.mark.parametrize(
    ("given", "planning", "access", "says"),
    [
        ("hold", Planning(seed=1, best_of=2), ServerAccess(), "--seed, --best-of: is for a folder of models"),
        ("ws://robot:9", Planning(device="cuda"), ServerAccess(), "--device: is for a folder of models"),
        ("random", Planning(mode="joint"), ServerAccess(), "--mode: is for a folder of models"),
        ("hold", Planning(), ServerAccess(token="t"), "--token-file: is for a policy server"),
        ("shipped", Planning(), ServerAccess(actions="pose"), "--actions: is for a policy server"),
        ("nowhere", Planning(), ServerAccess(), "there is no policy 'nowhere'; give a folder"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_loaded(given, planning, access, says):
    with pytest.raises(ActionImagesError, match=says):
        maker_of(given, planning, access)


def test_an_imagined_video_needs_a_mode_that_imagines_one():
    with pytest.raises(ActionImagesError, match="give --mode joint"):
        maker_of("shipped", Planning(imagine=True))()


def test_a_maker_is_made_without_torch():
    code = (
        "import sys; from action_images.policies import maker_of, name_of;"
        "maker_of('shipped'), name_of('shipped'), maker_of('hold'); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"


def test_kinds_of_makers():
    assert isinstance(maker_of("hold"), ReferencePolicy)
    assert isinstance(maker_of("shipped"), ModelsPolicy)
    assert isinstance(maker_of("ws://robot:9"), ServedPolicy)
