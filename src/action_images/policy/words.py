"""The words of an instruction that a policy's text encoder reads."""

from action_images.model.text import HashedWords, TextEncoder, words_of
from action_images.robot import WordsRead


def words_read(text: TextEncoder, instruction: str) -> WordsRead:
    """The words that are read and those that are ignored; a language model reads all."""
    words = words_of(instruction)
    known = text.known(instruction) if isinstance(text, HashedWords) else words
    return WordsRead(tuple(known), tuple(word for word in words if word not in known))
