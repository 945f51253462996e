"""Pooling of an instruction to one vector: words are picked by their neighbours."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from action_images.errors import ActionImagesError


class AttentionPooling(nn.Module):
    """Several learned attention heads (pickers) on an instruction, each with its share of the vector.

    The mean of all words is nearly the same for 'red on blue' and 'blue on red'. A picker weights each word
    by its neighbours up to four places before and after (two convolutions), and pools the words *without*
    their neighbours. One picker learns to take the object that is moved, another its target. This then works
    for words that were never seen together (docs/experiments.md). Before training all weights are equal, and
    the result is the mean.
    """

    CHANNELS = 64
    SPAN = 5
    """The number of words in one convolution's kernel."""

    def __init__(self, num_pickers: int, width: int) -> None:
        super().__init__()
        if width % num_pickers:
            raise ActionImagesError(
                f"word_pickers share a vector of {width} numbers, which {num_pickers} cannot evenly"
            )
        self.num_pickers = num_pickers
        self.hear = nn.Conv1d(width, self.CHANNELS, self.SPAN, padding="same")
        self.weigh = nn.Conv1d(self.CHANNELS, num_pickers, self.SPAN, padding="same", bias=False)
        self.take = nn.Linear(width, width)
        nn.init.zeros_(self.weigh.weight)
        nn.init.eye_(self.take.weight)
        nn.init.zeros_(self.take.bias)

    def forward(
        self, text: Float[Tensor, "b token dim"], is_word: Bool[Tensor, "b token"]
    ) -> Float[Tensor, "b dim"]:
        """Embedded tokens to one vector; `is_word` is False for padding. Zero if there is no word."""
        shown = is_word[:, None].type_as(text)
        heard = F.gelu(self.hear(text.mT * shown)) * shown
        weights = (
            self.weigh(heard).masked_fill(~is_word[:, None], torch.finfo(text.dtype).min).softmax(-1) * shown
        )
        picked = torch.einsum("bpn,bnpd->bpd", weights, self.take(text).unflatten(-1, (self.num_pickers, -1)))
        return picked.flatten(1)


def mean_pooling(
    text: Float[Tensor, "b token dim"], is_word: Bool[Tensor, "b token"]
) -> Float[Tensor, "b dim"]:
    """The mean of the tokens that are not padding; zero if all are padding."""
    counted = is_word[..., None].type_as(text)
    return (text * counted).sum(1) / counted.sum(1).clamp_min(1)
