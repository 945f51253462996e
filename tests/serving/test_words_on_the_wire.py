"""Words that a policy does not know are told to whoever said them: as a warning, or instead of a plan."""

from dataclasses import dataclass

import pytest
from serving_policies import PATIENCE_S, Moody, observation, running, uri

from action_images.baselines.policy import VectorPolicy
from action_images.model.text import HashedWords
from action_images.policies import ServedPolicy
from action_images.policy import BestOf, GenerativePolicy
from action_images.policy.words import words_read
from action_images.robot import WordsRead
from action_images.serving.client import Refused, RemotePolicy
from action_images.serving.messages import Request
from action_images.serving.protocol import WireError
from action_images.serving.tensors import request_from_observation


@dataclass(frozen=True)
class Literate(Moody):
    """A policy that reads two words."""

    def words_read(self, instruction: str) -> WordsRead:
        """Which of them are there."""
        words = instruction.split()
        known = tuple(word for word in words if word in ("press", "button"))
        return WordsRead(known, tuple(word for word in words if word not in known))


@pytest.fixture(scope="module")
def server():
    with running(Literate) as running_server:
        yield running_server


def asked(server, prompt: str, known_words: str | None = None):
    request = request_from_observation(observation(instruction=prompt), known_words=known_words)
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S, actions="pose") as policy:
        return policy.infer(request)


def test_words_that_are_left_out_are_named_in_the_reply(server):
    assert asked(server, "press button").warnings == ()
    (warning,) = asked(server, "press the blue button the").warnings
    assert warning == "words that the policy never read were left out: the, blue"


@pytest.mark.parametrize("prompt", ["drücke den Knopf", "", "按下绿色按钮"])
def test_there_is_no_plan_for_an_instruction_of_which_nothing_is_known(server, prompt: str):
    with pytest.raises(Refused, match=r"the policy understands (none of the words|no instruction)"):
        asked(server, prompt)
    assert len(asked(server, prompt, "none").actions) == 8


def test_a_client_may_want_all_its_words_known(server):
    assert len(asked(server, "press button", "all").actions) == 8
    with pytest.raises(Refused, match="never read the words the; leave them out"):
        asked(server, "press the button", "all")


def test_long_prompts_do_not_come_back_whole(server):
    (warning,) = asked(server, "press " + " ".join(f"word{i}" for i in range(250))).warnings
    assert len(warning) < 300


def test_a_warning_reaches_whoever_asks_in_python(server):
    with (
        RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy,
        pytest.warns(UserWarning, match="left out: blue"),
    ):
        policy.plan(observation(instruction="press blue button"))


def test_a_policy_that_is_judged_is_asked_in_any_words(server):
    policy = ServedPolicy(uri(server))()
    assert policy.plan(observation(instruction="nothing of this")).trajectory.num_frames == 8
    policy.close()


def test_a_policy_that_reads_no_words_is_asked_whatever_the_prompt():
    with running(Moody) as server:
        assert asked(server, "hold still").warnings == ()


@pytest.mark.parametrize("value", ["most", 3, True])
def test_another_rule_is_refused(value):
    message = request_from_observation(observation()).to_message()
    with pytest.raises(WireError, match="known_words"):
        Request.from_message({**message, "known_words": value})


def test_a_policy_reads_the_words_that_its_text_encoder_knows():
    text = HashedWords(vocabulary=["push", "the", "green", "button"])
    assert words_read(text, "Push the green_button.") == WordsRead(("push", "the", "green", "button"))
    assert words_read(text, "Drücke den green button") == WordsRead(("green", "button"), ("drücke", "den"))
    assert words_read(HashedWords(), "any words") == WordsRead(("any", "words"))
    assert words_read(text, "") == WordsRead(())


def test_the_policies_of_folders_say_what_they_read():
    assert all(hasattr(kind, "words_read") for kind in (GenerativePolicy, VectorPolicy, BestOf))
