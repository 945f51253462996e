"""The lightest work for a Ray cluster: its processes start without loading any model's code."""

import os
import signal
from functools import partial


def squares(num_words: int, item: int) -> tuple[int, str]:
    if item == 13:
        raise ValueError("thirteen is not squared")
    if item == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item, "word " * num_words


def begin(num_words: int):
    return partial(squares, num_words)
