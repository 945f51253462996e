"""What strangers call their files and data sets is printed as it stands: no markup, no control characters."""

import re

from rich.table import Table

from action_images.cli import COMMANDS, main
from action_images.terminal.console import PlainConsole
from recorded import write_set

NAME, SHOWN = "[bold]run[/v1]:smile:\x1b[31m\x07\u202e²", r"[bold]run[/v1]:smile:\x1b[31m\x07\u202e²"


def test_what_a_folder_is_called_is_shown_and_not_obeyed(tmp_path, capsys):
    write_set(tmp_path / NAME)
    assert main(["check", str(tmp_path / NAME), "--workers", "0"]) in (0, 1)
    assert (tmp_path / NAME / "check.html").is_file()
    said = capsys.readouterr().out
    assert f"{tmp_path}/{SHOWN}: 6 episodes" in said
    assert f"{SHOWN}/check.html" in said
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", said)


def test_cells_of_tables_are_plain_too(capsys):
    table = Table("[red]name", title=":smile:")
    table.add_row("\x1b[2J[/v1]")
    PlainConsole(width=60).print(table)
    said = capsys.readouterr().out
    for shown in (r"\x1b[2J[/v1]", "[red]name", ":smile:"):
        assert shown in said


def test_all_commands_print_through_the_plain_console():
    package = COMMANDS["train"].parents[1]
    files = [*package.glob("cli/**/*.py"), *package.glob("terminal/*.py")]
    assert len(files) > len(COMMANDS)
    for path in files:
        if path.name != "console.py":
            assert "from rich.console import Console" not in path.read_text(), path
