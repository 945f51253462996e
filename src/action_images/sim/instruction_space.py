"""Instructions as a Gymnasium space that asynchronous vector environments can read out of shared memory."""

import string
from collections.abc import Iterator, Sequence
from typing import Any, overload

from gymnasium import spaces
from gymnasium.vector.utils import read_from_shared_memory

MAX_LENGTH = 200


class InstructionSpace(spaces.Text):
    """Any text of up to 200 printable ASCII characters.

    Gymnasium 1.x reads texts out of shared memory once, before the first reset, and never again: each
    instruction of an asynchronous vector environment would be 200 times the letter a. Texts of this space are
    read whenever they are looked at.
    """

    def __init__(self) -> None:
        charset = string.ascii_letters + string.digits + string.punctuation + " "
        super().__init__(MAX_LENGTH, charset=charset)


class SharedTexts(Sequence[str]):
    """The texts that stand in shared memory now; a copy of them is a tuple that changes no more."""

    def __init__(self, space: spaces.Text, memory: Any, num_texts: int) -> None:
        self._space, self._memory, self._num_texts = space, memory, num_texts

    def _now(self) -> tuple[str, ...]:
        as_text = read_from_shared_memory.dispatch(spaces.Text)
        return tuple(as_text(self._space, self._memory, self._num_texts))

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._now()[index]

    def __len__(self) -> int:
        return self._num_texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __eq__(self, other: object) -> bool:
        return self._now() == (other._now() if isinstance(other, SharedTexts) else other)

    def __repr__(self) -> str:
        return repr(self._now())

    def __copy__(self) -> tuple[str, ...]:
        return self._now()

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return self._now()

    __hash__ = None  # pyright: ignore[reportAssignmentType]


# A sequence will do where the stub asks for a tuple.
@read_from_shared_memory.register(InstructionSpace)  # pyright: ignore[reportArgumentType]
def _read_instructions(space: InstructionSpace, shared_memory: Any, n: int = 1) -> SharedTexts:
    return SharedTexts(space, shared_memory, n)
