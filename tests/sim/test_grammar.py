"""A grammar of instructions: hundreds of sentences, some kept from training, no word of them is."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from action_images.benchmarks import WorldConfig
from action_images.cli import main
from action_images.episodes.dataset import Dataset
from action_images.model.text import HashedWords, words_of
from action_images.sim import TASKS, Tabletop, Task
from action_images.sim.grammar import WORDINGS

KINDS = WORDINGS[1:]


def sentences(task: str) -> dict[str, set[str]]:
    grammar = TASKS[task].grammar
    assert grammar is not None
    return {kind: set(grammar.sentences(kind)) for kind in KINDS}


def words(told: set[str]) -> set[str]:
    return {word for sentence in told for word in words_of(re.sub(r"{.*?}", " ", sentence))}


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_hundreds_of_sentences_and_no_held_out_one_is_trained(task: str):
    told = sentences(task)
    assert len(told["grammar"]) > 500
    assert min(len(told[kind]) for kind in KINDS) > 200
    assert not told["grammar"] & (told["new_wording"] | told["new_pair"])
    assert not told["new_wording"] & told["new_pair"]


@pytest.mark.parametrize("task", TASKS)
def test_held_out_sentences_are_made_of_words_that_training_has(task: str):
    told = sentences(task)
    assert words(told["new_wording"] | told["new_pair"]) <= words(told["grammar"])
    encoder = HashedWords(vocabulary=words(told["grammar"]))
    longest = max(set.union(*told.values()), key=lambda said: len(words_of(said)))
    assert len(words_of(longest)) <= encoder.max_words


@pytest.mark.parametrize("task", TASKS)
def test_every_verb_and_every_noun_is_trained_but_not_every_pair(task: str):
    grammar = TASKS[task].grammar
    assert grammar is not None
    plain = replace(grammar, places=grammar.places[:1])
    trained, held_out = (set(plain.sentences(kind)) for kind in ("grammar", "new_pair"))
    pairs = list(product(grammar.verbs, grammar.things))
    said = {
        (verb, thing): verb.replace("{thing}", thing).replace("{place}", plain.places[0])
        for verb, thing in pairs
    }
    shown = {pair for pair in pairs if said[pair] in trained or f"please {said[pair]}" in trained}
    kept_out = {pair for pair in pairs if said[pair] in held_out}
    assert kept_out
    assert not shown & kept_out
    assert {verb for verb, _ in shown} == set(grammar.verbs)
    assert {thing for _, thing in shown} == set(grammar.things)


@pytest.mark.parametrize("task", TASKS)
def test_every_sentence_can_be_filled_in_for_a_trial(task: str):
    world = Tabletop(task)
    world.begin(0)
    for told in sentences(task).values():
        assert all("{" not in sentence.format(**vars(world.trial)) for sentence in told)


def test_a_wording_changes_the_words_alone_and_follows_from_the_seed():
    told = {}
    for wording in WORDINGS:
        world = Tabletop("stack_blocks", wording=wording)
        world.begin(5)
        told[wording] = world.instruction
        assert world.trial.upper in world.instruction
        again = world.twin()
        again.begin(5)
        assert again.instruction == world.instruction
        rephrased = world.rephrased(np.random.default_rng(0))
        assert rephrased != world.instruction
        places = [world.world.pose(f"{world.trial.upper} block").translation.tolist()]
        assert places == [again.world.pose(f"{world.trial.upper} block").translation.tolist()]
    assert len(set(told.values())) == len(WORDINGS)


def test_what_a_scene_is_rephrased_as_is_no_sentence_of_training():
    world, rng = Tabletop("open_oven", wording="grammar"), np.random.default_rng(0)
    trained, held = (sentences("open_oven")[kind] for kind in ("grammar", "new_wording"))
    for seed in range(6):
        world.begin(seed)
        paint = vars(world.trial)["paint"]
        assert world.instruction in {sentence.format(paint=paint) for sentence in trained}
        assert world.rephrased(rng) in {sentence.format(paint=paint) for sentence in held}


def test_a_task_without_a_grammar_says_so():
    class Untold(TASKS["close_box"]):
        grammar = None

    assert issubclass(Untold, Task)
    with pytest.raises(ValueError, match="Untold has no grammar for the wording 'grammar'"):
        Tabletop(Untold, wording="grammar").begin(0)


def test_a_world_with_one_wording_refuses_others():
    assert WorldConfig(wording="new_pair", size=(32, 32)).seen()["wording"] == "new_pair"
    assert "wording" not in WorldConfig().seen()
    with pytest.raises(ValueError, match="has no wording 'verse'; it has: phrasings, grammar"):
        WorldConfig(wording="verse")


def test_recorded_demonstrations_are_told_in_sentences_of_the_grammar(tmp_path: Path):
    line = ["record", "--task", "push_button", "--episodes", "3", "--size", "32", "--workers", "1"]
    assert main([*line, "--wording", "grammar", "--out", str(tmp_path / "set")]) == 0
    dataset = Dataset(tmp_path / "set")
    trained, told = sentences("push_button")["grammar"], []
    for number in range(3):
        world = Tabletop("push_button")
        world.begin(number)
        told.append(dataset.instruction(number))
        assert told[-1] in {sentence.format(**vars(world.trial)) for sentence in trained}
    assert len(set(told)) == 3
    assert main([*line, "--out", str(tmp_path / "set")]) == 2  # other words want another folder
