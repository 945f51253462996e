"""Instructions are told apart, padded one by one, and encoded once."""

import subprocess
import sys
import warnings

import pytest
import torch

from action_images.errors import ActionImagesError
from action_images.model.deferred import DeferredText
from action_images.model.text import HashedWords, clean
from tiny_models import tiny_language_model

words = HashedWords()


def test_prompts_are_cleaned_as_the_release_did():
    assert clean("Pick up_the  red cup.") == "Pick up the red cup"


def test_one_word_changes_one_token():
    red, blue = words.encode(["pick up the red cup", "pick up the blue cup"])
    assert ((red != blue).any(-1).nonzero().flatten() == torch.tensor([3])).all()
    cosine = torch.nn.functional.cosine_similarity(red[3, :120], blue[3, :120], dim=0)
    assert cosine.abs() < 0.3


def test_order_matters():
    first, second = words.encode(["put red on blue", "put blue on red"])
    assert not torch.allclose(first, second)
    torch.testing.assert_close(first[1, :120], second[3, :120])


def test_words_of_one_stem_are_closer_than_others():
    drawer, drawers, bottle = (words.encode([word])[0, 0, :120] for word in ("drawer", "drawers", "bottle"))
    near, far = (torch.nn.functional.cosine_similarity(drawer, other, dim=0) for other in (drawers, bottle))
    assert near > far + 0.05


def test_no_instruction_is_all_padding():
    assert not words.encode([""]).any()


def test_case_and_punctuation_do_not_matter():
    assert torch.equal(*words.encode(["Push the red_block.", "push the red block!"]))


def test_another_process_hears_the_same():
    code = (
        "from action_images.model.text import HashedWords; "
        "print(HashedWords().encode(['open the drawer']).sum().item())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(told.stdout) == words.encode(["open the drawer"]).sum().item()


def test_too_many_words_are_refused():
    with pytest.raises(ValueError, match="has 30 words, this model reads 24"):
        words.encode(["very " * 30])


def test_a_language_model_says_that_an_instruction_is_too_long_before_it_is_read(tmp_path):
    model = tiny_language_model()
    model.save(tmp_path)
    deferred = DeferredText(tmp_path, {"num_tokens": 4}, torch.float32)
    model.num_tokens = 4
    for text in (model, deferred):
        text.check("pick it up")
        with pytest.raises(ActionImagesError, match="has 6 tokens, this model reads 4; shorten: 'pick up"):
            text.check("pick up the red cup")
    assert not deferred.is_loaded


def test_words_that_were_never_learnt_are_left_out_with_a_warning_and_the_others_close_up():
    learnt = HashedWords(vocabulary=["pick", "up", "the", "red", "cup"])
    with pytest.warns(UserWarning, match=r"left out: kindly, mug$"):
        told = learnt.encode(["Kindly pick up the red mug, kindly"])
    assert torch.equal(told, learnt.encode(["pick up the red"]))
    assert learnt.known("kindly pick the red mug") == ["pick", "the", "red"]


def test_words_that_were_learnt_are_heard_as_by_an_encoder_that_hears_all():
    text = "pick up the red cup"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(HashedWords(vocabulary=text.split()).encode([text, ""]), words.encode([text, ""]))


def test_words_left_out_do_not_count_as_too_many():
    with pytest.warns(UserWarning, match="left out: very$"):
        assert HashedWords(vocabulary=["push"]).encode(["very " * 30 + "push"])[0, 0].any()


def test_a_vocabulary_grows_and_stays_what_it_was():
    first = HashedWords(64, 12, ["red"])
    more = first.having(["blue"])
    assert (more.dim, more.max_words, more.vocabulary, first.vocabulary) == (64, 12, {"red", "blue"}, {"red"})
    assert HashedWords().having(["red"]).vocabulary == {"red"}


def test_a_language_model_pads_each_sample_on_its_own():
    encoder = tiny_language_model()
    together = encoder.encode(["pick up the red cup", "push"])
    assert together.shape == (2, 512, encoder.dim)
    for row, instruction in zip(together, ["pick up the red cup", "push"], strict=True):
        torch.testing.assert_close(row, tiny_language_model().encode([instruction])[0])
    assert not together[0, 6:].any()
    assert not together[1, 2:].any()


def test_a_language_model_reads_each_instruction_once():
    encoder, calls = tiny_language_model(), []
    encoder.model.register_forward_hook(lambda *_: calls.append(1))
    encoder.encode(["push", "push", "pull"])
    encoder.encode(["pull", "push"])
    assert len(calls) == 2


def test_a_language_model_forgets_the_oldest_first():
    encoder = tiny_language_model()
    encoder.max_remembered = 2
    encoder.encode(["push", "pull"])
    encoder.encode(["open"])
    assert list(encoder._remembered) == ["pull", "open"]
