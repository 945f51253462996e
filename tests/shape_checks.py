"""How the tests check shapes: beartype on every function; `Self` and whole numbers for floats pass.

beartype knows `Self` in classes that it decorates itself, but the import hook decorates their methods one by
one.
"""

from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype
from typing_extensions import Self

checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({Self: Any}), is_pep484_tower=True))
