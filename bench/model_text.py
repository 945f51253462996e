"""What a small probe learns from each text encoder's tokens, on phrasings that it was not trained on."""

from collections.abc import Iterator
from typing import Any

import torch

from action_images.model.text import HashedWords

Row = dict[str, Any]

COLOUR_WORDS = ("red", "green", "blue", "yellow", "orange", "purple")
TASK_WORDS = ("pick up", "push", "reach", "slide")
TRAINED = ("{verb} the {colour} block", "please {verb} the {colour} cube", "{verb} the block that is {colour}")
HELD_OUT = ("can you {verb} that {colour} thing on the table", "the {colour} one, {verb} it now")


def text(encoders: dict[str, Any] | None = None) -> Iterator[Row]:
    """Held-out phrasings: which colour and which task, by a small attention-pooled probe trained on other phrasings."""
    for name, encoder in (encoders or {"HashedWords 128": HashedWords(128)}).items():
        sets = {"trained": _sentences(TRAINED), "held out": _sentences(HELD_OUT)}
        row: Row = {"encoder": name}
        for which, words in (("task", TASK_WORDS), ("colour", COLOUR_WORDS)):
            column = 1 if which == "task" else 2
            row[f"{which} right, %"] = 100 * _probe(encoder, sets, words, column)
        yield row


def _sentences(forms: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [(form.format(verb=verb, colour=colour), verb, colour) for form in forms for verb in TASK_WORDS for colour in COLOUR_WORDS]


def _probe(encoder: Any, sets: dict[str, list[tuple[str, str, str]]], words: tuple[str, ...], column: int) -> float:
    torch.manual_seed(0)
    tokens = {part: encoder.encode([entry[0] for entry in entries]) for part, entries in sets.items()}
    labels = {part: torch.tensor([words.index(entry[column]) for entry in entries]) for part, entries in sets.items()}
    value = torch.nn.Sequential(torch.nn.Linear(encoder.dim, 64), torch.nn.GELU(), torch.nn.Linear(64, 64))
    attend, out = torch.nn.Linear(encoder.dim, 1), torch.nn.Linear(64, len(words))

    def classify(given: torch.Tensor) -> torch.Tensor:
        padding = ~(given != 0).any(-1, keepdim=True)
        return out((attend(given).masked_fill(padding, -torch.inf).softmax(1) * value(given)).sum(1))

    optimizer = torch.optim.AdamW([*value.parameters(), *attend.parameters(), *out.parameters()], 3e-3, weight_decay=0.05)
    for _ in range(400):
        loss = torch.nn.functional.cross_entropy(classify(tokens["trained"]), labels["trained"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (classify(tokens["held out"]).argmax(-1) == labels["held out"]).float().mean().item()
