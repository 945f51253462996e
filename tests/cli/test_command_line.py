"""The command line as such: commands stand alone, and say whose fault it was that they ended."""

import ast
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from action_images.cli import BUG, COMMANDS, main
from action_images.errors import ActionImagesError


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it, and every name that it takes out of one."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


@pytest.mark.parametrize("path", COMMANDS.values(), ids=COMMANDS)
def test_no_command_imports_another(path: Path):
    others = {f"action_images.cli.{other.stem}" for other in COMMANDS.values()}
    assert not imported_modules(path) & others


def test_no_other_room_imports_the_command_line():
    source = Path(__file__).parents[2] / "src" / "action_images"
    for path in source.rglob("*.py"):
        if path.is_relative_to(source / "cli") or path.name == "__main__.py":
            continue
        found = {one for one in imported_modules(path) if one.startswith("action_images.cli")}
        assert not found, f"{path} imports {found}"


def raising(error: BaseException):
    """A command that ends in this error."""

    def command(*_, **__) -> int:
        raise error

    return command


def mismatched(*_, **__) -> int:
    """A command with a bug of the most usual kind."""
    return len(list(zip([1, 2], [1], strict=True)))


def ended(monkeypatch: pytest.MonkeyPatch, command) -> int:
    """The exit code where `action-images compare` does this."""
    monkeypatch.setattr("action_images.cli.compare.main", command)
    return main(["compare"])


def test_a_bug_shows_its_traceback_and_where_to_report_it(monkeypatch, capsys):
    assert ended(monkeypatch, mismatched) == BUG
    said = capsys.readouterr().err.strip().splitlines()
    assert said[0].startswith("Traceback")
    assert "ValueError: zip()" in said[-2]
    assert (
        said[-1] == "action-images compare: this is a bug, no mistake of yours; report it with this traceback"
    )


@pytest.mark.parametrize(
    "error",
    [
        ActionImagesError("the file is a picture of a cat"),
        FileNotFoundError(2, "No such file or directory", "cats.json"),
        PermissionError(13, "Permission denied", "cats.json"),
        OSError(28, "No space left on device", "cats.json"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(monkeypatch, capsys, error: Exception):
    assert ended(monkeypatch, raising(error)) == 2
    assert capsys.readouterr().err == f"action-images compare: {error}\n"


def test_a_wrong_path_is_one_line(tmp_path, capsys):
    gone = str(tmp_path / "gone")
    assert main(["compare", gone, gone]) == 2
    said = capsys.readouterr().err
    assert gone in said
    assert said.count("\n") == 1


def test_the_place_of_a_mistake_is_shown_on_request(monkeypatch, capsys):
    monkeypatch.setenv("ACTION_IMAGES_TRACEBACK", "1")
    assert ended(monkeypatch, raising(ActionImagesError("a cat"))) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.endswith("action-images compare: a cat\n")


def test_an_interrupted_command_says_so(monkeypatch, capsys):
    assert ended(monkeypatch, raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "action-images compare: interrupted\n"


def told_to_end(held: list[str]):
    """A command that is sent SIGTERM while it holds something."""

    def command(*_, **__) -> int:
        held.append("something")
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            held.clear()
        return 0

    return command


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, capsys):
    held: list[str] = []
    assert ended(monkeypatch, told_to_end(held)) == 130
    assert capsys.readouterr().err == "action-images compare: interrupted\n"
    assert held == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_program_that_handles_sigterm_keeps_its_handler(monkeypatch):
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        assert ended(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM)) == 0
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_a_thread_no_signal_is_touched(monkeypatch):
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(ended(monkeypatch, lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]
