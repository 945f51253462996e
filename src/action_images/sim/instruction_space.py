"""Instructions as a Gymnasium space that asynchronous vector environments can read from shared memory."""

import string
from collections.abc import Iterator, Sequence
from typing import Any, overload

from gymnasium import spaces
from gymnasium.vector.utils import read_from_shared_memory

MAX_LENGTH = 200


class InstructionSpace(spaces.Text):
    """Any text of up to 200 printable ASCII characters.

    Gymnasium 1.x reads texts from shared memory only once, before the first reset. Each instruction of an
    asynchronous vector environment would then be 200 times the letter a. Texts of this space are read at each
    access.
    """

    def __init__(self) -> None:
        charset = string.ascii_letters + string.digits + string.punctuation + " "
        super().__init__(MAX_LENGTH, charset=charset)


class SharedTexts(Sequence[str]):
    """The current texts in shared memory; a copy is a tuple that does not change."""

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


# The stub asks for a tuple, but a sequence is enough.
@read_from_shared_memory.register(InstructionSpace)  # pyright: ignore[reportArgumentType]
def _read_instructions(space: InstructionSpace, shared_memory: Any, n: int = 1) -> SharedTexts:
    return SharedTexts(space, shared_memory, n)
