"""Instructions to text tokens: the release's language model, or hashed words for models from scratch."""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from action_images.device import sent
from action_images.errors import ActionImagesError
from action_images.model.claims import check_files
from action_images.model.loading import FROM_FOLDER, errors_named

MAX_SIZE = 1 << 14
"""The largest number of tokens of an instruction, and of numbers of a token, in saved models."""
NUM_TOKENS = 512
"""The number of tokens of the release's language model."""


@runtime_checkable
class TextEncoder(Protocol):
    """Instructions in, tokens out; each sample is padded with zeros to one fixed length."""

    dim: int

    def encode(self, instructions: Sequence[str]) -> Float[Tensor, "b token dim"]:
        """Tokens of each instruction, float32; the empty string means no instruction."""
        ...


@runtime_checkable
class LimitedText(Protocol):
    """A text encoder that can tell whether an instruction is too long for it, without encoding it."""

    def check(self, instruction: str) -> None:
        """Raise ActionImagesError for an instruction that `encode` would refuse."""
        ...


@runtime_checkable
class SavedTextEncoder(TextEncoder, Protocol):
    """A text encoder that `TEXT_ENCODERS` knows: models are saved and loaded with it."""

    kind: ClassVar[str]
    """Its name in saved folders."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write weights, if it has any, into a folder of models; returns the rest for the folder's index."""
        ...

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any], dtype: torch.dtype) -> Self:
        """Read what `save` wrote; `dtype` is that of large networks. Raises ActionImagesError for damaged
        files."""
        ...


def clean(instruction: str) -> str:
    """Clean an instruction like the release's prompts: no full stops or underscores, single spaces."""
    return re.sub(r"\s+", " ", instruction.replace(".", "").replace("_", " ")).strip()


def words_of(instruction: str) -> list[str]:
    """An instruction's words in lower case, without punctuation."""
    return re.findall(r"\w+", clean(instruction).lower())


class HashedWords(nn.Module):
    """Each word is a fixed random vector derived from its spelling: no weights, any language.

    The network learns the meaning of the vectors, as with an embedding table. Vectors of words absent from
    training are noise to it, so words that are not in the `vocabulary` are left out, with a warning (None:
    all are read).

    A word's vector mixes one for the whole word with those of its three-letter pieces, so that 'drawers'
    starts close to 'drawer'. Some channels encode its place in the sentence, so that 'red on blue' is not
    'blue on red'. docs/model.md has the comparison with a language model's embeddings.
    """

    kind: ClassVar[str] = "hashed_words"
    place: Tensor
    """Empty; it moves with the module and so gives the tokens' device."""
    WORD_SHARE = 0.8
    PLACE_CHANNELS = 8

    def __init__(self, dim: int = 128, max_words: int = 24, vocabulary: Iterable[str] | None = None) -> None:
        super().__init__()
        self.dim, self.max_words = dim, max_words
        self.vocabulary = None if vocabulary is None else frozenset(vocabulary)
        self._vectors: dict[str, Tensor] = {}
        self.register_buffer("place", torch.zeros(0), persistent=False)

    def encode(self, instructions: Sequence[str]) -> Float[Tensor, "b token dim"]:
        """Tokens of each instruction, float32; warns of unknown words and refuses more than `max_words` known
        ones."""
        tokens = torch.zeros(len(instructions), self.max_words, self.dim)
        for row, instruction in zip(tokens, instructions, strict=True):
            self.check(instruction)
            words = self.known(instruction)
            if unknown := [word for word in words_of(instruction) if word not in words]:
                warnings.warn(
                    f"words that the model never read are left out: {', '.join(dict.fromkeys(unknown))}",
                    stacklevel=2,
                )
            for place, word in enumerate(words):
                row[place] = torch.cat([self._word(word), _place(place, self.PLACE_CHANNELS)])
        return sent(tokens, self.place.device)

    def check(self, instruction: str) -> None:
        """See `LimitedText`."""
        words = self.known(instruction)
        if len(words) > self.max_words:
            raise ActionImagesError(
                f"an instruction has {len(words)} words, this model reads {self.max_words}; "
                f"shorten: '{instruction[:60]}...'"
            )

    def save(self, folder: Path) -> dict[str, Any]:  # noqa: ARG002
        """Return sizes and vocabulary for the folder's index; there are no weights."""
        config: dict[str, Any] = {"dim": self.dim, "max_words": self.max_words}
        return config if self.vocabulary is None else config | {"vocabulary": sorted(self.vocabulary)}

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any], dtype: torch.dtype) -> Self:  # noqa: ARG003
        """Build it from the result of `save`."""
        sizes: dict[str, Any] = {name: config.get(name) for name in ("dim", "max_words") if name in config}
        _check_sizes(folder, sizes)
        vocabulary = config.get("vocabulary", [])
        if not isinstance(vocabulary, list) or not all(isinstance(word, str) for word in vocabulary):
            raise ActionImagesError(f"{folder}: its index has a vocabulary that is no list of words")
        return cls(**sizes, vocabulary=config.get("vocabulary"))

    def known(self, instruction: str) -> list[str]:
        """The words that are read."""
        return [word for word in words_of(instruction) if self.vocabulary is None or word in self.vocabulary]

    def having(self, words: Iterable[str]) -> "HashedWords":
        """The same with these words added to its vocabulary; without a vocabulary, these become it."""
        return HashedWords(self.dim, self.max_words, {*(self.vocabulary or ()), *words}).to(self.place.device)

    def _word(self, word: str) -> Tensor:
        if word not in self._vectors:
            padded = f"<{word}>"
            pieces = [padded[start : start + 3] for start in range(len(padded) - 2)]
            mean = torch.stack([self._random(piece) for piece in pieces]).sum(0) / len(pieces) ** 0.5
            self._vectors[word] = (
                self.WORD_SHARE**0.5 * self._random(f"word {word}") + (1 - self.WORD_SHARE) ** 0.5 * mean
            )
        return self._vectors[word]

    def _random(self, text: str) -> Tensor:
        # A cryptographic hash, since Python's own differs between processes.
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")
        return torch.randn(self.dim - self.PLACE_CHANNELS, generator=torch.Generator().manual_seed(seed))


@cache
def _place(place: int, channels: int) -> Tensor:
    """A word's place in the sentence, in `channels` channels."""
    angles = place / 2.0 ** torch.arange(channels // 2)
    return torch.cat([angles.sin(), angles.cos()])


class LanguageModel(nn.Module):
    """A pretrained UMT5 encoder from `transformers` with its tokenizer: UMT5-XXL for the released weights.

    Every instruction is padded with zeros to `num_tokens` on its own (512 in the release, where the zeros are
    attended to). Results are cached: `encode` runs the language model once for each new instruction.
    """

    kind: ClassVar[str] = "language_model"

    def __init__(
        self, tokenizer: Any, model: nn.Module, num_tokens: int = NUM_TOKENS, max_remembered: int = 1024
    ) -> None:
        super().__init__()
        self.tokenizer, self.num_tokens, self.max_remembered = tokenizer, num_tokens, max_remembered
        self.model = model.requires_grad_(False).eval()
        self.dim: int = model.config.d_model  # pyright: ignore
        self._remembered: dict[str, Tensor] = {}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write model and tokenizer as transformers does; returns the rest for the folder's index."""
        self.model.save_pretrained(folder / "text_encoder")  # pyright: ignore
        self.tokenizer.save_pretrained(folder / "tokenizer")
        return {"num_tokens": self.num_tokens}

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any], dtype: torch.dtype) -> Self:
        """Read a UMT5 encoder and its tokenizer; raises ActionImagesError for missing or damaged weights."""
        model, tokenizer = _load_umt5(folder / "text_encoder", dtype), load_tokenizer(folder / "tokenizer")
        sizes: dict[str, Any] = {name: config.get(name) for name in ("num_tokens",) if name in config}
        _check_sizes(folder, sizes)
        return cls(tokenizer, model, **sizes)

    @torch.no_grad()
    def encode(self, instructions: Sequence[str]) -> Float[Tensor, "b token dim"]:
        """Tokens of each instruction, float32."""
        cleaned = [clean(instruction) for instruction in instructions]
        for instruction in dict.fromkeys(cleaned):
            if instruction not in self._remembered:
                self._remember(instruction)
        device = next(self.model.parameters()).device
        tokens = [sent(self._remembered[instruction], device) for instruction in cleaned]
        return torch.stack(
            [nn.functional.pad(rows, (0, 0, 0, self.num_tokens - len(rows))) for rows in tokens]
        )

    def check(self, instruction: str) -> None:
        """See `LimitedText`."""
        check_tokens(self.tokenizer, instruction, self.num_tokens)

    def _remember(self, instruction: str) -> None:
        self.check(instruction)
        words = self.tokenizer(instruction, return_tensors="pt", add_special_tokens=True)
        device = next(self.model.parameters()).device
        hidden = (
            self.model(sent(words.input_ids, device), sent(words.attention_mask, device))
            .last_hidden_state[0]
            .float()
        )
        if len(self._remembered) >= self.max_remembered:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[instruction] = hidden


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a language model; raises ActionImagesError for missing or damaged files."""
    from transformers import AutoTokenizer

    check_files(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library may raise anything for a damaged or hostile file
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ActionImagesError(f"{folder}: holds no tokenizer ({reason}); copy it again") from error


def check_tokens(tokenizer: Any, instruction: str, num_tokens: int) -> None:
    """Raise ActionImagesError for an instruction of more tokens."""
    number = len(tokenizer(clean(instruction), add_special_tokens=True).input_ids)
    if number > num_tokens:
        raise ActionImagesError(
            f"an instruction has {number} tokens, this model reads {num_tokens}; "
            f"shorten: '{instruction[:60]}...'"
        )


def _check_sizes(folder: Path, sizes: Mapping[str, Any]) -> None:
    """Raise ActionImagesError if an index has impossible sizes of a text encoder."""
    for name, size in sizes.items():
        if type(size) is not int or not 0 < size <= MAX_SIZE:
            raise ActionImagesError(
                f"{folder}: its index says {name} {str(size)[:40]}, 1 to {MAX_SIZE} can be"
            )


def _load_umt5(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import UMT5EncoderModel

    with errors_named(folder):
        loaded: Any = UMT5EncoderModel.from_pretrained(folder, dtype=dtype, **FROM_FOLDER)
    model, report = loaded
    # transformers fills missing weights with random numbers, and only warns.
    missing = sorted({*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])})
    if missing:
        raise ActionImagesError(
            f"{folder}: lacks weights of a UMT5 encoder, or has others of another shape "
            f"({len(missing)}, such as {missing[0]}); fetch it again"
        )
    return model


TEXT_ENCODERS: dict[str, type[SavedTextEncoder]] = {
    "hashed_words": HashedWords,
    "language_model": LanguageModel,
}
"""The name of a kind in saved folders -> its class."""
