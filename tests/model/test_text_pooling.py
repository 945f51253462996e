"""What an instruction says in one vector: padding says nothing, and which word stands where decides."""

import pytest
import torch

from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.conditioning.text_pooling import AttentionPooling, mean_pooling
from action_images.model.text import HashedWords
from action_images.sim.tasks.stack_blocks import StackBlocks
from tiny_models import FULL, TINY


def everywhere(text: torch.Tensor) -> torch.Tensor:
    return torch.ones(text.shape[:2], dtype=torch.bool)


@pytest.fixture
def words() -> AttentionPooling:
    torch.manual_seed(0)
    made = AttentionPooling(4, 16)
    torch.nn.init.normal_(made.weigh.weight)
    return made.eval()


def test_untrained_they_are_the_mean():
    torch.manual_seed(0)
    text, is_word = torch.randn(2, 6, 16), torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    torch.testing.assert_close(AttentionPooling(4, 16)(text, is_word), mean_pooling(text, is_word))


@pytest.mark.parametrize("pooled", [mean_pooling, None], ids=["mean", "picked"])
def test_how_much_padding_follows_changes_nothing(words: AttentionPooling, pooled):
    pooled, text = pooled or words, torch.randn(1, 7, 16)
    torch.testing.assert_close(
        pooled(text, torch.arange(7)[None] < 4), pooled(text[:, :4], everywhere(text[:, :4]))
    )


@pytest.mark.parametrize("pooled", [mean_pooling, None], ids=["mean", "picked"])
def test_no_word_is_zero(words: AttentionPooling, pooled):
    assert not (pooled or words)(torch.randn(1, 3, 16), torch.zeros(1, 3, dtype=torch.bool)).any()


def test_a_word_is_weighed_by_four_words_before_and_after_it(words: AttentionPooling):
    text = torch.randn(1, 12, 16)
    changed = text.clone()
    changed[:, 0] += 1
    scores = [words.weigh(torch.nn.functional.gelu(words.hear(one.mT))) for one in (text, changed)]
    assert (scores[0] != scores[1]).any(1)[0].tolist() == [True] * 5 + [False] * 7


def test_pickers_that_cannot_share_a_vector_evenly_are_refused():
    with pytest.raises(ValueError, match="16 numbers, which 3 cannot evenly"):
        AttentionPooling(3, 16)


def right(picked: bool) -> float:
    """How often a linear reading of the vector, learnt on 2/3 of the colour pairs, is right on the others."""
    torch.manual_seed(0)
    colours = ["red", "green", "blue", "yellow", "orange", "purple"]
    pairs = torch.tensor([(a, b) for a in range(6) for b in range(6) if a != b])[torch.randperm(30)]
    known, unseen = pairs[:20], pairs[20:]
    encoder = HashedWords(64)
    embed = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.GELU(), torch.nn.Linear(96, 96))
    pool, head = AttentionPooling(8, 96), torch.nn.Linear(96, 12)
    optimizer = torch.optim.Adam(
        [weight for part in (embed, pool, head) for weight in part.parameters()], 2e-3
    )

    def said(pairs: torch.Tensor) -> torch.Tensor:
        return encoder.encode(
            [
                line.format(upper=colours[a], lower=colours[b])
                for a, b in pairs
                for line in StackBlocks.phrasings
            ]
        )

    def named(told: torch.Tensor) -> torch.Tensor:
        return head((pool if picked else mean_pooling)(embed(told), (told != 0).any(-1))).unflatten(
            -1, (2, 6)
        )

    told, wanted = said(known), known.repeat_interleave(len(StackBlocks.phrasings), 0)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(named(told).flatten(0, 1), wanted.flatten()).backward()
        optimizer.step()
    return (
        (named(said(unseen)).argmax(-1) == unseen.repeat_interleave(len(StackBlocks.phrasings), 0))
        .float()
        .mean()
        .item()
    )


def test_which_colour_goes_where_holds_for_pairs_never_seen():
    mean, picked = right(picked=False), right(picked=True)
    assert mean < 0.5  # a mean takes a pair for the same pair the other way round, which it knows
    assert picked > 0.65


def test_the_network_is_told(inputs):
    from action_images.canvas import MODES

    torch.manual_seed(0)
    model = ActionImagesTransformer3DModel(**{**FULL, **TINY}).eval()
    torch.nn.init.normal_(model.proj_out.weight)
    given = inputs(num_frames=8, height=8, width=8) | {
        "layout": MODES["policy"].layout(2, 3),
        "camera": torch.randn(2, 8, 24, 4, 4),
    }
    given |= {"first_frames": torch.rand(2, 2, 3, 64, 64), "timestep": torch.rand(2, 8)}
    with torch.no_grad():
        before = model(**given).sample
        torch.nn.init.normal_(model.words.weigh.weight)
        assert (model(**given).sample - before).abs().max() > 1e-3
