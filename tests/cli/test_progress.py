"""What a terminal is shown while a command works, and that nothing else is shown it."""

import os
import pty
import subprocess
import sys

CODE = """
from action_images.terminal.progress import counting, stage, working
stage("loading libraries")
with working("imagining [bold]{this}"):
    pass
with counting("checking") as tell:
    tell(3, 7)
"""


def on_a_terminal(code: str) -> str:
    """What a program writes on stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=environment) as program:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux says so where the other end is closed
            pass
        assert program.wait() == 0
    os.close(ours)
    return shown.decode()


def test_a_terminal_is_shown_stages_clocks_and_bars():
    shown = on_a_terminal(CODE)
    assert "loading libraries ..." in shown
    assert "imagining [bold]{this}" in shown
    assert "3/7" in shown


def in_a_file(code: str) -> str:
    """What a program writes on stderr where that is no terminal."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    return ended.stderr


def test_short_work_leaves_a_file_empty():
    assert in_a_file(CODE) == ""


def test_long_work_tells_a_file_now_and_then_how_far_it_is_and_what_is_left():
    code = """
import time
from action_images.terminal import progress
progress.SECONDS_TO_FIRST_LINE, progress.SECONDS_BETWEEN_LINES = 0.2, 0.4
with progress.counting("recording") as tell:
    tell(100, 200)
    for done in range(101, 201):
        time.sleep(0.01)
        tell(done, 200, "close_door")
"""
    lines = in_a_file(code).splitlines()
    assert 2 <= len(lines) <= 50, "now and then: not one each"
    assert lines[0].startswith("recording (close_door): 1")
    assert lines[0].endswith(" of 200, less than a minute left")


def test_the_time_left_is_counted_from_what_was_done_here():
    code = """
import time
from action_images.terminal import progress
progress.SECONDS_TO_FIRST_LINE = 0.2
with progress.counting("checking") as tell:
    tell(1_000_000, 1_001_000)
    time.sleep(0.3)
    tell(1_000_001, 1_001_000)
"""
    (line,) = in_a_file(code).splitlines()
    minutes = int(line.removesuffix(" min left").rpartition(" ")[2])
    assert 5 <= minutes <= 60, "999 at .3 s each; not none, as a million were there before"


def test_a_command_says_at_once_that_it_has_begun():
    code = "import sys; from action_images.cli import main; sys.exit(main(['tasks']))"
    shown = on_a_terminal(f"import time; began = time.monotonic(); {code}")
    assert shown.startswith("loading libraries ...")
