"""Instructions drawn from a grammar of verbs, nouns and attributes; some sentences are held out."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

Wording = Literal["phrasings", "grammar", "new_wording", "new_pair"]
"""The kind of a trial's instruction: one of its task's few phrasings, or a sentence of its grammar. These
sentences are for training, held out of training, or held out together with their pair of verb and noun."""
WORDINGS: tuple[Wording, ...] = get_args(Wording)

OPENERS = (
    "",
    "please ",
    "now ",
    "robot, ",
    "can you ",
    "could you please ",
    "go ahead and ",
    "i want you to ",
    "your task is to ",
    "the next step is to ",
    "try to ",
    "you should ",
)
UNSEEN_OPENERS = (
    "please try to ",
    "robot, go ahead and ",
    "now i want you to ",
    "robot, your next task is to ",
)
"""Openers of held-out wordings; their words occur in training in other openers."""
CLOSERS = ("", " now", " please", " for me", ", please", ", robot")

CLOSE = ("close {thing}", "shut {thing}", "push {thing} shut", "push {thing} closed", "swing {thing} shut")
OPEN = ("open {thing}", "pull {thing} open", "open up {thing}", "pull {thing} open by its handle")
LIFT = (
    "pick up {thing}",
    "lift {thing}",
    "pick {thing} up",
    "grab {thing} and lift it",
    "raise {thing}",
    "take {thing} off the table",
)
PUT_IN = (
    "put {thing} in {place}",
    "place {thing} into {place}",
    "drop {thing} into {place}",
    "move {thing} into {place}",
    "pick up {thing} and drop it in {place}",
)
PUT_ON = (
    "put {thing} on {place}",
    "place {thing} on top of {place}",
    "set {thing} down on {place}",
    "move {thing} onto {place}",
    "pick up {thing} and put it on {place}",
)


@dataclass(frozen=True)
class Grammar:
    """The instructions of a task: verbs with {thing}, perhaps {place}, and the nouns for these.

    Nouns may contain the trial's attributes in braces. All combinations are sentences. A quarter of the pairs
    of verb and thing, and about an eighth of the other sentences, are held out of training; no word is.
    """

    verbs: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[str, ...] = ("",)

    def draw(self, rng: np.random.Generator, wording: Wording) -> str:
        """A random sentence of this kind, with the trial's attributes still in braces."""
        while True:
            numbers = [int(rng.integers(len(words))) for words in self._parts]
            if self._kind(*numbers) == wording:
                return self._sentence(*numbers)

    def sentences(self, wording: Wording) -> Iterator[str]:
        """All sentences of this kind."""
        for numbers in product(*(range(len(words)) for words in self._parts)):
            if self._kind(*numbers) == wording:
                yield self._sentence(*numbers)

    @property
    def _parts(self) -> tuple[tuple[str, ...], ...]:
        return (*OPENERS, *UNSEEN_OPENERS), self.verbs, self.things, self.places, CLOSERS

    def _sentence(self, opener: int, verb: int, thing: int, place: int, closer: int) -> str:
        openers, verbs, things, places, closers = self._parts
        said = verbs[verb].replace("{thing}", things[thing]).replace("{place}", places[place])
        return openers[opener] + said + closers[closer]

    def _kind(self, opener: int, verb: int, thing: int, place: int, closer: int) -> Wording | None:
        """The kind of wording of a sentence; None for one that nobody would say."""
        sentence = self._sentence(opener, verb, thing, place, closer)
        if any(sentence.count(word) > 1 for word in ("please", "robot", "now")):
            return None
        if (verb + thing) % 4 == 3:
            return "new_pair"
        if opener >= len(OPENERS) or zlib.crc32(sentence.encode()) % 8 == 0:
            return "new_wording"
        return "grammar"
