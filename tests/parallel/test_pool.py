"""A pool's processes end with the one that made them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from action_images.errors import ActionImagesError
from action_images.parallel.pool import pool_of
from processes import is_running

POOL = """
import os, sys, time
from action_images.parallel.pool import pool_of

if __name__ == "__main__":
    with pool_of(2, print, ()) as pool:
        print(*{pool.submit(os.getpid).result() for _ in range(4)} | set(pool._processes), flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_their_maker_ends_them(tmp_path, how: signal.Signals):
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    maker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    lines = iter(maker.stdout.readline, "")
    workers = [int(word) for word in next(line for line in lines if line.strip()).split()]
    assert workers
    assert all(is_running(worker) for worker in workers)
    os.kill(maker.pid, how)
    maker.wait(10)
    deadline = time.monotonic() + 20
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_running(worker) for worker in workers)


def test_less_than_one_process_is_refused_with_the_option():
    with pytest.raises(ActionImagesError, match="--workers is -1"):
        pool_of(-1, print, ())
