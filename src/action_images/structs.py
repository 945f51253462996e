"""Frozen dataclasses of tensors that move, index and stack as one value."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from action_images.errors import ActionImagesError

Array = Tensor | np.ndarray
"""Types accepted wherever numbers are expected; `as_tensor` makes a tensor of them."""
MOST_SHOWN = 4
"""A tensor of up to this many numbers is printed in full, a larger one by its shape."""


class Struct:
    """Base of the frozen dataclasses whose tensors share leading batch axes.

    The type of a field says which axes those are. In `Float[Tensor, "*batch 3 3"]` the axes after the starred
    one belong to one item. A field that holds another Struct is that struct's items, or `Annotated[Camera,
    "*batch view"]` if one item holds several. Either may be None if absent; fields of any other type are
    carried along unchanged.

    Tensors may be given as NumPy arrays and lists of numbers. They take the dtype of the tensors beside them;
    without tensors, that of the first array; lists alone become float32.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A dataclass generates its own repr unless the class itself has one.
        cls.__repr__ = Struct.__repr__

    def __post_init__(self) -> None:
        values = vars(self)
        if any(isinstance(value, (np.ndarray, list)) for value in values.values()):
            self._make_tensors()

    def __repr__(self) -> str:
        """One line: the shapes of large tensors, the numbers of small ones, the batch axes of structs."""
        parts = (f"{one.name}={_shown(getattr(self, one.name))}" for one in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(parts)})"

    def map(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """The same value with `fn` applied to every tensor in it."""
        return self._rebuild(lambda value, _: value.map(fn) if isinstance(value, Struct) else fn(value))

    def to(
        self, device: torch.device | str | torch.dtype | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """The same value on another device, in another dtype or both; integers and booleans keep theirs."""
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        return self.map(
            lambda tensor: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        )

    def __getitem__(self, index: Any) -> Self:
        """Index the batch axes as one would index a tensor that had no others."""
        index = index if isinstance(index, tuple) else (index,)
        if not any(part is Ellipsis for part in index):
            index = (*index, Ellipsis)
        return self._rebuild(lambda value, event_ndim: value[(*index, *[slice(None)] * event_ndim)])

    @property
    def batch_shape(self) -> torch.Size:
        """The leading axes that all tensors of this value share."""
        for name, event_ndim in self._items():
            value = getattr(self, name)
            if value is not None:
                shape = value.batch_shape if isinstance(value, Struct) else value.shape
                return shape[: len(shape) - event_ndim]
        raise TypeError(f"{type(self).__name__} holds no tensor, so it has no batch shape")

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self._first().device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the tensors."""
        return self._first().dtype

    def expand(self, *batch_shape: int) -> Self:
        """The same value with larger batch axes, like `torch.Tensor.expand`: no memory is copied."""

        def expand(value: Any, event_ndim: int) -> Any:
            if isinstance(value, Struct):
                return value.expand(*batch_shape, *value.batch_shape[len(value.batch_shape) - event_ndim :])
            return value.expand(*batch_shape, *value.shape[value.ndim - event_ndim :])

        return self._rebuild(expand)

    def _make_tensors(self) -> None:
        values = {name: value for name, _ in self._items() if (value := getattr(self, name)) is not None}
        known = [value.dtype for value in values.values() if isinstance(value, (Tensor, Struct))]
        floats = [dtype for dtype in known if dtype.is_floating_point]
        # Lists, which have no dtype of their own, come last.
        for name, value in sorted(values.items(), key=lambda item: isinstance(item[1], list)):
            if isinstance(value, (np.ndarray, list)):
                made = as_tensor(value, f"{type(self).__name__}.{name}", floats[0] if floats else None)
                floats += [made.dtype] if made.is_floating_point() else []
                object.__setattr__(self, name, made)

    def _first(self) -> Any:
        return next(value for name, _ in self._items() if (value := getattr(self, name)) is not None)

    def _rebuild(self, fn: Callable[[Any, int], Any]) -> Self:
        changes = {
            name: fn(value, event_ndim)
            for name, event_ndim in self._items()
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **changes)  # type: ignore[type-var]

    @classmethod
    def _items(cls) -> tuple[tuple[str, int], ...]:
        return _items(cls)


def as_tensor(given: Any, name: str, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers as a tensor: tensors unchanged; copies of arrays and lists, in `dtype` if given.

    Without it float arrays keep their dtype, and all other numbers become float32. Booleans and 8-bit
    integers keep their type. Raises ActionImagesError, naming `name`, for anything but numbers.
    """
    if isinstance(given, Tensor):
        return given
    try:
        array = np.array(given)
    except ValueError:  # rows of several lengths
        array = np.array(given, dtype=object)
    if array.dtype.kind not in "biuf":
        raise ActionImagesError(
            f"{name}: a {type(given).__name__} of {array.dtype} is no array of numbers; give a tensor, a "
            "NumPy array or rows of numbers of one length"
        )
    if array.dtype in (np.uint8, np.bool_):
        return torch.from_numpy(array)
    own = array.dtype if isinstance(given, np.ndarray) and array.dtype in (np.float16, np.float64) else None
    return torch.from_numpy(array.astype(own or np.float32)).to(dtype)


def _shown(value: Any) -> str:
    if isinstance(value, Struct):
        return f"{type(value).__name__}{list(value.batch_shape)}"
    if not isinstance(value, Tensor):
        return repr(value)
    if value.numel() <= MOST_SHOWN and value.ndim <= 1 and not value.is_meta:
        numbers = value.tolist()
        one = value.ndim == 0
        return _number(numbers) if one else f"[{', '.join(map(_number, numbers))}]"
    place = "" if value.device.type == "cpu" else f" on {value.device}"
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}{place}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@cache
def _items(struct: type) -> tuple[tuple[str, int], ...]:
    """The fields that hold tensors or structs, with the number of axes that belong to one item."""
    hints = get_type_hints(struct, include_extras=True)
    depths = ((declared.name, _event_ndim(hints[declared.name])) for declared in fields(struct))
    return tuple((name, depth) for name, depth in depths if depth is not None)


def _event_ndim(hint: Any) -> int | None:
    if get_origin(hint) in (Union, UnionType):
        return next((depth for part in get_args(hint) if (depth := _event_ndim(part)) is not None), None)
    if get_origin(hint) is Annotated and issubclass(get_args(hint)[0], Struct):
        return _axes_after_star(get_args(hint)[1])
    if hasattr(hint, "dim_str"):
        return _axes_after_star(hint.dim_str)
    # Until Python 3.11 `dict[str, float]` passes for a type.
    return 0 if get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, Struct) else None


def _axes_after_star(axes: str) -> int:
    names = axes.split()
    return len(names) - 1 - next(i for i, name in enumerate(names) if name.startswith("*"))


def stack(values: Sequence[Any], dim: int = 0) -> Any:
    """Join equal structs along a new batch axis `dim` >= 0; values that are no tensors must all be equal.

    Raises ValueError for an empty sequence, or naming the first field that differs.
    """
    return _join(values, torch.stack, dim)


def concatenate(values: Sequence[Any], dim: int = 0) -> Any:
    """Join structs along a batch axis `dim` >= 0 that they have; otherwise as `stack`."""
    return _join(values, torch.cat, dim)


def _join(values: Sequence[Any], join: Callable[..., Tensor], dim: int) -> Any:
    if not values:
        raise ActionImagesError("there is nothing to join: give at least one value")
    if dim < 0:
        raise ActionImagesError(
            f"structs are joined along dim >= 0, counted from the first batch axis, got {dim}"
        )
    first = values[0]
    if isinstance(first, Tensor):
        return join(list(values), dim)
    items = dict(first._items())
    changes = {}
    for declared in fields(first):
        parts = [getattr(value, declared.name) for value in values]
        if declared.name not in items or parts[0] is None:
            if any(part is not parts[0] and part != parts[0] for part in parts):
                raise ActionImagesError(
                    f"cannot join: {type(first).__name__}.{declared.name} differs ({parts[0]} and others)"
                )
        elif any(part is None for part in parts):
            raise ActionImagesError(
                f"cannot join: {type(first).__name__}.{declared.name} is present in some and None in others"
            )
        else:
            changes[declared.name] = _join(parts, join, dim)
    return replace(first, **changes)
