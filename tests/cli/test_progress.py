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


def test_files_are_shown_nothing():
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert ended.stdout == ended.stderr == ""


def test_a_command_says_at_once_that_it_has_begun():
    code = "import sys; from action_images.cli import main; sys.exit(main(['tasks']))"
    shown = on_a_terminal(f"import time; began = time.monotonic(); {code}")
    assert shown.startswith("loading libraries ...")
