"""What the command line says of itself: purposes, examples, names, and mistakes in one line."""

import importlib
import re
import shlex
import subprocess
import sys
from typing import get_args

import pytest

from action_images.cli import COMMANDS, main
from action_images.extras import NEEDS
from action_images.terminal import arguments, choices
from action_images.terminal.groups import GROUPS
from action_images.terminal.help import examples, purpose

NO_EXTRAS = {"doctor", "info", "cameras"}


def command(name: str):
    return importlib.import_module(f"action_images.cli.{COMMANDS[name].stem}").main


def help_of(name: str, capsys: pytest.CaptureFixture) -> str:
    assert main([name, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_the_purpose_and_two_examples_that_can_be_called(name: str, capsys):
    shown = help_of(name, capsys)
    assert " ".join(shown.split("\n\n")[0].split()) == purpose(COMMANDS[name])
    lines = examples(COMMANDS[name])
    assert len(lines) == 2
    for line in lines:
        program, called, *rest = shlex.split(line)
        assert (program, called) == ("action-images", name)
        arguments.parsed(command(name), rest, name)
        assert line.split()[-1] in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_right_at_80_columns(name: str, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = help_of(name, capsys)
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert not wide
    assert not re.search(r"\{None|\(default: (None)?\)", shown)
    assert "─" not in shown


def test_every_command_stands_in_one_group_and_says_what_it_needs():
    named = [name for names in GROUPS.values() for name in names]
    assert len(named) == len(set(named))
    assert set(COMMANDS) <= set(named), "add the command to terminal/groups.py"
    needing = {name.strip() for names in NEEDS for name in names.split(",")}
    assert set(COMMANDS) - NO_EXTRAS <= needing, "add the command to NEEDS in extras.py"


def test_the_overview_names_all_commands_by_group(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert all(f"\n{group}:\n" in shown for group in GROUPS)
    assert "\nmore:" not in shown


def test_the_names_that_options_take_are_those_that_there_are():
    from action_images.inference.generation import GENERATIONS
    from action_images.model.presets import PRESETS
    from action_images.sim import TASKS

    assert get_args(choices.Preset) == tuple(PRESETS)
    assert get_args(choices.Sampling) == tuple(GENERATIONS)
    assert tuple(TASKS) == choices.TASK_NAMES


@pytest.mark.parametrize("name", ["record", "watch", "replay", "demo", "judge-plans", "evaluate"])
def test_help_names_the_rigs_and_looks_of_the_embedded_world(name: str, capsys):
    from action_images.sim import LOOKS, RIGS

    shown = " ".join(help_of(name, capsys).split())
    assert f"in the embedded world {', '.join([*RIGS][:-1])} or {[*RIGS][-1]}" in shown
    if "--look" in shown:
        assert f"in the embedded world {', '.join([*LOOKS][:-1])} or {[*LOOKS][-1]}" in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evalute", "there is no command 'evalute'; did you mean evaluate?"),
        ("read a b --camera c --out d", "read: there is no option --camera; did you mean --cameras?"),
        ("read a b", "read: needs --cameras and --out; see action-images read --help"),
        ("draw --out x", "draw: needs PATH and --cameras; see action-images draw --help"),
        (
            "watch --task push_buton",
            "watch: there is no task 'push_buton' in the world 'tabletop'; did you mean push_button?",
        ),
        (
            "watch --task push_button --rig fixe",
            "watch: the world 'tabletop' has no rig 'fixe'; it has: sampled, fixed",
        ),
        ("watch --task push_button --size x", "watch: --size: invalid literal for int()"),
        ("train debugg --out x", "train: there is no 'debugg'; did you mean debug?"),
        ("train tiny --out x --preset tinny", "train: --preset: there is no 'tinny'; did you mean tiny?"),
        ("calibrate", "calibrate: give one of fixed, wrist, board, carry, straighten, from_motion; see"),
        (
            "judge-plans --policy shipped --out x --sampling one",
            "--sampling: there is no 'one'; did you mean one-",
        ),
        ("check a b", "check: does not take b; see action-images check --help"),
    ],
)
def test_a_mistake_is_one_line_with_what_was_meant(line: str, said: str, capsys):
    assert main(line.split()) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "draw {}/pth.csv --cameras {}/cameras.json --out out",
            "there is no such file; did you mean",
        ),
        ("draw {}/path.csv --cameras {} --out out", "is a folder; give a file"),
        ("check {}", "is no data set, for it has no meta/info.json"),
        ("imagine {} --out out", "action-images import"),
        ("record --task push_button --episodes 1 --out {}/path.csv", "is a file; give a folder to write to"),
        ("generate --model {}/gone --out out", "there are no models"),
        ("evaluate --policy ws://x:1 --token-file {}/token --out out", "token: there is no such file"),
        ("info {}/gone", "gone: there is no such file or folder"),
    ],
)
def test_paths_are_looked_at_before_anything_large_is_loaded(tmp_path, line: str, said: str):
    (tmp_path / "path.csv").write_text("x\n")
    words = line.format(*[tmp_path] * line.count("{}")).split()
    code = (
        "import sys; from action_images.cli import main; code = main(sys.argv[1:]); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == "False\n"


@pytest.mark.parametrize("words", [(), ("evaluate", "--help"), ("train", "--help")])
def test_help_loads_neither_torch_nor_typeguard(words: tuple[str, ...]):
    code = (
        "import sys; from action_images.cli import main; main(sys.argv[1:]); "
        "sys.stderr.write(repr({'torch', 'numpy', 'typeguard', 'rich'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert ended.stderr == "set()"
